//! What an entry of the log means: to the properties, to reachability, and to strikes that wait for its moment.

use super::log::State;
use crate::danger::Danger;
use crate::faults::Moment;
use crate::world::World;
use interrex_check::Fact;
use interrex_cluster::command::Command;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName};
use interrex_cluster::record::{Cluster, Operation};
use interrex_cluster::wal::Position;
use std::collections::BTreeMap;
use std::rc::Rc;

impl World {
    /// What an entry means to the properties, to reachability, and to strikes that wait for its moment.
    pub(super) fn judge(&mut self, before: Option<&State>, command: &Command) {
        let Some(state) = self.newest_state().map(Rc::clone) else { return };
        let Some(after) = &state.record else { return };
        let before = before.and_then(|state| state.record.as_ref());
        crate::world::see(
            &mut self.own.checks,
            &mut self.trace,
            self.now,
            &Fact::Recorded { before, after, command },
        );
        if let Some((instance, epoch, position)) = counted(after, command)
            .filter(|_| before.is_some_and(|before| before.operation != after.operation))
        {
            let sound = self.holds_position(self.index(instance), position);
            let fact = Fact::SealCounted { instance, epoch, position, sound };
            crate::world::see(&mut self.own.checks, &mut self.trace, self.now, &fact);
        }
        self.over |= !self.own.checks.violations().is_empty();
        if let Command::Elect { epoch, .. } = command
            && before.is_some_and(|before| before.overrides.len() < after.overrides.len())
        {
            let accepted = |record: &Cluster| matches!(&record.operation, Operation::Failover(f) if f.loss_accepted.is_some());
            let by_operator = accepted(after);
            self.fact(&Fact::Overridden { epoch: *epoch, by_operator });
        }
        self.judge_winner(before, after);
        let opened = before.is_some_and(|before| !open(before)) && open(after);
        if opened && self.figures.acknowledged > 0 && after.epoch.0 > 2 {
            self.figures.failovers += 1;
        }
        self.notice(before, after, command);
        let moment = match command {
            Command::BeginFailover { .. } => Some(Moment::Begun),
            Command::RecordSeal { .. } => Some(Moment::Sealed),
            Command::Elect { .. } | Command::Adopt(_) => Some(Moment::Elected),
            Command::ConfirmPrimary { .. } => Some(Moment::Confirmed),
            Command::OpenPrimary { .. } => Some(Moment::Opened),
            Command::ChangeRule { .. } => Some(Moment::RuleChanging),
            Command::RetireRules { .. } => Some(Moment::RuleProved),
            Command::GrantRebuild { .. } => Some(Moment::Rebuilding),
            Command::EndRebuild { .. } => Some(Moment::Rebuilt),
            Command::BeginHandOver { .. } => Some(Moment::HandedOver),
            _ => None,
        };
        if let Some(moment) = moment {
            self.phase(moment);
        }
    }

    /// An entry of one cluster leaves all others as they were. Two of them change their primaries at once.
    pub(super) fn judge_the_others(&mut self, before: &[Rc<State>], after: &BTreeMap<ClusterName, Cluster>) {
        let changed = |(number, state): &(usize, &Rc<State>)| {
            let record = state.record.as_ref();
            *number != self.turn && record != record.and_then(|record| after.get(&record.name))
        };
        let touched: Vec<usize> =
            before.iter().enumerate().filter(changed).map(|(number, _)| number).collect();
        let of = self.turn;
        for number in touched {
            self.turn_to(number);
            self.reached("an entry", of);
            self.turn_to(of);
        }
        self.notice_failovers(before);
    }

    /// Whether more than one cluster is without a primary.
    pub(super) fn notice_failovers(&mut self, states: &[Rc<State>]) {
        let without = |record: &&Cluster| record.primary.is_none() && record.failover().is_some();
        if states.iter().filter_map(|state| state.record.as_ref()).filter(without).count() > 1 {
            self.reach.note(Danger::FailoversAtOnce);
        }
    }

    /// Whoever is elected holds all that was acknowledged, whether it comes to serve or not.
    fn judge_winner(&mut self, before: Option<&Cluster>, after: &Cluster) {
        let Some(reign) = after.primary.as_ref().filter(|_| before.is_some_and(|it| it.primary.is_none()))
        else {
            return;
        };
        let by = &reign.instance;
        if let Some(dir) = &self.own.servers[self.index(by)].dir {
            let holds = crate::postgres::holds(&self.own.archive, &self.own.commits, dir);
            let fact = Fact::Elected { by, epoch: after.epoch, holds: &holds };
            crate::world::see(&mut self.own.checks, &mut self.trace, self.now, &fact);
        }
        self.over |= !self.own.checks.violations().is_empty();
    }

    /// Whether a copy really holds what a position says.
    fn holds_position(&self, i: usize, position: Position) -> bool {
        let Some(dir) = &self.own.servers[i].dir else { return false };
        let reached = self.own.archive.on_the_way(dir.end, position.timeline.0);
        let whole = dir.needs.is_none_or(|needs| self.own.archive.includes(dir.end, needs));
        !dir.torn && whole && reached.is_some_and(|at| position.lsn.0 <= at.lsn)
    }
}

fn open(record: &Cluster) -> bool {
    record.primary.as_ref().is_some_and(|reign| reign.open)
}

/// The position that an entry counts an instance with: what it proved, or what it held when it was taken in.
fn counted<'a>(after: &Cluster, command: &'a Command) -> Option<(&'a InstanceName, Epoch, Position)> {
    match (command, &after.operation) {
        (Command::RecordSeal { instance, .. }, Operation::Failover(failover)) => {
            failover.seals.get(instance).map(|seal| (instance, seal.epoch, seal.position))
        }
        (Command::Adopt(adopted), _) => Some((&adopted.instance, adopted.epoch, adopted.position)),
        _ => None,
    }
}
