//! Sealing: no upstream, then the durable end of WAL. The epoch stands fsynced in the state before this begins (the
//! loop obeys before it acts), so that a restart cannot bring back what is refused here.

use super::{Done, StepError};
use crate::instance::Instance;
use crate::postgres::{self, Role};
use interrex_cluster::ids::{Epoch, Stamp};
use interrex_cluster::instance::next_step::Stop;
use interrex_cluster::instance::observed::End;
use interrex_cluster::report::{Promotion, Seal};
use interrex_cluster::wal::{History, Position, TimelineId};
use std::time::Duration;

/// The receiver ends in milliseconds (F40); a stopped process may not, and then ending the server is quicker.
const SEALED_WITHIN: Duration = Duration::from_secs(2);

impl Instance {
    /// Takes the upstream away and reads the end. With an epoch, it is proof.
    ///
    /// `ended`: where the upstream was seen to end, gone; whoever holds that can receive nothing more, and need not be
    /// watched for it.
    pub(super) async fn seal(
        &self,
        stamp: Stamp,
        epoch: Option<Epoch>,
        line: Option<&History>,
        ended: Option<Position>,
    ) -> Done {
        {
            let mut run = self.run();
            run.role = None;
            run.replaying = None;
        }
        let position = match self.server.seal(line, ended, SEALED_WITHIN).await {
            Ok(position) => position,
            Err(error @ postgres::Error::Silent { .. }) if epoch.is_some() => {
                return self.stop(Stop::Fence, &format!("it cannot be sealed while it runs: {error}")).await;
            }
            Err(error) => return Err(error.into()),
        };
        {
            let mut run = self.run();
            run.role = Some(Role::Sealed);
            run.upstream = None;
            run.replaying = Some(position.timeline);
        }
        if self.removed_abandoned(position.timeline, line).await? {
            // It may have one of them for its target already. Ended, it is sealed as well.
            return self.stop(Stop::Fast, "it knew of a timeline that it is not on").await;
        }
        match epoch {
            Some(_) if self.was_rolled_back(position, line).await? => Ok(()),
            Some(epoch) => self.prove_seal(stamp, epoch, position, false, line).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Reads where a stopped server's copy ends, or where a sealed one's does.
    pub(super) async fn scan_end(
        &self,
        stamp: Stamp,
        epoch: Option<Epoch>,
        stopped: bool,
        line: Option<&History>,
    ) -> Done {
        if stopped && self.running().is_some() {
            return Err(StepError::NotYet("the server still runs".to_owned()));
        }
        let end = match epoch {
            Some(_) => self.server.wal_end(None, line).await,
            None => {
                let memory = self.memory();
                let rebuilt = memory.rebuilt == Some(memory.incarnation);
                self.server.data_end(line, rebuilt, memory.told).await
            }
        };
        let position = match (end, epoch) {
            (Ok(position), _) => position,
            // No seal can be made of it, and nothing is to be followed with it: only a new copy helps.
            (Err(postgres::Error::Unknown(why)), None) => {
                self.known().endless = Some(why);
                return Ok(());
            }
            (Err(error), _) => return Err(error.into()),
        };
        if self.was_rolled_back(position, line).await? {
            return Ok(());
        }
        let history = match epoch {
            Some(epoch) => self.prove_seal(stamp, epoch, position, stopped, line).await?,
            None => self.history(position.timeline, line).await?,
        };
        let mut known = self.known();
        known.end = Some(End { position, history });
        Ok(())
    }

    /// Removes histories that would lead the copy, whose newest record is on `own`, astray; true when there were any.
    pub(super) async fn removed_abandoned(
        &self,
        own: TimelineId,
        line: Option<&History>,
    ) -> Result<bool, StepError> {
        let removed = self.server.remove_abandoned(own, line).await?;
        for timeline in &removed {
            tracing::warn!(
                cluster = %self.config.cluster, %timeline,
                "pg_wal had the history of a timeline that this copy is not on; it was removed"
            );
        }
        Ok(!removed.is_empty())
    }

    async fn prove_seal(
        &self,
        stamp: Stamp,
        epoch: Epoch,
        position: Position,
        stopped: bool,
        line: Option<&History>,
    ) -> Result<History, StepError> {
        let history = self.history(position.timeline, line).await?;
        let fork = Promotion::of(&history);
        // Told positions are kept: a copy that later ends below one was rolled back (clause 8).
        self.remember(move |memory| memory.told = memory.told.max(Some(position))).await?;
        self.still(stamp)?;
        let mut known = self.known();
        known.proofs.sealed = Some(Seal { epoch, position, stopped, fork });
        if stopped {
            known.exit = None;
        }
        drop(known);
        self.tell_proofs();
        let how = if stopped { "stopped" } else { "sealed" };
        tracing::info!(cluster = %self.config.cluster, %epoch, lsn = %position.lsn, timeline = %position.timeline, "{how}");
        Ok(history)
    }

    /// Ancestry of a timeline that this copy is on.
    pub(super) async fn history(
        &self,
        timeline: TimelineId,
        line: Option<&History>,
    ) -> Result<History, StepError> {
        self.server.history(timeline, line).await?.ok_or_else(|| {
            StepError::NotYet(format!(
                "the history of timeline {timeline} is neither in pg_wal nor in the record's line; clone this instance"
            ))
        })
    }
}
