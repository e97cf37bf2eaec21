//! `pause CLUSTER` and `resume CLUSTER`.

use crate::{CtlError, Output, Session};
use clap::Args;
use interrex_cluster::ids::ClusterName;

/// Which cluster.
#[derive(Debug, Clone, Args)]
pub struct Pause {
    /// The cluster.
    cluster: ClusterName,
}

impl Pause {
    pub(crate) async fn run(&self, session: &mut Session<'_>, paused: bool) -> Result<(), CtlError> {
        let changed = session.client.set_paused(&self.cluster, paused).await?;
        if session.output == Output::Json {
            return session.json(&serde_json::json!({ "paused": paused, "changed": changed }));
        }
        let cluster = &self.cluster;
        match (paused, changed) {
            (true, true) => writeln!(
                session.out,
                "{cluster} is paused: no failover, no rebuild and no switchover begins; a superseded primary is fenced all \
                 the same. To go on: interrex resume {cluster}"
            )?,
            (true, false) => writeln!(session.out, "{cluster} was paused already")?,
            (false, true) => writeln!(session.out, "{cluster} is no longer paused")?,
            (false, false) => writeln!(session.out, "{cluster} was not paused")?,
        }
        Ok(())
    }
}
