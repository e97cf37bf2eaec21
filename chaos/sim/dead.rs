//! Machines that are never mended. The rest of the cluster has to become whole without them; but for where the dead may
//! hold what nobody else does: then it has to wait, and to say so.

use crate::plan::Plan;
use crate::rng::Rng;
use crate::stage::{Asked, Order, Stage};
use crate::world::{MS, S, Time, World};
use interrex_check::unheard;
use interrex_cluster::ids::InstanceName;
use interrex_cluster::record::{Cluster, Copy, Operation};
use interrex_cluster::report::Seal;
use std::collections::BTreeMap;

/// So long a machine that stays dead would be off.
const FOR_EVER_MS: u64 = 1_000_000_000;
/// The stream of a seed from which it is drawn where coordinators are elsewhere: runs without it are what they would be anyway.
const STREAM: u64 = 15;
/// An answer of whoever leads is as good as its present opinion for so long.
const SAID_LATELY: Time = 5 * S;
/// A primary that is silent and that nobody could succeed is told as this problem; what it is, the rules say.
const SILENT: &str = "problem agent-silent: ";

impl Plan {
    /// Some machine is never mended, in so many runs of a hundred.
    pub(crate) fn may_leave_one_dead(&mut self, percent: u64) {
        self.leaves_dead = Rng::new(self.seed, STREAM).percent(percent);
    }
}

impl Stage {
    /// Whether a machine is never switched on again.
    pub fn stays_dead(&self, machine: usize) -> bool {
        self.world.faults.dead[machine]
    }

    /// An operator asked whoever leads what it makes of the cluster, and these are the lines of the answer.
    pub fn explained(&mut self, lines: &[String]) {
        let waits = lines.iter().any(|line| line.starts_with("wait: ") || line.starts_with(SILENT));
        if let Some(elsewhere) = &mut self.world.elsewhere {
            elsewhere.said.insert(self.world.turn, (self.world.now, waits));
        }
    }
}

impl World {
    pub(crate) fn is_dead(&self, name: &InstanceName) -> bool {
        self.faults.dead[self.index(name)]
    }

    /// One machine stays dead, if the coordinators keep their majority and somebody is left to acknowledge.
    pub(crate) fn leave_one_dead(&mut self) {
        // Nor a vote while another one is missing.
        let few = match self.is_stage() {
            true => !self.all_vote_elsewhere(),
            false => self.voters().count() < 3 || self.coordinators.iter().any(|new| new.learns),
        };
        let votes = |machine: &usize| *machine < self.coordinators.len() && self.votes(*machine) && few;
        let mut mortal: Vec<usize> = (0..self.machines.len()).filter(|machine| !votes(machine)).collect();
        self.in_each(|world| {
            let room = world.record().is_some_and(|record| {
                let members = record.instances.len();
                members >= 3 && record.spec.min_acks as usize + 2 <= members
            });
            mortal.retain(|machine| room || (*machine >= world.own.names.len() && world.record().is_some()));
        });
        if mortal.is_empty() {
            return;
        }
        let machine = mortal[self.rng.index(mortal.len())];
        self.say(|| format!("machine {} stays dead", machine + 1));
        self.power_off(machine, FOR_EVER_MS);
        self.faults.dead[machine] = true;
    }

    /// Whether nobody among the living may be promoted, or nobody may acknowledge, and the leader says what it waits for.
    pub(crate) fn is_rightly_stuck(&self) -> bool {
        if self.is_frozen() {
            return true;
        }
        let Some(record) = self.record().filter(|_| self.faults.dead.contains(&true)) else { return false };
        let says_so = self.leader_says_so();
        let primary = record.primary.as_ref().map(|reign| &reign.instance);
        let living = record.instances.keys().filter(|name| !self.is_dead(name)).count();
        let short = record.spec.min_acks as usize >= living;
        match primary {
            // Writes wait for more than are left.
            Some(primary) if !self.is_dead(primary) => short,
            _ => says_so && !record.instances.keys().any(|name| self.could_win(record, name)),
        }
    }

    /// Whether whoever leads says what it waits for.
    fn leader_says_so(&self) -> bool {
        match &self.elsewhere {
            Some(elsewhere) => {
                let said = elsewhere.said.get(&self.turn);
                said.is_some_and(|(at, waits)| *waits && self.now - at < SAID_LATELY)
            }
            None => self.log.leader.is_some_and(|leader| self.own.desks[leader].says_so),
        }
    }

    /// While something is missing, an operator asks what whoever leads waits for, once a second.
    pub(crate) fn ask_what_is_missing(&mut self) {
        let since = self.now - self.faults.healing_since;
        if self.is_stage() && self.faults.dead.contains(&true) && since % S < 250 * MS {
            self.order(Order::Ask(Asked::Explanation));
        }
    }

    /// Whether everybody who is left, sealed, would make the election of this one lawful.
    fn could_win(&self, record: &Cluster, winner: &InstanceName) -> bool {
        let mut seals = self.all_seals(record);
        let whole =
            |name: &InstanceName| record.instances.get(name).is_some_and(|member| member.copy == Copy::Whole);
        let promotable = record.instances.get(winner).is_some_and(|member| member.priority.is_some());
        let fit = promotable && whole(winner) && !self.is_dead(winner);
        let Some(won) = seals.get(winner).copied().filter(|_| fit) else { return false };
        seals.retain(|_, seal| seal.position <= won.position);
        record.rules.iter().all(|rule| unheard(rule, &seals).is_none())
    }

    /// What the record has, and what the living could prove.
    fn all_seals(&self, record: &Cluster) -> BTreeMap<InstanceName, Seal> {
        let mut seals = match (&record.operation, &record.primary) {
            (Operation::Failover(failover), None) => failover.seals.clone(),
            _ => BTreeMap::new(),
        };
        let last = record.last_primary();
        let epoch = record.epoch;
        for (name, member) in record.instances.iter().filter(|(name, _)| !self.is_dead(name)) {
            let end = self.own.servers[self.index(name)].dir.as_ref().map(|dir| dir.end);
            if let Some(end) = end.filter(|_| member.copy == Copy::Whole) {
                let (position, stopped) = (self.own.archive.position(end), last.as_ref() == Some(name));
                seals.entry(name.clone()).or_insert(Seal { epoch, position, stopped, fork: None });
            }
        }
        seals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_leads_elsewhere_says_what_it_waits_for_until_that_is_too_long_ago() {
        let mut stage = Stage::new(0, false);
        let mut says = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            stage.explained(&lines);
            let now = stage.world.leader_says_so();
            stage.world.now += SAID_LATELY;
            (now, stage.world.leader_says_so())
        };
        assert_eq!(says(&["problem no-primary: there is none", "wait: n2 has to be sealed"]), (true, false));
        assert_eq!(says(&["problem agent-silent: the agent of primary n1 is silent"]), (true, false));
        assert_eq!(says(&["nothing to do"]), (false, false));
    }
}
