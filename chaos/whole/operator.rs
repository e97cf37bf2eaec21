//! An operator: asks by the admin client that ships, of whichever coordinator leads, from a machine of the cluster. Who
//! finds no leader, or is refused, gives up; what became of it is a line of the play. What whoever leads makes of the cluster
//! goes to the world.

use crate::coordinator::{address, machine_name};
use crate::hear::Ear;
use crate::net::Net;
use crate::process::Process;
use interrex_api::admin::{
    ChangeProgress, CoordinatorChange, FailoverRequest, SetSpecRequest, SwitchoverRequest,
};
use interrex_api::client::{Client, ClientError, ClientOptions};
use interrex_cluster::ids::ClusterName;
use interrex_rt::Dialer;
use interrex_sim::Asked;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// An operator and his terminal.
pub(crate) struct Operator {
    pub(crate) process: Process,
    dialer: Dialer,
    coordinators: Vec<String>,
    explained: Explained,
}

/// Answers that the world has not taken yet: of which cluster, and the lines.
type Explained = Arc<Mutex<Vec<(ClusterName, Vec<String>)>>>;

impl Operator {
    pub(crate) fn new(seed: u64, net: &Net, coordinators: usize) -> Self {
        let dialer = Dialer::through(Arc::new(net.host(0)));
        let coordinators = (0..coordinators).map(address).collect();
        Self { process: Process::new(seed), dialer, coordinators, explained: Arc::default() }
    }

    /// From now on he sits at that machine.
    pub(crate) fn sits_at(&mut self, net: &Net, machine: usize) {
        self.dialer = Dialer::through(Arc::new(net.host(machine)));
    }

    /// What he was told of clusters since this was last asked.
    pub(crate) fn explained(&self) -> Vec<(ClusterName, Vec<String>)> {
        std::mem::take(&mut *self.explained.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on he asks that one alone.
    pub(crate) fn asks_only(&mut self, c: usize) {
        self.coordinators = vec![address(c)];
    }

    /// Asks for something of a cluster, without waiting for it.
    pub(crate) fn ask(&self, cluster: ClusterName, what: Asked, ear: Option<Ear>) {
        let options = ClientOptions { dialer: self.dialer.clone(), ..ClientOptions::default() };
        let (coordinators, explained) = (self.coordinators.clone(), self.explained.clone());
        self.process.spawn(async move {
            let client = Client::new(coordinators, options);
            let answer = match client {
                Ok(client) => ask(&client, cluster.clone(), what.clone(), &explained).await,
                Err(why) => Err(why),
            };
            if let Some(ear) = ear {
                let answer = answer.unwrap_or_else(|why| format!("refused: {why}"));
                ear.hear(format!("an operator of {cluster}: {what:?}: {answer}"));
            }
        });
    }
}

/// What was answered, in words.
async fn ask(
    client: &Client,
    name: ClusterName,
    what: Asked,
    explained: &Explained,
) -> Result<String, ClientError> {
    match what {
        Asked::Explanation => {
            let lines = client.explain(&name).await?.lines;
            let told = lines.join("; ");
            explained.lock().unwrap_or_else(PoisonError::into_inner).push((name, lines));
            Ok(told)
        }
        Asked::Switchover { to } => {
            let reply = client.switchover(&SwitchoverRequest { name, to, dry_run: false }).await?;
            Ok(begun(reply.accepted, &reply.waits))
        }
        Asked::Failover { to, accept_loss } => {
            let fenced = BTreeSet::new();
            let request = FailoverRequest { name, to, dry_run: false, accept_loss, fenced };
            let reply = client.failover(&request).await?;
            Ok(begun(reply.accepted, &reply.waits))
        }
        Asked::Paused(paused) => {
            let changed = client.set_paused(&name, paused).await?;
            Ok(if changed { "done".to_owned() } else { "it was so".to_owned() })
        }
        Asked::Coordinator { c, belongs } => {
            let machine = machine_name(c);
            let change = match belongs {
                true => CoordinatorChange::Add { machine, address: address(c) },
                false => CoordinatorChange::Remove { machine },
            };
            Ok(match client.change_coordinators(&change).await? {
                ChangeProgress::Doing(how) => how,
                ChangeProgress::Done { voters, .. } => format!("{} vote", voters.len()),
            })
        }
        Asked::Set(changes) => {
            let pair = |change: &String| {
                let (key, value) = change.split_once('=')?;
                Some((key.to_owned(), value.to_owned()))
            };
            let changes = changes.iter().filter_map(pair).collect();
            Ok(client.set_spec(&SetSpecRequest { name, changes }).await?.changed.join(" "))
        }
        Asked::Instance { instance, what } => {
            let epoch = client.ask_instance(&name, &instance, what).await?;
            Ok(epoch.map_or_else(|| "noted".to_owned(), |epoch| format!("epoch {epoch} begins")))
        }
    }
}

fn begun(accepted: bool, waits: &[String]) -> String {
    if accepted { "begun".to_owned() } else { waits.join("; ") }
}
