//! WHAT MUST HOLD, whatever fails: one property a file. Each sees the same [`Fact`]s, in the order in which they came
//! about, and says when it is broken. Nothing here knows whether the facts come from the simulation or from real
//! processes, and nothing knows how the cluster works: that is the point.
//!
//! Left to whoever observes: to tell facts truthfully and in order. Where an operator's override was applied, loss is
//! what they asked for ([`Fact::Overridden`]): what was acknowledged before is no longer asked about.

mod acknowledging;
mod apart;
mod calm;
mod commits;
mod copies;
mod elections;
mod epochs;
mod goals;
mod healing;
mod leases;
mod log;
mod losses;
mod promotions;
mod reads;
mod refusals;
pub mod register;
mod routes;
mod rules;
mod running;
mod serving;
mod timelines;

pub use rules::unheard;

use interrex_cluster::command::Command;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName};
use interrex_cluster::problem::Wait;
use interrex_cluster::record::Cluster;
use interrex_cluster::wal::{Lsn, Position, TimelineId};
use std::fmt;

/// A commit, numbered by whoever made it.
pub type CommitId = u64;

/// A lease that has not run out, of a server that could acknowledge something under it.
#[derive(Debug, Clone, Copy)]
pub struct RunningLease<'a> {
    /// Whose.
    pub by: &'a InstanceName,
    /// Of which epoch.
    pub epoch: Epoch,
    /// True when it acknowledges without any standby.
    pub asynchronous: bool,
}

/// Something that happened, and that a property may judge.
#[derive(Clone, Copy)]
pub enum Fact<'a> {
    /// An entry of the log changed the record, or made it.
    Recorded {
        /// The record as it was; absent when it was just made.
        before: Option<&'a Cluster>,
        /// The record as it is.
        after: &'a Cluster,
        /// The entry.
        command: &'a Command,
    },
    /// A coordinator applied an entry. Told once for each that did.
    Applied {
        /// Its place in the log.
        index: u64,
        /// The entry.
        command: &'a Command,
        /// False when another coordinator applied something else there, or nothing, and what follows already.
        same: bool,
    },
    /// A coordinator's process ended, and nobody had ended it.
    CoordinatorEnded {
        /// Which one, from 1.
        number: usize,
        /// Its last words.
        why: &'a str,
    },
    /// A seal entered the record.
    SealCounted {
        /// Whose.
        instance: &'a InstanceName,
        /// The epoch that it is sealed for.
        epoch: Epoch,
        /// The position that is counted.
        position: Position,
        /// False when the copy, looked at from outside, does not hold all of that: torn, diverged, half made.
        sound: bool,
    },
    /// A server was told to promote.
    PromotionAsked {
        /// Which instance.
        by: &'a InstanceName,
        /// For which epoch.
        epoch: Epoch,
    },
    /// A server left recovery and opened a timeline.
    Promoted {
        /// Which instance.
        by: &'a InstanceName,
        /// The epoch that it was told to promote in.
        epoch: Epoch,
        /// The timeline that it opened.
        timeline: TimelineId,
        /// The timeline that it branched off.
        parent: TimelineId,
        /// Where.
        begin: Lsn,
    },
    /// A commit was acknowledged to a client, without a warning.
    Acknowledged {
        /// By which instance.
        by: &'a InstanceName,
        /// The timeline that it was written to.
        timeline: TimelineId,
        /// Which commit.
        commit: CommitId,
        /// True when the newest primary that has acknowledged anything holds it: it was flushed where that began.
        held: bool,
        /// It waited for no standby: for how long the lease had been over by then, in milliseconds in which the machine
        /// ran. Absent: it waited.
        alone: Option<u64>,
    },
    /// An entry of the log elected.
    Elected {
        /// Which instance.
        by: &'a InstanceName,
        /// For which epoch.
        epoch: Epoch,
        /// Whether its copy holds a commit.
        holds: &'a dyn Fn(CommitId) -> bool,
    },
    /// A primary lets clients in.
    Serves {
        /// Which instance.
        by: &'a InstanceName,
        /// In which epoch.
        epoch: Epoch,
        /// Whether it holds a commit.
        holds: &'a dyn Fn(CommitId) -> bool,
    },
    /// An operator's override elected: what was acknowledged in older epochs, before or after, may be gone.
    Overridden {
        /// The epoch of the election.
        epoch: Epoch,
        /// False when it was the cluster's own policy on asynchronous commits: then older leases have run out.
        by_operator: bool,
    },
    /// The leases that run at this moment, where there is more than one.
    Leases {
        /// All of them.
        running: &'a [RunningLease<'a>],
    },
    /// A client that was routed to the primary read there.
    Read {
        /// In which epoch it was sent there.
        epoch: Epoch,
        /// The newest commit that it saw.
        commit: CommitId,
    },
    /// The last entries of the log are lost: what follows is decided upon this record.
    LogCut {
        /// The record as it is now.
        record: &'a Cluster,
    },
    /// A primary of Interrex takes clients at this moment.
    LetsIn {
        /// Which instance.
        by: &'a InstanceName,
        /// For how long its lease has been over, in milliseconds in which its machine ran.
        late_ms: u64,
    },
    /// A coordinator that leads decided to wait.
    Refused {
        /// The record that it decided upon.
        record: &'a Cluster,
        /// What for.
        waits: &'a [Wait],
    },
    /// From here on nothing fails: any change of primary is needless.
    Calm,
    /// Faults ended, and this long after the cluster still was not whole.
    NotHealed {
        /// What is missing, in words.
        missing: &'a str,
    },
    /// What a cluster said, or what was decided about it, does something to a cluster.
    Reached {
        /// What it is: a report, a goal, a lease, an entry.
        what: &'a str,
        /// Whose it is, by what it says itself.
        of: &'a ClusterName,
        /// To whom it does something.
        on: &'a ClusterName,
    },
    /// A client was routed to a writer.
    Routed {
        /// The epoch of the route.
        epoch: Epoch,
        /// To whom.
        to: &'a InstanceName,
        /// The record at the moment when the route was made.
        record: &'a Cluster,
    },
}

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its stable name.
    pub property: &'static str,
    /// What happened, in words.
    pub story: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.story)
    }
}

