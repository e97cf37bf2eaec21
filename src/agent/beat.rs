//! The beat: a tiny synchronous commit of the agent's own on the primary. The first one of an epoch lets clients in;
//! each one after proves that nobody sealed enough standbys, and renews the lease without any coordinator.

use crate::charge::Charge;
use crate::instance::Instance;
use crate::keeper::{Guard, Keeper};
use crate::postgres::Beat;
use crate::process::Running;
use crate::session::now;
use interrex_cluster::goal::{Goal, PrimaryGoal};
use interrex_cluster::ids::Epoch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// While there is nothing to beat for, or no beat comes back.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A checkpoint of a busy primary takes its time; nobody is let in meanwhile.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(120);

/// What a beat came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beaten {
    /// It came back: under the setting then in force, enough standbys have it.
    Back {
        /// No other one of this epoch came back before, since the server was started.
        first: bool,
    },
    /// It came back, and proves nothing.
    Voided {
        /// The server's words.
        warning: String,
    },
    /// It did not come back.
    Not,
}

/// A charge that may reign: a server that is a primary by leave.
pub trait Reign: Charge {
    /// Who ends it when its leave does.
    type Guard: Guard;

    /// Who keeps its leave.
    fn keeper(&self) -> &Keeper<Self::Guard>;

    /// How long a lease lasts.
    fn lease(&self) -> Duration;

    /// Asks for a beat at once.
    fn beat_now(&self) -> &Notify;

    /// The goal by which the server reigns: promoted in its epoch since it was started.
    fn reigns(&self) -> Option<PrimaryGoal>;

    /// Whether a beat can prove what it is for; finds that out, where it takes a proof.
    fn waits_for_standbys(&self, goal: &PrimaryGoal) -> impl Future<Output = bool> + Send;

    /// One beat, which has so long to come back. What it proves, it proves of the moment before the call.
    fn beat(&self, epoch: Epoch, within: Duration) -> impl Future<Output = Beaten> + Send;
}

/// Beats for ever, while the charge is the primary of its goal's epoch.
pub async fn beat_forever<R: Reign>(charge: Arc<R>) {
    let lease = charge.lease();
    let mut voided = false;
    loop {
        let Some(goal) = charge.reigns() else {
            let _ = timeout(AGAIN_AFTER, charge.beat_now().notified()).await;
            continue;
        };
        let epoch = goal.epoch;
        if !charge.waits_for_standbys(&goal).await {
            sleep(AGAIN_AFTER).await;
            continue;
        }
        let sent = charge.now();
        match charge.beat(epoch, lease).await {
            Beaten::Back { first } => {
                voided = false;
                charge.keeper().beaten(epoch, sent).await;
                if first {
                    tracing::info!(cluster = %charge.cluster(), %epoch, "the first synchronous commit came back");
                    charge.poke().notify_one();
                }
                let _ = timeout(lease / 3, charge.beat_now().notified()).await;
            }
            Beaten::Voided { warning } => {
                if !std::mem::replace(&mut voided, true) {
                    tracing::warn!(cluster = %charge.cluster(), %epoch, "a beat proves nothing: {warning}");
                }
                sleep(AGAIN_AFTER).await;
            }
            // The look at the server tells what is wrong with it; a beat that does not come back is only no proof.
            Beaten::Not => sleep(AGAIN_AFTER).await,
        }
    }
}

impl Reign for Instance {
    type Guard = Running;

    fn keeper(&self) -> &Keeper<Running> {
        &self.keeper
    }

    fn lease(&self) -> Duration {
        self.agent.policy.lease
    }

    fn beat_now(&self) -> &Notify {
        &self.beat_now
    }

    fn reigns(&self) -> Option<PrimaryGoal> {
        let goal = self.told.borrow().goal.clone()?;
        let Goal::Primary(goal) = goal.goal else { return None };
        let promoted = self.known().proofs.promoted?;
        (promoted.epoch == goal.epoch && self.running().is_some()).then_some(goal)
    }

    /// Where commits waited for nobody before, a first beat that comes back may say only that the checkpointer has not
    /// heard of the new setting yet (F7): that is waited for.
    async fn waits_for_standbys(&self, goal: &PrimaryGoal) -> bool {
        let (from_async, beaten) = {
            let run = self.run();
            (run.from_async, run.beaten.is_some_and(|(epoch, _)| epoch == goal.epoch))
        };
        if !due(from_async, beaten, goal.sync.k) {
            return true;
        }
        let proved = self.server.prove_checkpointer(CHECKPOINT_WITHIN).await;
        // Another goal may have taken the names away meanwhile.
        let same = self.reigns().is_some_and(|now| now.sync == goal.sync);
        if proved.is_ok() && same {
            self.run().from_async = false;
        }
        proved.is_ok() && same
    }

    async fn beat(&self, epoch: Epoch, within: Duration) -> Beaten {
        match self.server.beat(within).await {
            Ok(Beat::Acknowledged { .. }) => {
                let before = self.run().beaten.replace((epoch, now()));
                Beaten::Back { first: before.is_none_or(|(before, _)| before != epoch) }
            }
            Ok(Beat::Voided { warning }) => Beaten::Voided { warning },
            Err(_) => Beaten::Not,
        }
    }
}

/// Whether the checkpointer has to be proved before a beat: not while commits need not wait, and not for later beats,
/// which open nothing; those renew the lease only once the rule is proved.
fn due(from_async: bool, beaten: bool, k: u32) -> bool {
    from_async && !beaten && k > 0
}

#[cfg(test)]
mod tests {
    use super::due;

    #[test]
    fn where_commits_once_waited_for_nobody_the_first_beat_waits_for_the_checkpointer() {
        assert!(due(true, false, 1));
        assert!(!due(false, false, 1), "they always waited");
        assert!(!due(true, true, 1), "clients are in; the rule's proof asks for it");
        assert!(!due(true, false, 0), "nobody is waited for");
    }
}
