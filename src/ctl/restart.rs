//! `restart CLUSTER [INSTANCE] [--pending]`: one after the other, each followed until it is done, and in the order that
//! what replay checks demands (F25): raised on the standbys first, lowered on the primary first.

use crate::instance::until;
use crate::{CtlError, Output, Session};
use crate::{parameters, planned};
use clap::Args;
use interrex_api::client::Client;
use interrex_cluster::command::Asking;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName};
use interrex_cluster::report::REPLAY_CHECKS;
use interrex_cluster::status::InstanceStatus;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Between looks at whether a server comes up, or waits for a restart: no event tells of that.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// For standbys to tell that they replayed the primary's lower values: agents compare them every few seconds.
const REPLAYED_WITHIN: Duration = Duration::from_secs(60);

/// Restart PostgreSQL: one instance, or all, the standbys first.
#[derive(Debug, Clone, Args)]
pub struct Restart {
    /// The cluster.
    cluster: ClusterName,
    /// Which instance; without it all of them, one after the other, the primary last; and the standbys once more, where
    /// a parameter that replay checks was lowered.
    instance: Option<InstanceName>,
    /// Only those with parameters that wait for a restart.
    #[arg(long, conflicts_with = "instance")]
    pending: bool,
}

impl Restart {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let (status, late) = match self.pending {
            true => parameters::read_everywhere(session, &self.cluster).await?,
            false => (session.client.get_cluster(&self.cluster).await?, Vec::new()),
        };
        let primary = status.primary.clone();
        let chosen = |i: &&InstanceStatus| match &self.instance {
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
        self.refuse_silent(&status.instances, &names)?;
        names.sort_by_key(|name| (primary.as_ref() == Some(name), name.clone()));
        if names.is_empty() && session.output == Output::Table {
            writeln!(session.out, "no instance of {} waits for a restart", self.cluster)?;
        }
        self.roll_out(session, &status.instances, &names).await?;
        if let Some(primary) = primary.filter(|primary| self.instance.is_none() && names.contains(primary)) {
            let late = follow_lower(&status.instances, &primary);
            let instances = until_pending(session, &self.cluster, &late).await?;
            self.roll_out(session, &instances, &late).await?;
            names.extend(late);
        }
        if session.output == Output::Json {
            session.json(&serde_json::json!({ "cluster": self.cluster, "restarted": names }))?;
        }
        if late.is_empty() {
            return Ok(());
        }
        Err(CtlError::Refused(format!(
            "whether it waits for a restart is not known of {}; once its server answers: interrex restart {} --pending",
            late.join(", "),
            self.cluster
        )))
    }

    /// Whoever is silent would be waited for without end, and be restarted whenever it comes back.
    fn refuse_silent(&self, instances: &[InstanceStatus], names: &[InstanceName]) -> Result<(), CtlError> {
        let asked = instances.iter().filter(|one| names.contains(&one.name));
        let (speak, silent): (Vec<_>, Vec<_>) = asked.partition(|one| parameters::speaks(one));
        if silent.is_empty() {
            return Ok(());
        }
        let list =
            |of: &[&InstanceStatus]| of.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        let cluster = &self.cluster;
        let others = match speak.as_slice() {
            [] => String::new(),
            speak => format!("; without: interrex restart {cluster} INSTANCE, of {}", list(speak)),
        };
        Err(CtlError::Refused(format!(
            "nothing is restarted: the agent of {} is silent, and its restart would be waited for without end; see: interrex \
             explain {cluster}{others}",
            list(&silent)
        )))
    }

    /// One after the other.
    async fn roll_out(
        &self,
        session: &mut Session<'_>,
        instances: &[InstanceStatus],
        names: &[InstanceName],
    ) -> Result<(), CtlError> {
        for (done, name) in names.iter().enumerate() {
            let pending = instances.iter().find(|i| i.name == *name).map(|i| i.pending_restart.as_slice());
            let rest = &names[done + 1..];
            let rollout = Rollout { cluster: &self.cluster, pending: pending.unwrap_or_default(), rest };
            rollout.one(session, name).await?;
        }
        Ok(())
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
        let begins = session.client.ask_instance(cluster, name, Asking::Restart).await?;
        let client = session.client.clone();
        let restarted = async {
            match begins {
                Some(epoch) => stays_primary(session, cluster, before, epoch, name).await,
                None => until(session, cluster, before, "restarted", name).await,
            }
        };
        tokio::select! {
            done = restarted => done,
            lines = does_not_start(&client, cluster, name) => Err(self.stopped_at(name, &lines, begins.is_some())),
        }
    }