/// One thing that must hold.
pub(crate) trait Property {
    /// Its stable name, in kebab case.
    fn name(&self) -> &'static str;

    /// Takes in a fact.
    ///
    /// # Errors
    /// What is broken by it, in words.
    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String>;
}

/// All properties, and what was found broken.
pub struct Checks {
    properties: Vec<Box<dyn Property>>,
    violations: Vec<Violation>,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            properties: vec![
                Box::new(commits::NoneLost::default()),
                Box::new(acknowledging::OneAcknowledges::default()),
                Box::new(epochs::EpochsRise),
                Box::new(promotions::PromotedOnce::default()),
                Box::new(elections::OnlyTheElected::default()),
                Box::new(timelines::TimelinesAsRecorded::default()),
                Box::new(goals::StampsOrderGoals::default()),
                Box::new(copies::SoundCopiesCount),
                Box::new(leases::OneRunningLease::default()),
                Box::new(serving::ServesUnderALease),
                Box::new(losses::NoLossBeyondPolicy),
                Box::new(refusals::RefusalsNameWhatIsMissing),
                Box::new(reads::NothingReadIsLost::default()),
                Box::new(routes::RoutesAreTruthful),
                Box::new(calm::NoNeedlessChange::default()),
                Box::new(healing::Heals),
                Box::new(apart::ClustersAreApart),
                Box::new(log::OneLog),
                Box::new(running::CoordinatorsRun),
            ],
            violations: Vec::new(),
        }
    }
}

impl Checks {
    /// Takes in a fact; every property judges it. True when one of them is broken by it.
    pub fn see(&mut self, fact: &Fact<'_>) -> bool {
        let before = self.violations.len();
        for property in &mut self.properties {
            if let Err(story) = property.see(fact) {
                self.violations.push(Violation { property: property.name(), story });
            }
        }
        self.violations.len() > before
    }

    /// What was found broken, in order.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The names of all properties.
    pub fn names() -> Vec<&'static str> {
        Self::default().properties.iter().map(|property| property.name()).collect()
    }
}
