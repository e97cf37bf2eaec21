//! Pointing the receiver at an upstream. The rules have made sure that the copy is on the upstream's line.

use super::{Done, SHOWN_WITHIN, StepError, start::upstream};
use crate::instance::Instance;
use crate::postgres::{Clients, Role};
use interrex_cluster::goal::StandbyGoal;
use interrex_cluster::ids::Stamp;
use interrex_cluster::instance::next_step::Stop;
use std::time::Duration;
use tokio::time::{Instant, sleep};

impl Instance {
    pub(super) async fn follow(&self, stamp: Stamp, goal: &StandbyGoal) -> Done {
        let role = Role::Standby { upstream: upstream(goal) };
        let replaying = self.run().replaying;
        if let Some(own) = replaying
            && self.removed_abandoned(own, goal.line.as_ref()).await?
        {
            return self.stop(Stop::Fast, "it knew of a timeline that it is not on").await;
        }
        let log_from = self.rooms.log_end();
        // From here on the position may move: what was proved about it is void.
        self.known().proofs.sealed = None;
        self.still(stamp)?;
        self.give_up_past_the_fork(goal).await?;
        self.write_role(&role).await?;
        self.server.write_hba(Clients::In).await?;
        // Also where both say so already: whoever wrote them may have died before anybody was told to read them.
        self.server.reload().await?;
        self.shown("primary_conninfo", |shown| shown.contains(&goal.name)).await?;
        let mut run = self.run();
        run.role = Some(role);
        run.upstream = Some(goal.upstream.clone());
        run.clients = Some(Clients::In);
        run.replaying = None;
        run.log_from = log_from;
        tracing::info!(
            cluster = %self.config.cluster, epoch = %goal.epoch,
            "following {} at {}", goal.upstream, goal.address
        );
        Ok(())
    }

    /// Waits until a fresh connection shows what was written.
    pub(super) async fn shown(&self, setting: &str, wanted: impl Fn(&str) -> bool) -> Done {
        let until = Instant::now() + SHOWN_WITHIN;
        loop {
            let shown = self.server.shown(setting).await?;
            if wanted(&shown) {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(StepError::NotYet(format!(
                    "{setting} was written and reloaded, and still shows '{shown}'; does another file or the command \
                     line set it?"
                )));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}
