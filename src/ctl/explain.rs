//! `explain CLUSTER`: what the rules make of the cluster at this moment, in words.

use crate::{CtlError, Output, Session};
use clap::Args;
use interrex_cluster::ids::ClusterName;

/// Explain one cluster.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// Its name.
    cluster: ClusterName,
}

impl Explain {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let explanation = session.client.explain(&self.cluster).await?;
        if session.output == Output::Json {
            let (lines, status) = (explanation.lines, explanation.status);
            return session.json(&serde_json::json!({ "lines": lines, "cluster": status }));
        }
        writeln!(session.out, "{}: {}", self.cluster, explanation.status.operation)?;
        for line in &explanation.lines {
            writeln!(session.out, "{line}")?;
        }
        // What is waited for may be a deed that fails again and again: whoever does it says why.
        for instance in &explanation.status.instances {
            if let Some(doing) = &instance.doing {
                writeln!(session.out, "agent {}: {doing}", instance.name)?;
            }
        }
        Ok(())
    }
}
