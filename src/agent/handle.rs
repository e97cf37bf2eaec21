//! A look at an agent from the same process: the machine's instances, what each is busy with, and what went wrong last.
//! Nobody is asked for it, and no agent is held up by it.

use crate::agent::Agent;
use crate::config::InstanceConfig;
use crate::instance::lock;
use crate::session::now;
use crate::told::Outgoing;
use interrex_cluster::ids::{ClusterName, InstanceName, MachineName};
use interrex_cluster::report::Report;
use interrex_cluster::time::Instant;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// A look at an agent. Cheap to clone; good before, during and after its run.
#[derive(Debug, Clone)]
pub struct Handle {
    machine: MachineName,
    desks: Arc<[Arc<Desk>]>,
}

/// One instance of the machine, as its agent knows it at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tended {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Its name there.
    pub instance: InstanceName,
    /// What the agent tells the coordinators of it: the server, what it is busy with (`doing`; absent: nothing is left to
    /// be done), its lease. Absent before it was looked at, which takes a registration, and thus a coordinator.
    pub report: Option<Report>,
    /// How long ago the server was looked at; a quarter of a second at most as a rule while the agent runs. Absent as
    /// `report` is.
    pub looked: Option<Duration>,
    /// What went wrong last in this run of the agent: kept when it is over, so see its age. Absent: nothing did.
    pub trouble: Option<Trouble>,
}

/// Something that could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What and why, as a sentence that can be printed.
    pub what: String,
    /// How long ago it was last so. What lasts is noted again with each try, at most fifteen seconds apart but for a try that
    /// takes longer.
    pub ago: Duration,
}

impl Handle {
    pub(crate) fn of(agent: &Agent) -> Self {
        Self { machine: agent.config.machine.clone(), desks: agent.desks.clone() }
    }

    /// The agent's machine.
    #[must_use]
    pub fn machine(&self) -> &MachineName {
        &self.machine
    }

    /// Every instance of the machine, in the order in which the agent was given them.
    #[must_use]
    pub fn instances(&self) -> Vec<Tended> {
        let now = now();
        self.desks.iter().map(|desk| desk.tended(now)).collect()
    }
}

/// Where what is known of one instance lies ready. It outlives the tries to tend it.
#[derive(Debug)]
pub(crate) struct Desk {
    cluster: ClusterName,
    instance: InstanceName,
    /// Of the newest try.
    report: Mutex<Option<watch::Receiver<Option<Outgoing>>>>,
    trouble: Mutex<Option<(String, Instant)>>,
}

impl Desk {
    pub(crate) fn of(config: &InstanceConfig) -> Arc<Self> {
        let (cluster, instance) = (config.cluster.clone(), config.name.clone());
        Arc::new(Self { cluster, instance, report: Mutex::default(), trouble: Mutex::default() })
    }

    /// What is told from now on comes from here.
    pub(crate) fn follow(&self, report: &watch::Sender<Option<Outgoing>>) {
        *lock(&self.report) = Some(report.subscribe());
    }

    /// Something could not be done.
    pub(crate) fn note(&self, what: String) {
        *lock(&self.trouble) = Some((what, now()));
    }

    fn tended(&self, now: Instant) -> Tended {
        let told = lock(&self.report).as_ref().and_then(|report| report.borrow().clone());
        let trouble = lock(&self.trouble).clone();
        Tended {
            cluster: self.cluster.clone(),
            instance: self.instance.clone(),
            looked: told.as_ref().map(|told| now.since(told.seen)),
            report: told.map(|told| told.report),
            trouble: trouble.map(|(what, at)| Trouble { what, ago: now.since(at) }),
        }
    }
}
