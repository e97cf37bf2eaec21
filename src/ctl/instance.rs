//! What is asked of single instances: `reinit CLUSTER INSTANCE`, `instance remove|keep CLUSTER INSTANCE`. Each is followed
//! until it is done. Restarts, which go over several, are [`crate::restart`]'s.

use crate::planned::{self, Say};
use crate::{CtlError, Output, Session};
use clap::{Args, Subcommand};
use interrex_cluster::command::Asking;
use interrex_cluster::event::Event;
use interrex_cluster::ids::{ClusterName, InstanceName};

/// Give an instance's copy up and clone it anew. It acknowledges nothing meanwhile: what that means for writes is told,
/// and where they would wait until the new copy streams it is refused.
#[derive(Debug, Clone, Args)]
pub struct Reinit {
    /// The cluster.
    cluster: ClusterName,
    /// Which standby.
    instance: InstanceName,
    /// Delete the old copy first: there is no room for two, or its directory is a mount point.
    #[arg(long)]
    discard_old: bool,
    /// Return once it is recorded, instead of following it to its end.
    #[arg(long)]
    no_wait: bool,
}

/// What can be done with the list of instances.
#[derive(Debug, Clone, Subcommand)]
pub enum Instance {
    /// Take an instance out of the cluster for good; its data directory is left as it is.
    Remove {
        /// The cluster.
        cluster: ClusterName,
        /// Which standby.
        instance: InstanceName,
        /// Return once it is recorded, instead of following it to its end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Take back what was asked of an instance and is not done yet: a restart, a new copy, its removal.
    Keep {
        /// The cluster.
        cluster: ClusterName,
        /// Which instance.
        instance: InstanceName,
    },
}

impl Reinit {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let what = Asking::Reinit { discard_old: self.discard_old };
        ask(session, &self.cluster, &self.instance, what, "whole", self.no_wait).await
    }
}

impl Instance {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        match self {
            Instance::Remove { cluster, instance, no_wait } => {
                ask(session, cluster, instance, Asking::Leave, "removed", *no_wait).await
            }
            Instance::Keep { cluster, instance } => {
                ask(session, cluster, instance, Asking::Nothing, "taken-back", true).await
            }
        }
    }
}

async fn ask(
    session: &mut Session<'_>,
    cluster: &ClusterName,
    instance: &InstanceName,
    what: Asking,
    done: &str,
    no_wait: bool,
) -> Result<(), CtlError> {
    let before = planned::newest(session, cluster).await?;
    session.client.ask_instance(cluster, instance, what).await?;
    if !no_wait {
        until(session, cluster, before, done, instance).await?;
    }
    if session.output == Output::Json {
        return session.json(&serde_json::json!({
            "cluster": cluster, "instance": instance, "done": !no_wait || what == Asking::Nothing,
        }));
    }
    match what {
        Asking::Nothing => {
            writeln!(session.out, "{instance} stays as it is: nothing is asked of it any more")?
        }
        _ if no_wait => {
            writeln!(
                session.out,
                "asked; it goes on by itself, which is told by: interrex explain {cluster}"
            )?;
        }
        Asking::Leave => writeln!(
            session.out,
            "its node is told nothing any more; for good, take its [[instance]] out of the node file, or it asks to be let in \
             again and is turned away"
        )?,
        _ => {}
    }
    Ok(())
}

/// Tells what happens to the cluster until `kind` happened to `instance`.
pub(crate) async fn until(
    session: &mut Session<'_>,
    cluster: &ClusterName,
    after: u64,
    kind: &str,
    instance: &InstanceName,
) -> Result<(), CtlError> {
    let judge = |event: Event| {
        let about = event.text.split_whitespace().any(|word| word == instance.as_str());
        match event.kind.as_str() {
            reached if reached == kind && about => Some(Ok(())),
            "taken-back" if about => Some(Err(CtlError::Refused(event.text))),
            _ => None,
        }
    };
    planned::until(session, cluster, after, Say::Everything, judge).await
}
