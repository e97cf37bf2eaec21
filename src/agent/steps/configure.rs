//! The commit rule: into the configuration, into force, proved. And what standbys need of their primary, and a
//! switchover before it begins.

use super::Done;
use crate::instance::Instance;
use crate::postgres::{Role, SyncText};
use crate::session::now;
use interrex_cluster::goal::{PrimaryGoal, SyncSetting};
use interrex_cluster::ids::{Revision, Stamp};
use std::time::Duration;

/// The walsenders' and the standbys' part of a proof; one that takes longer begins anew: the rule may be another by then.
const PROVED_WITHIN: Duration = Duration::from_secs(10);
/// A large buffer pool on a slow disk takes minutes; the coordinators' patience ends before this.
const CHECKPOINTED_WITHIN: Duration = Duration::from_secs(900);

impl Instance {
    /// `synchronous_standby_names` as the goal has it; shown by a fresh connection when this returns.
    pub(super) async fn configure(&self, stamp: Stamp, goal: &PrimaryGoal) -> Done {
        let sync = text(&goal.sync);
        if goal.sync.k == 0 {
            // The deadline falls back to what coordinators granted before any commit may go unacknowledged.
            self.keeper.asynchronous().await?;
        }
        let before = self.server.shown("synchronous_standby_names").await?;
        if before.is_empty() || goal.sync.k == 0 {
            self.run().from_async = true;
        }
        let role = Role::Primary { sync: sync.clone() };
        self.run().role = None;
        self.still(stamp)?;
        if self.write_role(&role).await? || !sync.is_shown_by(&before) {
            self.server.reload().await?;
        }
        self.shown("synchronous_standby_names", |shown| sync.is_shown_by(shown)).await?;
        self.run().role = Some(role);
        Ok(())
    }

    /// The three-part barrier (PROTOCOL.md). Only after it may coordinators retire older rules, and beats renew.
    pub(super) async fn prove(&self, goal: &PrimaryGoal) -> Done {
        let from_async = self.run().from_async;
        if from_async && goal.sync.k > 0 {
            // Once is enough: while the names stay the checkpointer keeps what it has read, and whatever else cannot be
            // proved would cost a checkpoint with each try.
            self.server.prove_checkpointer(CHECKPOINTED_WITHIN).await?;
            self.run().from_async = false;
        }
        self.server.barrier(&text(&goal.sync), PROVED_WITHIN).await?;
        if goal.sync.k > 0 {
            self.keeper.synchronous().await;
        }
        self.known().proofs.rule = Some((goal.epoch, goal.sync.rule));
        tracing::info!(
            cluster = %self.config.cluster, epoch = %goal.epoch, rule = %goal.sync.rule, k = goal.sync.k,
            "the commit rule is in force"
        );
        Ok(())
    }

    /// Dirty pages go to disk while clients are served, so that the shutdown of a switchover has little left to write.
    pub(super) async fn checkpoint(&self, number: Revision) -> Done {
        self.server.checkpoint(CHECKPOINTED_WITHIN).await?;
        self.known().proofs.checkpoint = Some(number);
        self.tell_proofs();
        Ok(())
    }

    /// Slots, and the roles that every copy then has.
    pub(super) async fn serve_standbys(&self, goal: &PrimaryGoal) -> Done {
        let left = self.server.ensure_slots(&goal.slots).await?;
        self.run().made_slots(&goal.slots, left, now());
        let ready = self.run().roles_ready;
        if !ready {
            self.server.ensure_roles(&self.config.cluster).await?;
            self.run().roles_ready = true;
        }
        Ok(())
    }
}

pub(super) fn text(sync: &SyncSetting) -> SyncText {
    SyncText { k: sync.k, names: sync.names.clone() }
}
