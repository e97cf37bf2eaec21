//! What coordinators told this instance, put together: the goal with the highest stamp wins, whoever brought it.

use interrex_api::session::{GoalUpdate, LeaseGrant, PrimaryPlace, Welcome};
use interrex_cluster::goal::StampedGoal;
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_cluster::record::Address;
use interrex_cluster::report::Report;
use interrex_cluster::time::Instant;
use std::collections::BTreeMap;

/// The newest that was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// What to be.
    pub goal: Option<StampedGoal>,
    /// Every member, and where its PostgreSQL listens.
    pub peers: BTreeMap<InstanceName, Address>,
    /// Where to knock; absent while nobody is elected.
    pub primary: Option<PrimaryPlace>,
    /// As of this goal every copy is whole and the primary open.
    pub whole: bool,
}

impl Told {
    /// Takes in an update; true when something is different now. One that is older than what is known changes
    /// nothing: coordinators learn of entries at different times.
    pub(crate) fn take(&mut self, update: GoalUpdate) -> bool {
        let known = self.goal.as_ref().map(|goal| goal.stamp);
        if update.goal.is_none() || update.goal.as_ref().map(|goal| goal.stamp) < known {
            return false;
        }
        // What makes a cluster less than whole raises the stamp: a coordinator that lags takes nothing back.
        let same = update.goal.as_ref().map(|goal| goal.stamp) == known;
        let whole = update.whole || (same && self.whole);
        let new = Told { goal: update.goal, peers: update.peers, primary: update.primary, whole };
        let differs = new != *self;
        *self = new;
        differs
    }

    /// The same for the answer to a registration, which does not say who is elected.
    pub(crate) fn welcome(&mut self, welcome: &Welcome) -> bool {
        if self.goal.as_ref().is_some_and(|known| known.stamp >= welcome.goal.stamp) {
            return false;
        }
        *self = Told {
            goal: Some(welcome.goal.clone()),
            peers: welcome.peers.clone(),
            primary: self.primary.take().filter(|primary| primary.epoch == welcome.goal.stamp.epoch),
            whole: false,
        };
        true
    }
}

/// What goes to every coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The testimony.
    pub report: Report,
    /// The epoch to serve in as primary.
    pub wants_lease: Option<Epoch>,
    /// When the agent last looked.
    pub seen: Instant,
}

/// A lease as it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// The grant.
    pub lease: LeaseGrant,
    /// When the request was sent.
    pub sent: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::goal::Goal;
    use interrex_cluster::ids::{Revision, Stamp};

    fn update(epoch: u32, revision: u64) -> GoalUpdate {
        let stamp = Stamp { epoch: Epoch(epoch), revision: Revision(revision) };
        let goal = Goal::Sealed { epoch: Epoch(epoch), line: None, ended: None };
        let goal = Some(StampedGoal { stamp, goal });
        GoalUpdate { goal, peers: BTreeMap::new(), primary: None, whole: false, group: None }
    }

    #[test]
    fn the_highest_stamp_wins_whoever_brings_it() {
        let mut told = Told::default();
        assert!(told.take(update(7, 40)));
        assert!(!told.take(update(7, 40)), "the same from another coordinator is nothing new");
        assert!(!told.take(update(7, 39)), "a coordinator that lags");
        assert!(!told.take(update(6, 99)));
        assert!(told.take(update(8, 41)));
        assert_eq!(told.goal.unwrap().stamp.epoch, Epoch(8));
    }

    #[test]
    fn a_cluster_stays_whole_until_a_higher_stamp_says_otherwise() {
        let mut told = Told::default();
        assert!(told.take(GoalUpdate { whole: true, ..update(7, 40) }));
        assert!(!told.take(update(7, 40)), "a coordinator that lags");
        assert!(told.whole);
        assert!(told.take(update(7, 41)));
        assert!(!told.whole);
    }

    #[test]
    fn a_coordinator_that_does_not_know_the_instance_takes_nothing_back() {
        let mut told = Told::default();
        assert!(told.take(update(7, 40)));
        assert!(!told.take(GoalUpdate { goal: None, ..update(7, 40) }));
        assert!(told.goal.is_some());
    }
}
