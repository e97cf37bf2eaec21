//! Bringing a copy back onto the line: rewind, or clone. The sentinel stands in the state, outside the directory,
//! from before the first byte changes until the copy is finished; with it the directory is never started.

use super::{Done, StepError, start::upstream};
use crate::identity::Identity;
use crate::instance::Instance;
use crate::postgres::Progress;
use interrex_cluster::goal::StandbyGoal;
use interrex_cluster::ids::{Incarnation, Stamp};
use interrex_cluster::instance::observed::Sentinel;
use interrex_cluster::report::Rebuild;
use std::time::Duration;

/// A checkpoint of a busy primary takes its time.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(120);

impl Instance {
    pub(super) async fn rewind(&self, stamp: Stamp, goal: &StandbyGoal, incarnation: Incarnation) -> Done {
        // Up to version 15 pg_rewind believes the source's last checkpoint, which may be of the old timeline (F26).
        // Asked for before anything is touched: a source that does not answer must not cost the copy.
        self.doing(Some(format!("waiting for a checkpoint of {}", goal.upstream)));
        self.server.remote_checkpoint(&goal.address, CHECKPOINT_WITHIN).await?;
        self.begin(stamp, Rebuild::Rewind, incarnation).await?;
        self.doing(Some(format!("rewinding from {}", goal.upstream)));
        self.server.rewind_from(&goal.address, goal.system).await?;
        self.finish(Rebuild::Rewind, incarnation).await
    }

    pub(super) async fn clone_copy(
        &self,
        stamp: Stamp,
        goal: &StandbyGoal,
        incarnation: Incarnation,
    ) -> Done {
        self.begin(stamp, Rebuild::Clone, incarnation).await?;
        let source = goal.upstream.clone();
        self.doing(Some(format!("cloning from {source}")));
        let told =
            |progress: Progress| self.doing(Some(format!("cloning from {source}{}", percent(progress))));
        self.server.clone_from(&upstream(goal), incarnation, goal.system, told).await?;
        self.finish(Rebuild::Clone, incarnation).await
    }

    async fn begin(&self, stamp: Stamp, how: Rebuild, incarnation: Incarnation) -> Done {
        if self.running().is_some() {
            return Err(StepError::NotYet("the server still runs".to_owned()));
        }
        self.still(stamp)?;
        self.remember(move |memory| {
            memory.sentinel = Some(Sentinel::Rebuild(how));
            memory.incarnation = incarnation;
            memory.rebuilt = None;
            memory.created = None;
            memory.told = None;
        })
        .await?;
        let mut known = self.known();
        known.data = None;
        known.end = None;
        known.endless = None;
        known.proofs = Default::default();
        drop(known);
        tracing::info!(cluster = %self.config.cluster, %incarnation, "the copy is given up: {}", verb(how));
        Ok(())
    }

    async fn finish(&self, how: Rebuild, incarnation: Incarnation) -> Done {
        let cluster = self.welcome.cluster_id;
        let epoch = self.memory().obeyed.epoch;
        self.identify(Identity { cluster, incarnation, epoch })?;
        self.remember(move |memory| {
            memory.sentinel = None;
            memory.promoted = None;
            memory.rebuilt = Some(incarnation);
        })
        .await?;
        let mut known = self.known();
        known.data = None;
        known.proofs.rebuilt = Some(incarnation);
        drop(known);
        tracing::info!(cluster = %self.config.cluster, %incarnation, "{} is done", verb(how));
        Ok(())
    }
}

fn verb(how: Rebuild) -> &'static str {
    match how {
        Rebuild::Rewind => "rewind",
        Rebuild::Clone => "clone",
    }
}

fn percent(progress: Progress) -> String {
    match progress.done.saturating_mul(100).checked_div(progress.total) {
        Some(percent) => format!(", {} %", percent.min(100)),
        None => String::new(),
    }
}
