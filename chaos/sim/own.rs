//! What a cluster has to itself in a world of several: its name and wishes, its agents, servers, clients and endpoint, its
//! WAL, what each coordinator keeps for it, and properties that judge it alone. Machines, their clocks, the network, the
//! log and the coordinators are everybody's.
//!
//! One cluster at a time is at hand: its own is the world's, that of the others is put aside. An event bears
//! the number of the cluster that made it, and that cluster is at hand while it happens. Whatever goes from one cluster
//! to another, though nothing should, is told to the properties ([`World::reached`]).

use crate::agent::Agent;
use crate::client::Client;
use crate::coordinator::Desk;
use crate::endpoint::Endpoint;
use crate::existing::Existing;
use crate::faults::Moment;
use crate::neighbour::Neighbour;
use crate::plan::{Plan, Start};
use crate::postgres::Postgres;
use crate::wal::{Archive, Place};
use crate::world::World;
use interrex_check::{Checks, Fact};
use interrex_cluster::goal::Goal;
use interrex_cluster::ids::{ClusterId, ClusterName, InstanceName, SystemId};
use interrex_cluster::spec::Spec;
use std::mem::replace;

/// What a plan says of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Wants {
    pub(crate) spec: Spec,
    /// An instance that is never to be promoted.
    pub(crate) never: Option<usize>,
    pub(crate) start: Start,
    /// What is there before Interrex; absent: nothing of anybody else's.
    pub(crate) existing: Option<Existing>,
    /// Who is primary when a world begins in which its servers run.
    pub(crate) first: usize,
}

/// What a cluster has to itself.
pub(crate) struct Own {
    pub(crate) cluster: ClusterName,
    pub(crate) wants: Wants,
    pub(crate) names: Vec<InstanceName>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) servers: Vec<Postgres>,
    pub(crate) clients: Vec<Client>,
    pub(crate) endpoint: Endpoint,
    /// What each coordinator keeps for it.
    pub(crate) desks: Vec<Desk>,
    pub(crate) archive: Archive,
    /// Where each commit lies.
    pub(crate) commits: Vec<Place>,
    /// Where the agents' roles were made in a PostgreSQL that was taken in.
    pub(crate) roles: Option<Place>,
    /// The first commit that was acknowledged on the newest timeline that acknowledged any.
    pub(crate) newest: Option<Place>,
    /// How often each moment came.
    pub(crate) moments: Vec<u32>,
    pub(crate) checks: Checks,
}

impl Own {
    /// All that the clusters of a plan have to themselves, at the first moment.
    pub(crate) fn of(plan: &Plan) -> Vec<Own> {
        let first = Wants {
            spec: plan.spec.clone(),
            never: plan.never,
            start: plan.start,
            existing: plan.existing.clone(),
            first: 0,
        };
        let mut all = vec![Self::new(plan, 0, plan.instances, plan.clients, first)];
        for neighbour in &plan.neighbours {
            let Neighbour { spec, never, start, first, .. } = neighbour.clone();
            let wants = Wants { spec, never, start, existing: None, first };
            all.push(Self::new(plan, all.len(), neighbour.instances, neighbour.clients, wants));
        }
        all
    }

    fn new(plan: &Plan, number: usize, instances: usize, clients: usize, wants: Wants) -> Self {
        let names: Vec<InstanceName> = (1..=instances).map(crate::plan::name).collect();
        Self {
            cluster: crate::plan::cluster(number),
            wants,
            agents: names.iter().map(|name| Agent::new(name.clone(), plan.coordinators)).collect(),
            servers: names.iter().map(|_| Postgres::default()).collect(),
            clients: (0..clients).map(|_| Client::default()).collect(),
            endpoint: Endpoint::default(),
            desks: (0..plan.coordinators).map(|_| Desk::default()).collect(),
            archive: Archive::default(),
            commits: Vec::new(),
            roles: None,
            newest: None,
            moments: vec![0; Moment::ALL.len()],
            checks: Checks::default(),
            names,
        }
    }
}

impl World {
    /// Another cluster is at hand from here on.
    pub(crate) fn turn_to(&mut self, cluster: usize) {
        let Some(own) = self.aside.get_mut(cluster).and_then(Option::take) else { return };
        self.aside[self.turn] = Some(replace(&mut self.own, own));
        self.turn = cluster;
        self.trace.is_about(&self.own.cluster);
    }

    /// Does something to each cluster, one after the other.
    pub(crate) fn in_each(&mut self, mut act: impl FnMut(&mut Self)) {
        let turn = self.turn;
        for cluster in 0..self.aside.len() {
            self.turn_to(cluster);
            act(self);
        }
        self.turn_to(turn);
    }

    /// Whether there is more than one cluster.
    pub(crate) fn has_neighbours(&self) -> bool {
        self.aside.len() > 1
    }

    /// The identity of the cluster at hand.
    pub(crate) fn id(&self) -> ClusterId {
        ClusterId(0xC0_FFEE + self.turn as u32)
    }

    /// PostgreSQL's identifier of the cluster at hand.
    pub(crate) fn system(&self) -> SystemId {
        SystemId(SYSTEM + self.turn as u64)
    }

    /// Promotion preference of an instance; absent: never.
    pub(crate) fn priority(&self, i: usize) -> Option<u8> {
        (self.own.wants.never != Some(i)).then_some(1)
    }

    /// Something that a cluster said, or that was decided about it, does something to the one at hand.
    pub(crate) fn reached(&mut self, what: &str, of: usize) {
        if self.has_neighbours() {
            let (of, on) = (crate::plan::cluster(of), crate::plan::cluster(self.turn));
            self.fact(&Fact::Reached { what, of: &of, on: &on });
        }
    }

    /// An agent of the cluster at hand is told a goal.
    pub(crate) fn hears_goal(&mut self, goal: &Goal) {
        if self.has_neighbours() {
            self.reached("a goal", self.whose_goal(goal));
        }
    }

    /// Whose a goal is, by what it says itself.
    fn whose_goal(&self, goal: &Goal) -> usize {
        match goal {
            Goal::Standby(goal) => goal.system.0.wrapping_sub(SYSTEM) as usize,
            Goal::Primary(goal) if goal.standbys.is_empty() => self.turn,
            Goal::Primary(goal) => {
                let bears = |cluster: &usize| {
                    let record = self.log.states.last().and_then(|all| all.get(*cluster)?.record.as_ref());
                    let prefix = record.map(|record| format!("ix{}_", record.id));
                    let bears = |name: &str| prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix));
                    goal.standbys.iter().all(|(_, _, name)| bears(name))
                };
                (0..self.aside.len()).find(bears).unwrap_or(usize::MAX)
            }
            Goal::Await { .. }
            | Goal::Bootstrap
            | Goal::Sealed { .. }
            | Goal::Stopped { .. }
            | Goal::Adopt { .. } => self.turn,
        }
    }
}

/// The system identifier of the first cluster; those of the others follow it.
const SYSTEM: u64 = 7_000_000_000_000_000_001;
