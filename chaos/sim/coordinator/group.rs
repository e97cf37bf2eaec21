//! Who has a vote in the group of coordinators, and how that changes: a coordinator that lost its disk is taken out, and
//! what comes back under its address is a new one, without a vote until it has the whole log. (The shipped one refuses to
//! come back under its old number: its vote may have elected somebody, and its log may have made a majority.)
//!
//! Left to openraft, and modelled as what it promises: a change of the voters is an entry like any other, which the old
//! majority and the new one have.

use crate::danger::Danger;
use crate::event::Event;
use crate::faults::Mend;
use crate::world::{MS, World};

impl World {
    /// Whether a coordinator and more than half of all who vote hear each other.
    pub(crate) fn has_quorum(&self, c: usize) -> bool {
        let all = self.voters().count();
        let heard =
            self.voters().filter(|j| *j == c || (self.is_awake(*j) && self.network.talk(c, *j))).count();
        self.votes(c) && self.is_awake(c) && 2 * heard > all
    }

    /// Whether a coordinator runs and is not stopped.
    pub(super) fn is_awake(&self, c: usize) -> bool {
        let it = &self.coordinators[c];
        it.up && it.paused_until <= self.now && self.machines[c].paused_until <= self.now
    }

    /// A coordinator's disk is lost, if the others can take it out of the group.
    pub(crate) fn lose_log(&mut self, c: usize, ms: u64) {
        let others = |world: &World| {
            (0..world.coordinators.len())
                .any(|j| j != c && world.coordinators[j].leads == Some(world.log.term))
        };
        if !self.coordinators[c].up || !self.votes(c) || !others(self) {
            return;
        }
        self.kill_coordinator(c);
        // The old majority takes it out, and so does the new one.
        let leader = self.log.leader.filter(|leader| *leader != c && self.has_quorum(*leader));
        self.coordinators[c].learns = true;
        let taken_out = leader.is_some_and(|leader| self.has_quorum(leader));
        self.coordinators[c].learns = taken_out;
        if taken_out {
            self.say(|| format!("coordinator {} lost its log and is taken out of the group", c + 1));
            self.reach.note(Danger::LogLost);
        }
        let run = self.coordinators[c].run;
        self.after(ms * MS, Event::Mend(Mend::Coordinator { c, run }));
    }

    /// Whoever has caught up gets its vote from a leader that really leads.
    pub(super) fn give_votes(&mut self) {
        let Some(leader) = self.log.leader.filter(|leader| self.really_leads(*leader, self.log.term)) else {
            return;
        };
        // Nor does a group grow whose record may not be the newest.
        if self.coordinators[leader].doubts {
            return;
        }
        let newest = self.log.states.len() - 1;
        for c in 0..self.coordinators.len() {
            let new = &self.coordinators[c];
            if new.learns && new.up && new.applied == newest && self.network.talk(leader, c) {
                self.say(|| format!("coordinator {} has the whole log and a vote", c + 1));
                self.coordinators[c].learns = false;
            }
        }
    }
}
