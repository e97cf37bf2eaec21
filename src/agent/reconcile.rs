//! The loop: take the newest goal, look, write the goal down as obeyed, ask the rules, do one step, look again.
//!
//! Level-triggered: nothing is queued, every round starts from what is there. It wakes for a new goal, the end of the
//! server, a poke, and a short tick. A step that takes long goes on beside looks and reports; those that may be left
//! half done give way to a newer goal. A failed step is tried again with growing patience, never against a newer goal.
//!
//! What it looks at and moves is behind [`Charge`].

use crate::charge::{Charge, Undone};
use crate::steps::may_be_interrupted;
use crate::told::Told;
use interrex_cluster::goal::{Goal, StampedGoal, StandbyGoal};
use interrex_cluster::ids::ClusterName;
use interrex_cluster::instance::next_step::{Step, Stop, next_step};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Between looks when nothing happens: the heartbeat of a healthy instance.
const AT_REST: Duration = Duration::from_millis(250);
/// Between looks while something is waited for.
const WAITING: Duration = Duration::from_millis(50);
/// After the first failure of a step; doubled with each further one.
const FIRST_PATIENCE: Duration = Duration::from_millis(100);
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// Moves a charge, for ever, to where the newest goal has it.
pub async fn reconcile<C: Charge>(charge: Arc<C>, mut told: watch::Receiver<Told>) -> Infallible {
    let charge = &*charge;
    let mut log = Log::new(charge.cluster());
    loop {
        charge.notice_exit().await;
        told.mark_unchanged();
        let newest = told.borrow().goal.clone();
        let seen = charge.look(newest.as_ref().map(|goal| &goal.goal)).await;
        let goal = match newest.map(|goal| charge.floor().admits(&goal).map(|()| goal)) {
            Some(Ok(goal)) => goal,
            Some(Err(why)) => {
                log.said("goal", Some(why.to_string()));
                wait(charge, &mut told, AT_REST).await;
                continue;
            }
            None => {
                wait(charge, &mut told, AT_REST).await;
                continue;
            }
        };
        log.said("goal", None);
        if let Err(error) = charge.obey(goal.stamp).await {
            log.said("obey", Some(error));
            stop_all_the_same(charge, &goal).await;
            wait(charge, &mut told, AT_REST).await;
            continue;
        }
        log.said("obey", None);
        let step = next_step(&goal.goal, &seen, charge.now());
        log.step(&step);
        charge.note(&goal, &seen, &step);
        let pause = match rest(&step) {
            Some(pause) => pause,
            None => match carry_out(charge, &goal, &step, &mut told).await {
                Ok(()) => {
                    log.succeeded(&step);
                    continue;
                }
                Err(Undone::Overtaken) => continue,
                Err(error) => {
                    let patience = log.failed(&step, &error);
                    // Whoever asks the coordinators reads it without a look into this machine's log.
                    charge.note_failure(format!("{step}: {error}; it is tried again and again"));
                    be_patient(charge, &goal, &mut told, patience).await;
                    continue;
                }
            },
        };
        wait(charge, &mut told, pause).await;
    }
}

/// How long to rest where there is nothing to do; none for a deed.
fn rest(step: &Step) -> Option<Duration> {
    match step {
        Step::Nothing | Step::Refuse { .. } | Step::AskForRebuild(_) => Some(AT_REST),
        Step::Wait { .. } => Some(WAITING),
        Step::InitDb
        | Step::StopFound
        | Step::TakeIn
        | Step::StartAsStandby { .. }
        | Step::Stop { .. }
        | Step::Seal { .. }
        | Step::ScanEnd { .. }
        | Step::Prepare
        | Step::ConfigureSync
        | Step::ShutClients
        | Step::Promote
        | Step::FinishPromotion
        | Step::ServeStandbys
        | Step::OpenClients
        | Step::Checkpoint { .. }
        | Step::Judge { .. }
        | Step::SetParameters
        | Step::ProveRule
        | Step::Follow
        | Step::Rewind { .. }
        | Step::Clone { .. } => None,
    }
}

/// Whether `step` is due under the newer goal just as under the one that it was begun for. A clone is the same whatever
/// is set or asked meanwhile, as long as it is the same copy of the same upstream.
fn same_deed(step: &Step, newer: &Goal, begun: &Goal) -> bool {
    match (step, newer, begun) {
        (Step::Clone { .. }, Goal::Standby(newer), Goal::Standby(begun)) => {
            let later = begun.clone();
            *newer == StandbyGoal { parameters: newer.parameters.clone(), restart: newer.restart, ..later }
        }
        _ => newer == begun,
    }
}

