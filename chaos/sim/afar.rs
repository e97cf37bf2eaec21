//! Dangerous states of a world whose coordinators and agents' loops run elsewhere, noted where that is told of them.

use crate::danger::Danger;
use crate::stage::Stage;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// What has to be remembered of coordinators that run elsewhere for that.
#[derive(Debug, Default)]
pub(crate) struct Afar {
    /// Those who say that they lead.
    leading: Vec<usize>,
    /// Who began to say so last.
    last: Option<usize>,
    /// How many entries each has applied since it began; absent: nobody knows, it began with a snapshot.
    applied: BTreeMap<usize, usize>,
    /// Whose log was lost, and who has no vote again yet.
    lost: BTreeSet<usize>,
    /// Who led when a server's guard got its deadline, by the numbers of cluster and instance.
    granted: BTreeMap<(usize, usize), usize>,
}

impl Stage {
    /// A state came about that only the one who runs it can see.
    pub fn reached(&mut self, danger: Danger) {
        self.world.reach.note(danger);
    }

    /// A coordinator's process begins, with a snapshot on its disk or without.
    pub fn coordinator_begins(&mut self, c: usize, with_snapshot: bool) {
        let Some(elsewhere) = self.world.elsewhere.as_mut() else { return };
        if with_snapshot {
            elsewhere.afar.applied.remove(&c);
            self.reached(Danger::BeganWithSnapshot);
        } else {
            elsewhere.afar.applied.insert(c, 0);
        }
    }
}

impl Stage {
    /// A coordinator has a vote, or has none.
    pub(crate) fn notice_vote(&mut self, c: usize, votes: bool) {
        let (founder, had) = (c < self.founders(), !self.world.coordinators[c].learns);
        let Some(elsewhere) = self.world.elsewhere.as_mut().filter(|_| had != votes) else { return };
        let changes = elsewhere.changes;
        if votes && elsewhere.afar.lost.remove(&c) {
            self.reached(Danger::LogLost);
        } else if votes && !founder {
            self.reached(Danger::CoordinatorAdded);
        } else if !votes && changes {
            self.reached(Danger::CoordinatorRemoved);
        }
    }
}

impl World {
    /// Who says now that it leads.
    pub(crate) fn notice_leaders(&mut self, all: &[usize]) {
        let Some(elsewhere) = self.elsewhere.as_mut() else { return };
        let afar = &mut elsewhere.afar;
        let news = all.iter().copied().find(|c| !afar.leading.contains(c) && afar.last != Some(*c));
        afar.leading = all.to_vec();
        if all.len() > 1 {
            self.reach.note(Danger::TwoLead);
        }
        let Some(new) = news else { return };
        if afar.last.replace(new).is_none() {
            return;
        }
        self.in_each(|world| {
            if world.is_failing_over() {
                world.reach.note(Danger::LeaderChangesInFailover);
            }
            if world.own.agents.iter().any(|agent| agent.is_busy()) {
                world.reach.note(Danger::LeaderChangesAmidDeed);
            }
        });
    }

    /// A coordinator has applied the `at`-th of the entries that are known.
    pub(crate) fn notice_entry(&mut self, c: usize, at: usize) {
        let Some(elsewhere) = self.elsewhere.as_mut() else { return };
        if let Some(before) = elsewhere.afar.applied.insert(c, at)
            && at > before + 1
        {
            self.reach.note(Danger::SnapshotTaken);
        }
    }

    /// A coordinator loses its log.
    pub(crate) fn notice_lost_log(&mut self, c: usize) {
        if let Some(elsewhere) = self.elsewhere.as_mut() {
            elsewhere.afar.lost.insert(c);
        }
    }

    /// Entries are lost: so many are left.
    pub(crate) fn notice_loss(&mut self, left: usize) {
        if let Some(elsewhere) = self.elsewhere.as_mut() {
            elsewhere.afar.applied.values_mut().for_each(|applied| *applied = left.min(*applied));
        }
    }

    /// A guard gets a deadline.
    pub(crate) fn notice_deadline(&mut self, i: usize) {
        let server = (self.turn, i);
        let Some(elsewhere) = self.elsewhere.as_mut() else { return };
        if let Some(leader) = elsewhere.afar.last {
            elsewhere.afar.granted.insert(server, leader);
        }
    }

    /// A guard ends a server, whose lease is over.
    pub(crate) fn notice_guard(&mut self, i: usize) {
        let server = (self.turn, i);
        let Some(elsewhere) = self.elsewhere.as_ref() else { return };
        let granted = elsewhere.afar.granted.get(&server);
        if granted.is_some_and(|leader| !elsewhere.afar.leading.contains(leader)) {
            self.reach.note(Danger::LeaseOutlivesLeader);
        }
    }

    /// An agent was registered.
    pub(crate) fn notice_registration(&mut self, i: usize) {
        if self.is_stage() && self.is_failing_over() && self.own.agents[i].run > 1 {
            self.reach.note(Danger::RegisteredInFailover);
        }
    }

    fn is_failing_over(&self) -> bool {
        self.record().is_some_and(|record| record.failover().is_some())
    }
}
