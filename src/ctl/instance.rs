//! What is asked of single instances: `restart CLUSTER [INSTANCE]`, `reinit CLUSTER INSTANCE`, `instance remove|keep
//! CLUSTER INSTANCE`. Each is followed until it is done.

use crate::planned::{self, Say};
use crate::{CtlError, Output, Session};
use clap::{Args, Subcommand};
use interrex_api::client::Client;
use interrex_cluster::command::Asking;
use interrex_cluster::event::Event;
use interrex_cluster::ids::{ClusterName, InstanceName};
use std::time::Duration;
use tokio::time::sleep;

/// Between looks at whether a server comes up: no event tells that it does not.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Restart PostgreSQL: one instance, or all, the standbys first.
#[derive(Debug, Clone, Args)]
pub struct Restart {
    /// The cluster.
    cluster: ClusterName,
    /// Which instance; without it all of them, one after the other, the primary last.
    instance: Option<InstanceName>,
    /// Only those with parameters that wait for a restart.
    #[arg(long, conflicts_with = "instance")]
    pending: bool,
}

/// Give an instance's copy up and clone it anew.
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

impl Restart {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let status = session.client.get_cluster(&self.cluster).await?;
        let primary = status.primary.clone();
        let chosen = |i: &&interrex_cluster::status::InstanceStatus| match &self.instance {
            Some(instance) => i.name == *instance,
            None => !self.pending || !i.pending_restart.is_empty(),
        };
        let mut names: Vec<InstanceName> =
            status.instances.iter().filter(chosen).map(|i| i.name.clone()).collect();
        if names.is_empty()
            && let Some(unknown) = &self.instance
        {
            // The coordinators say it best.
            names.push(unknown.clone());
        }
        names.sort_by_key(|name| (primary.as_ref() == Some(name), name.clone()));
        if names.is_empty() && session.output == Output::Table {
            writeln!(session.out, "no instance of {} waits for a restart", self.cluster)?;
        }
        for (done, name) in names.iter().enumerate() {
            let pending =
                status.instances.iter().find(|i| i.name == *name).map(|i| i.pending_restart.as_slice());
            let rest = &names[done + 1..];
            let rollout = Rollout { cluster: &self.cluster, pending: pending.unwrap_or_default(), rest };
            rollout.one(session, name).await?;
        }
        match session.output {
            Output::Json => session.json(&serde_json::json!({ "cluster": self.cluster, "restarted": names })),
            Output::Table => Ok(()),
        }
    }
}

/// One restart among several.
struct Rollout<'a> {
    cluster: &'a ClusterName,
    /// What the instance is to take up.
    pending: &'a [String],
    /// Whose turn is later.
    rest: &'a [InstanceName],
}

impl Rollout<'_> {
    /// Restarts one instance and waits until it is done. One that does not come up again ends it: the others may be all
    /// that is left, and would not come up either.
    async fn one(&self, session: &mut Session<'_>, name: &InstanceName) -> Result<(), CtlError> {
        let cluster = self.cluster;
        let before = planned::newest(session, cluster).await?;
        let Some(epoch) = session.client.ask_instance(cluster, name, Asking::Restart).await? else {
            let client = session.client.clone();
            return tokio::select! {
                done = until(session, cluster, before, "restarted", name) => done,
                lines = does_not_start(&client, cluster, name) => Err(self.stopped_at(name, &lines)),
            };
        };
        let outcome = planned::follow(session, cluster, before, epoch, name).await?;
        match outcome.missed {
            None => Ok(()),
            Some(why) => {
                Err(CtlError::Refused(format!("{name} was restarted and is not primary any more: {why}")))
            }
        }
    }

    /// Why it went no further, and the way back.
    fn stopped_at(&self, name: &InstanceName, lines: &[String]) -> CtlError {
        let cluster = self.cluster;
        let said = lines.iter().rev().find(|line| line.contains("FATAL") || line.contains("PANIC"));
        let said = said.or(lines.last()).map_or("", String::as_str);
        let others = match self.rest {
            [] => String::new(),
            rest => {
                let rest: Vec<&str> = rest.iter().map(InstanceName::as_str).collect();
                format!("; left as they are: {}", rest.join(", "))
            }
        };
        let way_back = match self.pending {
            [] => format!("mend what it names, see: interrex explain {cluster}"),
            pending => format!(
                "it was to take up {}; give that its former value with: interrex set {cluster} {}=VALUE (without VALUE: \
                 PostgreSQL's own), and it starts by itself",
                pending.join(", "),
                pending[0]
            ),
        };
        CtlError::Refused(format!("{name} does not start again: {said}{others}; {way_back}"))
    }
}

/// Waits until the server of an instance is known not to start, and gives the evidence.
async fn does_not_start(client: &Client, cluster: &ClusterName, name: &InstanceName) -> Vec<String> {
    let of = format!("PostgreSQL on {name} ");
    loop {
        sleep(LOOK_AGAIN).await;
        // Whether anybody answers is the business of who follows the events.
        let Ok(status) = client.get_cluster(cluster).await else { continue };
        let mut problems = status.problems.into_iter();
        let found = problems.find(|line| line.code == "does-not-start" && line.sentence.starts_with(&of));
        if let Some(found) = found {
            return found.evidence;
        }
    }
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
    match session.output {
        Output::Json => session.json(&serde_json::json!({
            "cluster": cluster, "instance": instance, "done": !no_wait,
        })),
        Output::Table => Ok(()),
    }
}

/// Tells what happens to the cluster until `kind` happened to `instance`.
async fn until(
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
