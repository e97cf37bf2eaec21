//! All that a decision may know: the record, what was reported and how old that is, the policy. Nothing else.

use crate::ids::InstanceName;
use crate::policy::Policy;
use crate::record::{Cluster, Instance};
use crate::report::{Report, Server};
use crate::time::Instant;
use crate::wal::Position;
use std::collections::BTreeMap;
use std::time::Duration;

/// The newest report of an instance, and when its receiver got it, by the receiver's own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What was said.
    pub report: Report,
    /// When it came in.
    pub at: Instant,
}

/// All that [`crate::decide`] may know about one cluster.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// What has been decided.
    pub record: &'a Cluster,
    /// The newest report of each instance that ever spoke to this coordinator.
    pub heard: &'a BTreeMap<InstanceName, Heard>,
    /// When this coordinator began to listen: before that, silence means nothing.
    pub listening_since: Instant,
    /// When a lease may last have been granted to anybody in this cluster; a new leader takes its own election.
    pub last_grant: Instant,
    /// The thresholds.
    pub policy: &'a Policy,
    /// The reader's now.
    pub now: Instant,
}

/// The newest report of an instance, however old, if it comes from the registered directory.
pub fn registered<'a>(
    record: &Cluster,
    heard: &'a BTreeMap<InstanceName, Heard>,
    name: &InstanceName,
) -> Option<&'a Heard> {
    let member = record.instances.get(name)?;
    heard.get(name).filter(|heard| heard.report.directory == member.directory)
}

impl View<'_> {
    /// The member of that name.
    pub fn member(&self, name: &InstanceName) -> Option<&Instance> {
        self.record.instances.get(name)
    }

    /// How long the instance has been silent toward this coordinator.
    pub fn silence(&self, name: &InstanceName) -> Duration {
        self.now.since(self.registered(name).map_or(self.listening_since, |heard| heard.at))
    }

    /// Its newest report if that is fresh and comes from the registered directory.
    pub fn fresh(&self, name: &InstanceName) -> Option<&Report> {
        let heard = self.registered(name)?;
        (self.now.since(heard.at) <= self.policy.fresh).then_some(&heard.report)
    }

    /// Its newest report, however old, if it comes from the registered directory.
    fn registered(&self, name: &InstanceName) -> Option<&Heard> {
        registered(self.record, self.heard, name)
    }

    /// The server of an instance that reports freshly.
    pub fn server(&self, name: &InstanceName) -> Option<&Server> {
        self.fresh(name).map(|report| &report.server)
    }

    /// Whole instances that report freshly and whose copy is not doubted.
    pub fn whole_and_fresh(&self) -> impl Iterator<Item = &InstanceName> {
        let counts = |name: &&InstanceName| self.fresh(name).is_some_and(|report| report.doubt.is_none());
        self.record.whole().map(|(name, _)| name).filter(counts)
    }

    /// The last position that an instance told as a primary, however long ago.
    pub fn last_position(&self, name: &InstanceName) -> Option<Position> {
        match &self.registered(name)?.report.server {
            Server::Primary(primary) => Some(Position { timeline: primary.timeline, lsn: primary.flushed }),
            _ => None,
        }
    }
}
