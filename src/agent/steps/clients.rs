//! Letting clients in, and keeping them out.

use super::Done;
use crate::instance::Instance;
use crate::postgres::Clients;
use interrex_cluster::goal::PrimaryGoal;
use interrex_cluster::ids::Stamp;

impl Instance {
    /// By pg_hba.conf first, so that nobody comes back; then whoever is there is cut.
    pub(super) async fn shut_clients(&self, stamp: Stamp) -> Done {
        self.still(stamp)?;
        self.server.write_hba(Clients::Out).await?;
        // Also where the file says so already: whoever wrote it may have died before anybody was told to read it.
        self.server.reload().await?;
        self.server.cut_clients().await?;
        self.run().clients = Some(Clients::Out);
        Ok(())
    }

    pub(super) async fn open_clients(&self, stamp: Stamp, goal: &PrimaryGoal) -> Done {
        self.still(stamp)?;
        self.server.write_hba(Clients::In).await?;
        self.server.reload().await?;
        self.run().clients = Some(Clients::In);
        self.known().proofs.opened = Some(goal.epoch);
        self.tell_proofs();
        tracing::info!(cluster = %self.config.cluster, epoch = %goal.epoch, "clients are let in");
        Ok(())
    }
}
