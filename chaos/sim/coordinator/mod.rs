//! Coordinators: the log that they agree on, the record that each has applied, and what each does with it, as the
//! shipped ones do (src/coordinator): reports in memory, one driver that asks `decide`, leases under a confirmed
//! leadership, goals out to whoever watches.
//!
//! The log is modelled, not run: one total order, terms, a leader that may be deposed and still believe, entries of
//! unknown outcome, and a delay between commit and apply on every coordinator but the one that committed.

mod drive;
mod group;
mod judge;
mod log;
mod operator;
mod recovery;
mod seats;
mod serve;

pub(crate) use log::Log;
pub(crate) use operator::Wish;
pub(crate) use recovery::Recovered;
pub(crate) use serve::{address, registration};

use interrex_cluster::command::Command;
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_cluster::memory::Memory;
use interrex_cluster::policy::Policy;
use interrex_cluster::record::Cluster;
use interrex_cluster::time::Instant;
use interrex_cluster::view::{Heard, View};
use std::collections::{BTreeMap, VecDeque};

/// What an agent asked that needs a confirmed leadership.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    /// To serve in an epoch: of which cluster, whose agent, in which run, and when it asked by its own clock.
    Lease { of: usize, i: usize, run: u32, epoch: Epoch, sent: Instant },
    /// To be registered.
    Register { i: usize, run: u32 },
}

/// One coordinator.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    pub(crate) up: bool,
    pub(crate) run: u32,
    pub(crate) paused_until: u64,
    /// How far it has applied the log.
    pub(crate) applied: usize,
    /// It is new in the group, and has no vote before it has the whole log.
    pub(crate) learns: bool,
    /// It does not belong to the group, or not any more.
    pub(crate) outside: bool,
    /// Its log was made the group's, and may lack entries that agents obeyed.
    pub(crate) doubts: bool,
    /// The term in which it believes to lead.
    pub(crate) leads: Option<u64>,
    /// When it first saw itself lead in that term, by its own clock.
    pub(crate) since: Instant,
    pub(crate) listening_since: Instant,
    /// It was stopped for longer than it trusts its own silence.
    pub(crate) away: bool,
    /// When it lost its quorum, as far as it knows itself to lead.
    pub(crate) lonely_since: Option<u64>,
}

/// What a coordinator keeps for one cluster: what it heard, and how far its driver of that cluster has come.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) last_grant: Instant,
    pub(crate) memory: Memory,
    pub(crate) heard: BTreeMap<InstanceName, Heard>,
    /// The newest word of each agent: which run, which number.
    pub(crate) voices: Vec<(u32, u64)>,
    /// What was last told to each agent that watches; none where nobody does.
    pub(crate) told: Vec<Option<usize>>,
    pub(crate) token: u32,
    pub(crate) queue: VecDeque<Command>,
    /// A proposal of the driver's is under way.
    pub(crate) proposing: Option<u64>,
    pub(crate) changed: bool,
    /// Its last decision said what it waits for: by name, or as a primary that is silent and that nobody could succeed.
    pub(crate) says_so: bool,
}

impl Desk {
    /// All that its coordinator may know of the cluster at `now`, by its own clock.
    fn view<'a>(
        &'a self,
        coordinator: &Coordinator,
        record: &'a Cluster,
        policy: &'a Policy,
        now: Instant,
    ) -> View<'a> {
        View {
            record,
            heard: &self.heard,
            listening_since: coordinator.listening_since,
            last_grant: self.last_grant.max(coordinator.since),
            policy,
            now,
        }
    }

    /// What was decided is no longer proposed.
    fn clear(&mut self) {
        self.queue.clear();
        self.proposing = None;
    }
}
