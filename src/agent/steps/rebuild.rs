//! Bringing a copy back onto the line: rewind, or clone. The sentinel stands in the state, outside the directory,
//! from before the first byte changes until the copy is finished; with it the directory is never started.

use super::{Done, StepError, start::upstream, stop_for_good};
use crate::identity::Identity;
use crate::instance::Instance;
use crate::postgres::{Progress, Rewindable};
use crate::session::now;
use interrex_cluster::goal::StandbyGoal;
use interrex_cluster::ids::{Incarnation, Stamp};
use interrex_cluster::instance::observed::{Memory, Sentinel};
use interrex_cluster::report::{Need, Rebuild};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Replay of what a stopped standby holds, before it lets anybody in.
const UP_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A checkpoint of a busy primary takes its time.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(120);

impl Instance {
    pub(super) async fn rewind(&self, stamp: Stamp, goal: &StandbyGoal, incarnation: Incarnation) -> Done {
        // Up to version 15 pg_rewind believes the source's last checkpoint, which may be of the old timeline (F26).
        // Asked for before anything is touched: a source that does not answer must not cost the copy.
        self.make_rewindable(stamp, goal, incarnation).await?;
        self.doing(Some(format!("waiting for a checkpoint of {}", goal.upstream)));
        self.server.remote_checkpoint(&goal.address, CHECKPOINT_WITHIN).await?;
        self.keep_receipt(goal, Rebuild::Rewind).await?;
        self.begin(stamp, Rebuild::Rewind, incarnation).await?;
        self.doing(Some(format!("rewinding from {}", goal.upstream)));
        self.server.rewind_from(&goal.address, goal.system).await?;
        self.finish(Rebuild::Rewind, incarnation).await
    }

    /// All that speaks against a rewind is found before the copy is given up. What can be mended is: a standby that did
    /// not end cleanly is started, receiving from nobody, and stopped. Otherwise a clone is asked for.
    async fn make_rewindable(&self, stamp: Stamp, goal: &StandbyGoal, incarnation: Incarnation) -> Done {
        if self.clone_instead(incarnation).is_none() {
            match self.server.may_be_rewound(goal.system).await? {
                Rewindable::Yes => return Ok(()),
                Rewindable::Never(why) => self.known().unrewindable = Some((incarnation, why)),
                Rewindable::AfterACleanStop => {
                    self.end_cleanly(stamp, goal, incarnation).await?;
                    if self.server.may_be_rewound(goal.system).await? == Rewindable::Yes {
                        return Ok(());
                    }
                    let why = "it was a standby, and could not be brought to a clean end".to_owned();
                    self.known().unrewindable = Some((incarnation, why));
                }
            }
        }
        let why = self.clone_instead(incarnation).map(|need| need.why).unwrap_or_default();
        Err(StepError::NotYet(format!("it cannot be rewound, and a clone is asked for: {why}")))
    }

    /// What is asked for where a granted rewind is impossible.
    pub(crate) fn clone_instead(&self, incarnation: Incarnation) -> Option<Need> {
        let known = self.known();
        let (_, why) = known.unrewindable.as_ref().filter(|(of, _)| *of == incarnation)?;
        Some(Need { rebuild: Rebuild::Clone, incarnation, why: why.clone() })
    }

    async fn end_cleanly(&self, stamp: Stamp, goal: &StandbyGoal, incarnation: Incarnation) -> Done {
        self.doing(Some("ending the copy cleanly, to rewind it".to_owned()));
        self.start(stamp, None, goal.line.as_ref(), Some(&goal.parameters)).await?;
        let Some(running) = self.running() else { return Ok(()) };
        let up = async {
            while self.server.in_recovery().await.is_err() {
                if running.exited().borrow().is_some() || self.still(stamp).is_err() {
                    break;
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        // One that never gets so far is stopped all the same; what came of it, pg_control tells.
        let in_time = timeout(UP_WITHIN, up).await;
        stop_for_good(&running).await?;
        self.forget_process(None).await;
        tracing::info!(
            cluster = %self.config.cluster, %incarnation, answered = in_time.is_ok(),
            "the copy was started and stopped before its rewind"
        );
        self.still(stamp)
    }

    pub(super) async fn clone_copy(
        &self,
        stamp: Stamp,
        goal: &StandbyGoal,
        incarnation: Incarnation,
    ) -> Done {
        self.keep_receipt(goal, Rebuild::Clone).await?;
        self.begin(stamp, Rebuild::Clone, incarnation).await?;
        if goal.discard_old {
            // The sentinel stands: what is left of it is never started.
            self.doing(Some("deleting the old copy, as asked".to_owned()));
            self.server.discard_copy().await?;
        }
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
        self.server.no_tool_at_work().await?;
        let _written_alone = self.writing.lock().await;
        self.still(stamp)?;
        self.remember(move |memory| {
            memory.sentinel = Some(Sentinel::Rebuild(how));
            memory.incarnation = incarnation;
            memory.rebuilt = None;
            memory.created = None;
            memory.offered = None;
            memory.told = None;
        })
        .await?;
        let mut known = self.known();
        known.data = None;
        known.end = None;
        known.endless = None;
        known.unrewindable = None;
        known.doubt = None;
        known.highest = None;
        known.proofs = Default::default();
        drop(known);
        tracing::info!(cluster = %self.config.cluster, %incarnation, "the copy is given up: {}", verb(how));
        Ok(())
    }

    async fn finish(&self, how: Rebuild, incarnation: Incarnation) -> Done {
        let cluster = self.welcome.cluster_id;
        let _written_alone = self.writing.lock().await;
        let Memory { obeyed, serial, .. } = self.memory();
        self.identify(Identity { cluster, incarnation, epoch: obeyed.epoch, serial })?;
        self.remember(move |memory| {
            if how == Rebuild::Clone {
                memory.in_vain = memory.in_vain.saturating_add(1);
            }
            memory.sentinel = None;
            memory.promoted = None;
            memory.rebuilt = Some(incarnation);
        })
        .await?;
        let mut known = self.known();
        known.data = None;
        known.copy_since = Some(now());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_s_progress_is_told_once_its_size_is_known_and_never_as_more_than_all() {
        let told = |done, total| percent(Progress { done, total });
        assert_eq!(told(1, 0), "", "the source has not estimated it yet");
        assert_eq!(told(0, 3), ", 0 %");
        assert_eq!(told(2, 3), ", 66 %");
        assert_eq!(told(3, 3), ", 100 %");
        // The source wrote on meanwhile, and its estimate is of the beginning.
        assert_eq!(told(5, 3), ", 100 %");
    }
}
