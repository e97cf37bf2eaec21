//! The beat: a tiny synchronous commit of the agent's own on the primary. The first one of an epoch lets clients in;
//! each one after proves that nobody sealed enough standbys, and renews the lease without any coordinator.

use crate::instance::Instance;
use crate::postgres::Beat;
use crate::session::now;
use interrex_cluster::goal::Goal;
use interrex_cluster::ids::Epoch;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// While there is nothing to beat for, or no beat comes back.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Beats for ever, while this instance is the primary of its goal's epoch.
pub(crate) async fn beat_forever(instance: Arc<Instance>) {
    let lease = instance.agent.policy.lease;
    let mut voided = false;
    loop {
        let Some(epoch) = reigns_in(&instance) else {
            let _ = timeout(AGAIN_AFTER, instance.beat_now.notified()).await;
            continue;
        };
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

/// The epoch in which the server reigns: by the goal, and promoted in it since it was started.
fn reigns_in(instance: &Instance) -> Option<Epoch> {
    let goal = instance.told.borrow().goal.clone()?;
    let Goal::Primary(goal) = goal.goal else { return None };
    let promoted = instance.known().proofs.promoted?;
    (promoted.epoch == goal.epoch && instance.running().is_some()).then_some(goal.epoch)
}
