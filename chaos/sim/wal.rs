//! What was really written, as nobody inside the simulation can see it: every stretch of WAL that ever came into being.
//!
//! A *branch* is one server's writing after one promotion. A place is a branch and an LSN on it; whether one place
//! includes another is a walk up the parents. Two branches may bear one timeline number: then the cluster was wrong
//! (F20), and the model shows what comes of it.

use interrex_cluster::wal::{Ancestor, History, Lsn, Position, TimelineId};

pub(crate) type BranchId = u32;

/// A place in what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) branch: BranchId,
    pub(crate) lsn: u64,
}

/// One server's writing after one promotion.
#[derive(Debug, Clone)]
struct Branch {
    timeline: u32,
    parent: Option<Place>,
}

/// Everything that was ever written.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    branches: Vec<Branch>,
    /// What replay demands of a standby from a place on (F25): what the primary ran with that wrote it.
    demands: Vec<(Place, u32)>,
}

/// What replay demands where no primary ever ran with anything else.
pub(crate) const DEMANDED_AT_FIRST: u32 = 100;

impl Archive {
    /// A new branch off `parent`; off nothing for initdb's.
    pub(crate) fn branch(&mut self, timeline: u32, parent: Option<Place>) -> BranchId {
        self.branches.push(Branch { timeline, parent });
        (self.branches.len() - 1) as BranchId
    }

    /// Whoever receives this place has to have so much, to be promoted.
    pub(crate) fn demand(&mut self, at: Place, what: u32) {
        self.demands.push((at, what));
    }

    /// What replay demands of who has everything up to a place.
    pub(crate) fn demanded(&self, at: Place) -> u32 {
        let newest = self.demands.iter().rev().find(|(place, _)| self.includes(at, *place));
        newest.map_or(DEMANDED_AT_FIRST, |(_, what)| *what)
    }

    pub(crate) fn timeline(&self, branch: BranchId) -> u32 {
        self.branches[branch as usize].timeline
    }

    fn parent(&self, branch: BranchId) -> Option<Place> {
        self.branches[branch as usize].parent
    }

    /// Whether whoever has everything up to `whole` has everything up to `part`.
    pub(crate) fn includes(&self, whole: Place, part: Place) -> bool {
        let mut at = whole;
        loop {
            if at.branch == part.branch {
                return part.lsn <= at.lsn;
            }
            match self.parent(at.branch) {
                Some(parent) => at = Place { branch: parent.branch, lsn: parent.lsn.min(at.lsn) },
                None => return false,
            }
        }
    }

    /// The last place that both include.
    pub(crate) fn common(&self, a: Place, b: Place) -> Option<Place> {
        let mut at = a;
        loop {
            let mut other = b;
            loop {
                if other.branch == at.branch {
                    return Some(Place { branch: at.branch, lsn: at.lsn.min(other.lsn) });
                }
                match self.parent(other.branch) {
                    Some(parent) => other = Place { branch: parent.branch, lsn: parent.lsn.min(other.lsn) },
                    None => break,
                }
            }
            let parent = self.parent(at.branch)?;
            at = Place { branch: parent.branch, lsn: parent.lsn.min(at.lsn) };
        }
    }

    /// A place at the very beginning of a branch belongs to the branch that it left.
    pub(crate) fn settled(&self, mut place: Place) -> Place {
        while let Some(parent) = self.parent(place.branch).filter(|parent| place.lsn <= parent.lsn) {
            place = Place { branch: parent.branch, lsn: place.lsn };
        }
        place
    }

    /// The position that a scan of the WAL up to `place` tells: timeline of the newest record, end.
    pub(crate) fn position(&self, place: Place) -> Position {
        let place = self.settled(place);
        Position { timeline: TimelineId(self.timeline(place.branch)), lsn: Lsn(place.lsn) }
    }

    /// The ancestry of the timeline that the newest record up to `place` is on.
    pub(crate) fn history(&self, place: Place) -> History {
        self.history_of(self.settled(place).branch)
    }

    pub(crate) fn history_of(&self, branch: BranchId) -> History {
        let mut ancestors = Vec::new();
        let mut child = branch;
        while let Some(parent) = self.parent(child) {
            ancestors
                .push(Ancestor { timeline: TimelineId(self.timeline(parent.branch)), end: Lsn(parent.lsn) });
            child = parent.branch;
        }
        ancestors.reverse();
        History { timeline: TimelineId(self.timeline(branch)), ancestors }
    }

    /// Where the timeline of that number was left (or is, at `end`) on the way to `end`; none when it is not on it.
    pub(crate) fn on_the_way(&self, end: Place, timeline: u32) -> Option<Place> {
        let mut at = end;
        loop {
            if self.timeline(at.branch) == timeline {
                return Some(at);
            }
            let parent = self.parent(at.branch)?;
            at = Place { branch: parent.branch, lsn: parent.lsn.min(at.lsn) };
        }
    }

    /// Where a branch begins.
    pub(crate) fn origin(&self, branch: BranchId) -> Option<Place> {
        self.parent(branch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(branch: BranchId, lsn: u64) -> Place {
        Place { branch, lsn }
    }

    #[test]
    fn a_place_past_the_fork_is_not_included_and_one_before_is() {
        let mut archive = Archive::default();
        let one = archive.branch(1, None);
        let two = archive.branch(2, Some(at(one, 100)));
        let three = archive.branch(3, Some(at(one, 80)));
        assert!(archive.includes(at(two, 150), at(one, 100)));
        assert!(!archive.includes(at(two, 150), at(one, 101)));
        assert!(!archive.includes(at(three, 500), at(one, 90)));
        assert_eq!(archive.common(at(two, 150), at(three, 500)), Some(at(one, 80)));
        assert_eq!(archive.settled(at(two, 100)), at(one, 100));
        assert_eq!(archive.position(at(two, 100)).timeline, TimelineId(1));
        assert_eq!(archive.history(at(two, 101)).render(), "1\t0/64\tinterrex\n");
    }
}
