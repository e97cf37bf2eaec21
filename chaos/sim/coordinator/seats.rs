//! An operator adds a coordinator to a group that is well, or removes one, as the shipped leader judges it
//! (src/coordinator/raft/judge.rs): one change at a time, upon the word of those who have a vote. Who is added learns the
//! log first, and has no vote before it has all of it. Who is removed is told nothing any more; its process may run for
//! hours, and goes on telling goals, and for a while believing that it leads.

use crate::danger::Danger;
use crate::event::Event;
use crate::faults::Mend;
use crate::world::{MS, World};

impl World {
    /// Whoever has a vote now.
    pub(crate) fn voters(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.coordinators.len()).filter(|c| self.votes(*c))
    }

    pub(crate) fn votes(&self, c: usize) -> bool {
        !self.coordinators[c].learns && !self.coordinators[c].outside
    }

    /// The leader that may change the group now: it leads, believes its record, and no other change is under way.
    fn may_change(&self) -> Option<usize> {
        let leader = self.log.leader.filter(|leader| self.really_leads(*leader, self.log.term))?;
        let learns = self.coordinators.iter().any(|it| it.learns);
        (!self.coordinators[leader].doubts && !learns).then_some(leader)
    }

    fn hears(&self, leader: usize, c: usize) -> bool {
        c == leader || (self.is_awake(c) && self.network.talk(leader, c))
    }

    /// A coordinator with an empty directory is to belong to the group; it is started in `ms`.
    pub(crate) fn admit(&mut self, c: usize, ms: u64) {
        let Some(leader) = self.may_change().filter(|_| self.coordinators[c].outside) else { return };
        // One voter more would need one more of the others to agree.
        if self.voters().any(|voter| !self.hears(leader, voter)) {
            return;
        }
        self.kill_coordinator(c);
        (self.coordinators[c].outside, self.coordinators[c].learns) = (false, true);
        self.say(|| format!("coordinator {} is added, and is to learn the log", c + 1));
        self.reach.note(Danger::CoordinatorAdded);
        let run = self.coordinators[c].run;
        self.after(ms * MS, Event::Mend(Mend::Coordinator { c, run }));
    }

    /// A coordinator is not to belong to the group any more. One that leads hands that over first.
    pub(crate) fn dismiss(&mut self, c: usize) {
        let Some(mut leader) = self.may_change().filter(|_| self.votes(c)) else { return };
        let rest: Vec<usize> = self.voters().filter(|voter| *voter != c).collect();
        let heard: Vec<usize> = rest.iter().copied().filter(|voter| self.hears(leader, *voter)).collect();
        if 2 * heard.len() <= rest.len() {
            return;
        }
        if leader == c {
            leader = heard[self.rng.index(heard.len())];
            self.elect_leader(leader);
        }
        // The old majority agrees, and so does the new one.
        let agreed = self.has_quorum(leader);
        self.coordinators[c].outside = true;
        if !agreed || !self.has_quorum(leader) {
            self.coordinators[c].outside = false;
            return;
        }
        self.say(|| format!("coordinator {} is removed from the group", c + 1));
        self.reach.note(Danger::CoordinatorRemoved);
    }
}