/// A disk that takes no state must not keep a superseded primary alive: stopping needs no memory.
async fn stop_all_the_same<C: Charge>(charge: &C, goal: &StampedGoal) {
    if matches!(goal.goal, Goal::Stopped { .. }) {
        let why = "it is to be stopped, whether that can be written down or not".to_owned();
        let _ = charge.perform(goal, &Step::Stop { how: Stop::Fence, why }).await;
    }
}

/// One deed, with looks and reports beside it.
async fn carry_out<C: Charge>(
    charge: &C,
    goal: &StampedGoal,
    step: &Step,
    told: &mut watch::Receiver<Told>,
) -> Result<(), Undone> {
    let overtaken = async {
        if !may_be_interrupted(step) {
            pending::<()>().await;
        }
        // A higher stamp on the same goal (another instance joined, say) is no reason to begin a clone anew.
        let newer =
            |told: &Told| told.goal.as_ref().is_some_and(|newest| !same_deed(step, &newest.goal, &goal.goal));
        tokio::select! {
            _ = told.wait_for(newer) => {}
            () = charge.ended() => {}
        }
    };
    tokio::select! {
        done = charge.perform(goal, step) => done,
        never = keep_looking(charge, goal) => match never {},
        () = overtaken => Err(Undone::Overtaken),
    }
}

/// Looks and reports, for ever.
async fn keep_looking<C: Charge>(charge: &C, goal: &StampedGoal) -> Infallible {
    loop {
        sleep(AT_REST).await;
        charge.look(Some(&goal.goal)).await;
    }
}

/// Until a failed step is due again. Whoever waits for that goes on reporting: silence would be taken for death.
async fn be_patient<C: Charge>(
    charge: &C,
    goal: &StampedGoal,
    told: &mut watch::Receiver<Told>,
    at_most: Duration,
) {
    tokio::select! {
        () = wait(charge, told, at_most) => {}
        never = keep_looking(charge, goal) => match never {},
    }
}

/// Until something may have changed.
async fn wait<C: Charge>(charge: &C, told: &mut watch::Receiver<Told>, at_most: Duration) {
    tokio::select! {
        changed = told.changed() => if changed.is_err() { pending::<()>().await },
        () = charge.poke().notified() => {}
        () = charge.ended() => {}
        () = sleep(at_most) => {}
    }
}

/// Logs changes, not rounds, and grows patience.
struct Log {
    cluster: String,
    said: std::collections::BTreeMap<&'static str, String>,
    failing: Option<(String, Duration)>,
}

impl Log {
    fn new(cluster: &ClusterName) -> Self {
        Self { cluster: cluster.to_string(), said: Default::default(), failing: None }
    }

    /// A problem of a kind appears, changes or goes.
    fn said(&mut self, kind: &'static str, problem: Option<String>) {
        match problem {
            Some(problem) if self.said.get(kind) != Some(&problem) => {
                tracing::warn!(cluster = %self.cluster, "{problem}");
                self.said.insert(kind, problem);
            }
            Some(_) => {}
            None => {
                if let Some(gone) = self.said.remove(kind) {
                    tracing::info!(cluster = %self.cluster, "no longer so: {gone}");
                }
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let problem = match step {
            Step::Refuse { .. } | Step::AskForRebuild(_) => Some(step.to_string()),
            _ => None,
        };
        self.said("step", problem);
        if matches!(step, Step::Wait { .. } | Step::Nothing) {
            tracing::trace!(cluster = %self.cluster, "{step}");
        }
    }

    fn succeeded(&mut self, step: &Step) {
        tracing::debug!(cluster = %self.cluster, "done: {step}");
        if let Some((failing, _)) = self.failing.take() {
            tracing::info!(cluster = %self.cluster, "no longer failing: {failing}");
        }
    }

    /// How long to wait before it is tried again.
    fn failed(&mut self, step: &Step, error: &Undone) -> Duration {
        let problem = format!("{step}: {error}");
        let patience = match self.failing.take() {
            Some((before, patience)) if before == problem => (patience * 2).min(MOST_PATIENCE),
            Some((_, patience)) => {
                tracing::warn!(cluster = %self.cluster, "{problem}");
                patience.min(FIRST_PATIENCE * 4)
            }
            None => {
                tracing::warn!(cluster = %self.cluster, "{problem}");
                FIRST_PATIENCE
            }
        };
        self.failing = Some((problem, patience));
        patience
    }
}

#[cfg(test)]
mod tests;
