//! What an agent has in its charge, as its loop sees it: a server with its data directory, its guard, and the memory of
//! what was obeyed. Above this line are goals, steps and time (`reconcile`); below it SQL, files and processes.
//!
//! [`Instance`] is the real one. Whoever brings another one (a scene, a simulation) has the very loop that ships.

use crate::instance::Instance;
use crate::session::now;
use crate::steps::StepError;
use interrex_cluster::goal::{Goal, StampedGoal};
use interrex_cluster::ids::{ClusterName, Stamp};
use interrex_cluster::instance::gate::Floor;
use interrex_cluster::instance::next_step::Step;
use interrex_cluster::instance::observed::Observed;
use interrex_cluster::time::Instant;
use std::future::pending;
use tokio::sync::Notify;

/// Why a deed was not done, or not to its end. It is asked for again when it is still due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undone {
    /// A newer goal is there, or was obeyed.
    #[error("its goal was overtaken by a newer one")]
    Overtaken,
    /// What failed, and the way out.
    #[error("{0}")]
    Failed(String),
}

/// One server and all that belongs to it.
pub trait Charge: Send + Sync + 'static {
    /// Its cluster, for the log.
    fn cluster(&self) -> &ClusterName;

    /// Now, on the machine's boot clock.
    fn now(&self) -> Instant;

    /// Below which no goal is obeyed.
    fn floor(&self) -> Floor;

    /// Asks the loop to look again at once.
    fn poke(&self) -> &Notify;

    /// Takes note of a server that ended by itself, or by its guard: what was known of its run is void.
    fn notice_exit(&self) -> impl Future<Output = ()> + Send;

    /// The end of the server that runs; never, when none does. Cancel safe.
    fn ended(&self) -> impl Future<Output = ()> + Send;

    /// One look, and one report of it. What is looked at depends on the goal: a step may follow from a look only for the
    /// very goal that was looked with. Looks go on beside a deed; cancel safe.
    fn look(&self, goal: Option<&Goal>) -> impl Future<Output = Observed> + Send;

    /// Writes a goal's stamp down as obeyed; returns once that survives a loss of power.
    ///
    /// # Errors
    /// It could not be written, in words; nothing may be done for that goal then.
    fn obey(&self, stamp: Stamp) -> impl Future<Output = Result<(), String>> + Send;

    /// What is due after a look, whether anything can be done about it here or not. Told to the coordinators.
    fn note(&self, goal: &StampedGoal, seen: &Observed, due: &Step);

    /// A step failed and is tried again. Told to the coordinators with the next look.
    fn note_failure(&self, words: String);

    /// Does one step on the way to `goal`. May be dropped midway where the step may be interrupted, and then at any
    /// await, as a crash of the agent would.
    ///
    /// # Errors
    /// Why it was not done.
    fn perform(&self, goal: &StampedGoal, step: &Step) -> impl Future<Output = Result<(), Undone>> + Send;
}

impl From<StepError> for Undone {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Overtaken { .. } => Undone::Overtaken,
            other => Undone::Failed(other.to_string()),
        }
    }
}

impl Charge for Instance {
    fn cluster(&self) -> &ClusterName {
        &self.config.cluster
    }

    fn now(&self) -> Instant {
        now()
    }

    fn floor(&self) -> Floor {
        Floor { obeyed: self.memory().obeyed, registered: Some(self.welcome.floor) }
    }

    fn poke(&self) -> &Notify {
        &self.poke
    }

    async fn notice_exit(&self) {
        let Some(running) = self.running() else { return };
        let exit = *running.exited().borrow();
        if let Some(exit) = exit {
            tracing::warn!(cluster = %self.config.cluster, "PostgreSQL {exit}");
            self.forget_process(Some(exit.to_string())).await;
        }
    }

    async fn ended(&self) {
        match self.running() {
            Some(running) => {
                if running.gone().await.is_none() {
                    // It cannot be told whether it is gone. The look at it says what is wrong.
                    pending::<()>().await;
                }
            }
            None => pending().await,
        }
    }

    async fn look(&self, goal: Option<&Goal>) -> Observed {
        Instance::look(self, goal).await
    }

    async fn obey(&self, stamp: Stamp) -> Result<(), String> {
        Instance::obey(self, stamp).await.map_err(|error| error.to_string())
    }

    fn note(&self, goal: &StampedGoal, seen: &Observed, due: &Step) {
        self.announce(due);
        self.note_rest(goal, seen, due);
    }

    fn note_failure(&self, words: String) {
        self.desk.note(words.clone());
        self.known().doing = Some(words);
    }

    async fn perform(&self, goal: &StampedGoal, step: &Step) -> Result<(), Undone> {
        Ok(Instance::perform(self, goal, step).await?)
    }
}

impl Instance {
    /// What the step says to the coordinators.
    fn announce(&self, step: &Step) {
        let need = match step {
            Step::AskForRebuild(need) => Some(need.clone()),
            Step::Rewind { incarnation } => self.clone_instead(*incarnation),
            _ => None,
        };
        if matches!(step, Step::Refuse { .. } | Step::AskForRebuild(_)) {
            self.desk.note(step.to_string());
        }
        let doing = match step {
            Step::Nothing => None,
            Step::Wait { why } | Step::Refuse { why } => Some(why.clone()),
            other => Some(other.to_string()),
        };
        {
            let mut known = self.known();
            known.need.clone_from(&need);
            known.doing.clone_from(&doing);
        }
        self.report.send_if_modified(|outgoing| {
            let Some(outgoing) = outgoing else { return false };
            // Words alone can wait for the next look; a need or its end cannot.
            let differs = outgoing.report.needs != need;
            outgoing.report.needs = need;
            outgoing.report.doing = doing;
            differs
        });
    }
}
