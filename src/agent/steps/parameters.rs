//! The cluster's PostgreSQL parameters: judged by this server's own PostgreSQL before anybody has them, then written,
//! reloaded, and looked at for what waits for a restart.

use super::Done;
use crate::instance::Instance;
use crate::postgres;
use interrex_cluster::goal::PrimaryGoal;
use interrex_cluster::ids::Stamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Takes a millisecond as a rule. What is written and not read keeps nothing else waiting.
const READ_WITHIN: Duration = Duration::from_secs(2);

impl Instance {
    /// Says whether PostgreSQL takes what is proposed. Changes nothing.
    pub(super) async fn judge(&self, goal: &PrimaryGoal) -> Done {
        let Some((number, proposed)) = &goal.judge else { return Ok(()) };
        let refused = match self.server.judge_parameters(proposed).await {
            Ok(()) => None,
            Err(postgres::Error::Refused(why)) => Some(why),
            Err(other) => return Err(other.into()),
        };
        self.known().proofs.judged = Some((*number, refused));
        self.tell_proofs();
        Ok(())
    }

    /// Writes and reloads them; what takes a restart is told.
    pub(super) async fn set_parameters(&self, stamp: Stamp, wanted: &BTreeMap<String, String>) -> Done {
        self.still(stamp)?;
        let changed = self.server.write_parameters(wanted).await?;
        // Also where the file says so already: whoever wrote it may have died before anybody was told to read it.
        let unread = self.server.reload_and_read(READ_WITHIN).await?;
        if unread.is_some() {
            tracing::warn!(
                cluster = %self.config.cluster,
                "parameters were set, and PostgreSQL has not read its files within {} s; it says why in {}",
                READ_WITHIN.as_secs(), self.rooms.log().display()
            );
        } else if changed {
            tracing::info!(cluster = %self.config.cluster, parameters = wanted.len(), "parameters were set");
        }
        let pending = self.server.pending_restart().await?;
        let mut run = self.run();
        run.parameters = Some(wanted.clone());
        run.unread = unread;
        run.pending_restart = pending;
        Ok(())
    }
}
