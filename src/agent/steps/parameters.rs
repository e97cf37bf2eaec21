//! The cluster's PostgreSQL parameters: judged by this server's own PostgreSQL before anybody has them, then written,
//! reloaded, and looked at for what waits for a restart.

use super::Done;
use crate::instance::Instance;
use crate::postgres;
use interrex_cluster::goal::PrimaryGoal;
use interrex_cluster::ids::Stamp;
use std::collections::BTreeMap;

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
        if self.server.write_parameters(wanted).await? {
            self.server.reload().await?;
            tracing::info!(cluster = %self.config.cluster, parameters = wanted.len(), "parameters were set");
        }
        let pending = self.server.pending_restart().await?;
        let mut run = self.run();
        run.parameters = Some(wanted.clone());
        run.pending_restart = pending;
        Ok(())
    }
}
