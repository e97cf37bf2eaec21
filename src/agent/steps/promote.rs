//! Promoting. Everything that must be so *before* the first commit is: the rule is configured and shown, clients are
//! out, histories leave exactly one number free, the mark is on disk, and the guard holds a deadline by a lease.

use super::Done;
use crate::instance::Instance;
use crate::postgres::ANSWERS_NOBODY;
use crate::process::{Running, start};
use crate::run::Run;
use crate::session::now;
use interrex_cluster::goal::{Goal, PrimaryGoal};
use interrex_cluster::ids::Stamp;
use interrex_cluster::report::Promotion;
use interrex_cluster::wal::TimelineId;
use std::ffi::OsString;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::StepError;

/// For how long this is waited for in one go; it is asked again, and never called back (F23).
const PROMOTED_WITHIN: Duration = Duration::from_secs(5);

impl Instance {
    pub(super) async fn promote(&self, stamp: Stamp, goal: &PrimaryGoal) -> Done {
        let Some(running) = self.running() else {
            return Err(StepError::NotYet("the server is gone".to_owned()));
        };
        let epoch = goal.epoch;
        let lowers = self.run().lowers;
        let running = if lowers { self.start_lowered(stamp, &running).await? } else { running };
        // While it is not proved that commits wait (F7), only what coordinators granted counts, as for `k = 0`.
        let k = if self.run().from_async { 0 } else { goal.sync.k };
        let armed = async { Ok::<_, StepError>(self.keeper.arm(&running, epoch, k, now()).await?) };
        let marked = async { Ok(self.remember(move |memory| memory.promoted = Some(epoch)).await?) };
        tokio::try_join!(armed, marked)?;
        self.known().proofs.sealed = None;
        self.still(stamp)?;
        if !self.keeper.held().await.lease.covers(epoch, k, now()) {
            return Err(StepError::NotYet(format!("the lease of epoch {epoch} ran out while promoting")));
        }
        let began = now();
        // Also one that an earlier try, or an agent that is gone, has started so.
        let unasked = lowers || self.run().is_silent();
        let promotion = match unasked {
            true => self.server.promote_unasked(epoch, PROMOTED_WITHIN).await?,
            false => self.server.promote(epoch, PROMOTED_WITHIN).await?,
        };
        // The very first primary makes the roles before it is told of: who clones from it logs in by them.
        if self.memory().created.is_some() && promotion.parent.0 <= 1 {
            self.serve_standbys(goal).await?;
        }
        self.promoted(goal, promotion).await?;
        let took_ms = u64::try_from(now().since(began).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            cluster = %self.config.cluster, %epoch, timeline = %epoch, lsn = %promotion.begin, took_ms, "promoted"
        );
        self.beat_now.notify_one();
        Ok(())
    }

    /// Replay demands what the primary ran with before (F25), so the server that was asked and prepared for everything
    /// else is started once more: with what is configured, and asked nothing until it is promoted. It stopped in good
    /// order as the last primary, so there is nothing to replay. One that is left so by a dead agent is silent: with the mark
    /// written it is asked again, else it is started anew after a while.
    async fn start_lowered(&self, stamp: Stamp, running: &Running) -> Result<Running, StepError> {
        self.still(stamp)?;
        let prepared = self.run().clone();
        self.end_fast(running).await?;
        self.forget_process(None).await;
        self.still(stamp)?;
        let log_from = self.rooms.log_end();
        let running = start(self.start_spec(ANSWERS_NOBODY.map(OsString::from))).await?;
        *self.run() = Run {
            lowers: false,
            answers_nobody: true,
            log_from,
            answered: None,
            seen_since: Run::begun().seen_since,
            ..prepared
        };
        tracing::info!(
            cluster = %self.config.cluster, postmaster = running.postmaster(),
            "PostgreSQL was started with what was lowered, to be promoted at once"
        );
        self.process.send_replace(Some(running.clone()));
        // A look that saw nobody run is not told any more: beside the mark that comes next, that would be a server that
        // ended while it was promoted.
        self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(running)
    }

    /// After an interruption: `standby.signal` back, and what came of the promotion.
    pub(super) async fn finish_promotion(&self, goal: &PrimaryGoal) -> Done {
        self.server.put_standby_signal().await?;
        let promotion = self.server.promotion().await?;
        self.promoted(goal, promotion).await
    }

    async fn promoted(&self, goal: &PrimaryGoal, promotion: Promotion) -> Done {
        if promotion.epoch != goal.epoch {
            return Err(StepError::NotYet(format!(
                "it was promoted onto timeline {}, expected {}: its history files left another number free",
                promotion.epoch, goal.epoch
            )));
        }
        // The whole line goes with it: it may have branched off a timeline that never came to be confirmed.
        let timeline = TimelineId(promotion.epoch.0);
        let line = self.history(timeline, None).await?;
        // First, so that no look at the standby that it was is told with the proof.
        self.run().promoted = true;
        {
            let mut known = self.known();
            known.proofs.promoted_line = Some(line);
            known.proofs.promoted = Some(promotion);
        }
        self.beat_now.notify_one();
        // Proof and server are told together: a standby with a promotion to tell would be one that lost it again.
        self.look(Some(&Goal::Primary(goal.clone()))).await;
        Ok(())
    }
}
