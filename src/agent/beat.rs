//! The beat: a tiny synchronous commit of the agent's own on the primary. The first one of an epoch lets clients in;
//! each one after proves that nobody sealed enough standbys, and renews the lease without any coordinator.

use crate::instance::Instance;
use crate::postgres::Beat;
use crate::session::now;
use interrex_cluster::goal::{Goal, PrimaryGoal};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// While there is nothing to beat for, or no beat comes back.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A checkpoint of a busy primary takes its time; nobody is let in meanwhile.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(120);

/// Beats for ever, while this instance is the primary of its goal's epoch.
pub(crate) async fn beat_forever(instance: Arc<Instance>) {
    let lease = instance.agent.policy.lease;
    let mut voided = false;
    loop {
        let Some(goal) = reigns_by(&instance) else {
            let _ = timeout(AGAIN_AFTER, instance.beat_now.notified()).await;
            continue;
        };
        let epoch = goal.epoch;
        if !waits_for_standbys(&instance, &goal).await {
            sleep(AGAIN_AFTER).await;
            continue;
        }
        let sent = now();
        match instance.server.beat(lease).await {
            Ok(Beat::Acknowledged { .. }) => {
                let first = {
                    let mut run = instance.run();
                    run.beaten.replace((epoch, now())).is_none_or(|(before, _)| before != epoch)
                };
                voided = false;
                instance.keeper.beaten(epoch, sent).await;
                if first {
                    tracing::info!(cluster = %instance.config.cluster, %epoch, "the first synchronous commit came back");
                    instance.poke.notify_one();
                }
                let _ = timeout(lease / 3, instance.beat_now.notified()).await;
            }
            Ok(Beat::Voided { warning }) => {
                if !std::mem::replace(&mut voided, true) {
                    tracing::warn!(cluster = %instance.config.cluster, %epoch, "a beat proves nothing: {warning}");
                }
                sleep(AGAIN_AFTER).await;
            }
            // The look at the server tells what is wrong with it; a beat that does not come back is only no proof.
            Err(_) => sleep(AGAIN_AFTER).await,
        }
    }
}

/// Whether a first beat can prove what it is for. Where commits waited for nobody before, one that comes back may say
/// only that the checkpointer has not heard of the new setting yet (F7): that is waited for.
async fn waits_for_standbys(instance: &Instance, goal: &PrimaryGoal) -> bool {
    let (from_async, beaten) = {
        let run = instance.run();
        (run.from_async, run.beaten.is_some_and(|(epoch, _)| epoch == goal.epoch))
    };
    if !due(from_async, beaten, goal.sync.k) {
        return true;
    }
    let proved = instance.server.prove_checkpointer(CHECKPOINT_WITHIN).await;
    // Another goal may have taken the names away meanwhile.
    let same = reigns_by(instance).is_some_and(|now| now.sync == goal.sync);
    if proved.is_ok() && same {
        instance.run().from_async = false;
    }
    proved.is_ok() && same
}

/// Whether the checkpointer has to be proved before a beat: not while commits need not wait, and not for later beats,
/// which open nothing; those renew the lease only once the rule is proved.
fn due(from_async: bool, beaten: bool, k: u32) -> bool {
    from_async && !beaten && k > 0
}

/// The goal by which the server reigns: promoted in its epoch since it was started.
fn reigns_by(instance: &Instance) -> Option<PrimaryGoal> {
    let goal = instance.told.borrow().goal.clone()?;
    let Goal::Primary(goal) = goal.goal else { return None };
    let promoted = instance.known().proofs.promoted?;
    (promoted.epoch == goal.epoch && instance.running().is_some()).then_some(goal)
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