    /// Why it went no further, and the way back. Where it is the primary nobody is left to judge another value.
    fn stopped_at(&self, name: &InstanceName, lines: &[String], primary: bool) -> CtlError {
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
            pending if primary => format!(
                "it was to take up {}; take what stands in its way back with: interrex set {cluster} {} (PostgreSQL's own \
                 value: another one takes a primary that judges it), and it starts by itself",
                pending.join(", "),
                pending.iter().map(|name| format!("{name}=")).collect::<Vec<_>>().join(" ")
            ),
            pending => format!(
                "it was to take up {}; give what stands in its way its former value with: interrex set {cluster} {} \
                 (without VALUE: PostgreSQL's own), and it starts by itself",
                pending.join(", "),
                pending.iter().map(|name| format!("{name}=VALUE")).collect::<Vec<_>>().join(" ")
            ),
        };
        CtlError::Refused(format!("{name} does not start again: {said}{others}; {way_back}"))
    }
}

/// The primary is restarted by way of an epoch that begins with it again: a switchover to itself, which may end as any other
/// does, and says so in the same words.
async fn stays_primary(
    session: &mut Session<'_>,
    cluster: &ClusterName,
    before: u64,
    epoch: Epoch,
    name: &InstanceName,
) -> Result<(), CtlError> {
    planned::follow(session, cluster, before, epoch, name).await?.checked(name)
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

/// Who is to be restarted after the primary: what replay checks is lowered there first, and nobody has it lower before
/// the primary's new value was replayed. What is raised waited for a restart of the standbys, too.
fn follow_lower(before: &[InstanceStatus], primary: &InstanceName) -> Vec<InstanceName> {
    let checked = |instance: &InstanceStatus| {
        let pending = instance.pending_restart.iter().filter(|name| REPLAY_CHECKS.contains(&name.as_str()));
        pending.cloned().collect::<BTreeSet<String>>()
    };
    let of = before.iter().find(|instance| instance.name == *primary).map(checked);
    let of = of.unwrap_or_default();
    let others = before.iter().filter(|instance| instance.name != *primary);
    others.filter(|other| !of.is_subset(&checked(other))).map(|other| other.name.clone()).collect()
}

/// Waits until all of them tell that a restart would change something, and gives what everybody tells.
async fn until_pending(
    session: &Session<'_>,
    cluster: &ClusterName,
    names: &[InstanceName],
) -> Result<Vec<InstanceStatus>, CtlError> {
    let since = Instant::now();
    loop {
        let status = session.client.get_cluster(cluster).await?;
        let pending = |name: &&InstanceName| {
            status.instances.iter().any(|one| one.name == **name && !one.pending_restart.is_empty())
        };
        let Some(silent) = names.iter().find(|name| !pending(name)) else { return Ok(status.instances) };
        if since.elapsed() >= REPLAYED_WITHIN {
            return Err(CtlError::Refused(format!(
                "{silent} has not replayed yet what the primary runs with now; once interrex show {cluster} says that it \
                 has yet to be restarted: interrex restart {cluster} --pending"
            )));
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whole_cluster::whole;

    #[test]
    fn standbys_follow_a_primary_that_was_lowered_and_go_before_one_that_was_raised() {
        let primary: InstanceName = "n1".parse().unwrap();
        let late = |of: &[&str], standby: &[&str]| {
            let mut instances = whole().instances;
            instances.truncate(2);
            for (instance, pending) in instances.iter_mut().zip([of, standby]) {
                instance.pending_restart = pending.iter().map(ToString::to_string).collect();
            }
            follow_lower(&instances, &primary).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(late(&["max_connections"], &[]), ["n2"], "lowered");
        assert_eq!(late(&["max_connections"], &["max_connections"]), [""; 0], "raised");
        assert_eq!(late(&["shared_buffers"], &[]), [""; 0], "replay does not check it");
        assert_eq!(late(&["max_connections", "max_wal_senders"], &["max_connections"]), ["n2"], "both");
    }
}
