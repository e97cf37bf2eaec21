//! What was moved aside goes once the cluster is whole: every copy whole and a primary open by the record, and this
//! instance itself that primary, or streaming from it. Until then a directory that was given up may hold the only copy
//! of something (PROTOCOL.md clause 11).
//!
//! Removing is no step on the way to a goal: it takes as long as it takes, beside everything else, and gives way to any
//! newer goal between one directory and the next.

use crate::instance::Instance;
use interrex_cluster::goal::{Goal, StampedGoal};
use interrex_cluster::ids::Stamp;
use interrex_cluster::instance::next_step::Step;
use interrex_cluster::instance::observed::{Observed, Server};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// After a directory that could not be removed.
const PATIENCE: Duration = Duration::from_secs(60);

impl Instance {
    /// Notes whether what was moved aside may go, as of this very goal and look.
    pub(crate) fn note_rest(&self, goal: &StampedGoal, seen: &Observed, step: &Step) {
        let told = {
            let told = self.told.borrow();
            told.whole && told.goal.as_ref() == Some(goal)
        };
        let may = (told && *step == Step::Nothing && in_place(&goal.goal, seen)).then_some(goal.stamp);
        self.may_tidy.send_if_modified(|known| std::mem::replace(known, may) != may);
    }
}

/// The primary that the goal speaks of, open; or a standby that receives its timeline.
fn in_place(goal: &Goal, seen: &Observed) -> bool {
    if seen.memory.sentinel.is_some() {
        return false;
    }
    match (goal, &seen.server) {
        (Goal::Primary(goal), Server::Primary(primary)) => {
            primary.timeline.0 == goal.epoch.0 && seen.proofs.opened == Some(goal.epoch)
        }
        (Goal::Standby(goal), Server::Standby(standby)) => {
            standby.receiver.is_some_and(|receiver| receiver.streaming && receiver.timeline.0 == goal.epoch.0)
        }
        _ => false,
    }
}

/// Removes what was moved aside whenever it may go, for ever.
pub(crate) async fn tidy_forever(instance: Arc<Instance>) {
    let mut may = instance.may_tidy.subscribe();
    let mut done: Option<Stamp> = None;
    loop {
        let news = may.wait_for(|may| may.is_some() && *may != done).await.map(|stamp| *stamp);
        let Ok(stamp) = news else {
            // The instance is gone, and this task with it.
            return pending().await;
        };
        match instance.tidy(stamp).await {
            Ok(true) => done = stamp,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    cluster = %instance.config.cluster,
                    "what was moved aside is no longer needed, and cannot be removed: {error}"
                );
                sleep(PATIENCE).await;
            }
        }
    }
}

impl Instance {
    /// True when nothing is left; false when it was overtaken.
    async fn tidy(&self, stamp: Option<Stamp>) -> Result<bool, crate::postgres::Error> {
        for path in self.server.set_aside().await? {
            if *self.may_tidy.borrow() != stamp {
                return Ok(false);
            }
            self.server.discard(&path).await?;
            tracing::info!(
                cluster = %self.config.cluster,
                "the cluster is whole: {} was removed", path.display()
            );
        }
        Ok(true)
    }
}
