//! The driver: look, propose what was decided, look again at once while that changed something.

use super::log::Waits;
use crate::event::Event;
use crate::world::{MS, Time, World};
use interrex_check::Fact;
use interrex_cluster::apply::apply;
use interrex_cluster::command::{Command, Entry};
use interrex_cluster::decide::{Decision, decide};
use interrex_cluster::explain;
use interrex_cluster::problem::{ProblemKind, Severity};
use interrex_cluster::record::{Cluster, Operation};
use interrex_cluster::time::{Instant, WallMs};
use std::collections::BTreeMap;

/// As in the shipped driver.
const BRISK: Time = 50 * MS;
const CALM: Time = 250 * MS;

impl World {
    /// The driver is to look, not later than in `wait`.
    pub(super) fn look_soon(&mut self, c: usize, wait: Time) {
        let desk = &mut self.own.desks[c];
        if desk.proposing.is_some() {
            desk.changed = true;
            return;
        }
        desk.token += 1;
        let (run, token) = (self.coordinators[c].run, desk.token);
        self.after(wait, Event::Look { c, run, token });
    }

    /// Now, by a coordinator's clock; and if it was away (stopped, suspended), it listens anew from here.
    pub(super) fn awake(&mut self, c: usize) -> Instant {
        let now = self.clock(c);
        let coordinator = &mut self.coordinators[c];
        if std::mem::take(&mut coordinator.away) {
            coordinator.listening_since = now;
            self.in_each(|world| world.own.desks[c].heard.clear());
        }
        now
    }

    /// One look of the driver.
    pub(crate) fn look(&mut self, c: usize, run: u32, token: u32) {
        let (coordinator, desk) = (&self.coordinators[c], &self.own.desks[c]);
        if !coordinator.up || coordinator.run != run || desk.token != token || desk.proposing.is_some() {
            return;
        }
        if coordinator.leads.is_none() {
            return;
        }
        let now = self.awake(c);
        let state = self.state_of(c);
        let Some(record) = &state.record else { return self.look_soon(c, CALM) };
        let decision = self.decide(c, record, now);
        if self.trace.on() {
            let lines = explain::lines(&decision);
            let told = lines.iter().filter(|line| line.starts_with("problem") || line.starts_with("  "));
            let told: Vec<&str> = told.map(|line| line.trim()).collect();
            if !told.is_empty() && !decision.commands.is_empty() {
                self.say(|| format!("coordinator {}: {}", c + 1, told.join("; ")));
            }
        }
        if decision.commands.is_empty() {
            let wait = if self.suspicious(c, record, &decision, now) { BRISK } else { CALM };
            return self.look_soon(c, wait);
        }
        self.own.desks[c].queue = decision.commands.into();
        self.own.desks[c].changed = false;
        self.next_proposal(c);
    }

    fn decide(&mut self, c: usize, record: &Cluster, now: Instant) -> Decision {
        let mut memory = std::mem::take(&mut self.own.desks[c].memory);
        let policy = self.policy.of(&record.spec);
        let view = self.own.desks[c].view(&self.coordinators[c], record, &policy, now);
        memory.look(&view);
        let mut decision = decide(&view, &memory);
        self.own.desks[c].memory = memory;
        self.settle(c);
        if let Some(wait) = self.awaits(c, record) {
            decision.commands.clear();
            decision.waits.insert(0, wait);
        }
        for problem in &decision.problems {
            match problem.kind {
                ProblemKind::AgentSilent { .. } => self.reach.note(crate::danger::Danger::SilenceOutvoted),
                ProblemKind::AdoptionRefused => self.reach.note(crate::danger::Danger::AdoptionRefused),
                _ => {}
            }
        }
        for wait in &decision.waits {
            self.reach.wait(wait);
        }
        let silent = |kind: &ProblemKind| matches!(kind, ProblemKind::AgentSilent { .. });
        let names_it = decision.problems.iter().any(|problem| silent(&problem.kind));
        self.own.desks[c].says_so = names_it || !decision.waits.is_empty();
        if !decision.waits.is_empty() {
            self.fact(&Fact::Refused { record, waits: &decision.waits });
        }
        decision
    }

    fn suspicious(&self, c: usize, record: &Cluster, decision: &Decision, now: Instant) -> bool {
        let since = self.coordinators[c].listening_since;
        let heard = |name| self.own.desks[c].heard.get(name).map_or(since, |heard| heard.at);
        matches!(
            record.operation,
            Operation::Failover(_)
                | Operation::Switchover(_)
                | Operation::Bootstrap { .. }
                | Operation::Adopt(_)
        ) || decision.problems.iter().any(|problem| problem.kind.severity() == Severity::Critical)
            || record
                .primary
                .as_ref()
                .is_some_and(|reign| now.since(heard(&reign.instance)) >= 2 * self.policy.heartbeat)
    }

    /// Proposes the next of what was decided; what would change nothing now is not even written.
    fn next_proposal(&mut self, c: usize) {
        while let Some(command) = self.own.desks[c].queue.pop_front() {
            match self.trial(c, &command) {
                Some(true) => {
                    self.own.desks[c].proposing = self.propose(c, command, Waits::Driver);
                    return;
                }
                Some(false) => {}
                None => self.own.desks[c].queue.clear(),
            }
        }
        let again = std::mem::take(&mut self.own.desks[c].changed);
        self.look_soon(c, if again { MS / 5 } else { BRISK });
    }

    /// Whether a command would change the record that this coordinator knows; none: it would be rejected.
    pub(super) fn trial(&self, c: usize, command: &Command) -> Option<bool> {
        let state = self.state_of(c);
        let mut clusters: BTreeMap<_, _> =
            state.record.clone().map(|record| (self.own.cluster.clone(), record)).into_iter().collect();
        let entry =
            Entry { cluster: self.own.cluster.clone(), command: command.clone(), at: WallMs(self.now / MS) };
        apply(&mut clusters, &entry, 0).ok().map(|events| !events.is_empty())
    }

    /// The outcome of a proposal: it changed something, or not, or nobody knows.
    pub(super) fn proposed(&mut self, c: usize, id: u64, waits: Waits, done: Option<bool>) {
        match waits {
            Waits::Driver => {
                let desk = &mut self.own.desks[c];
                if desk.proposing != Some(id) {
                    return;
                }
                desk.proposing = None;
                match done {
                    Some(changed) => {
                        desk.changed |= changed;
                        self.next_proposal(c);
                    }
                    None => {
                        desk.queue.clear();
                        self.look_soon(c, BRISK);
                    }
                }
            }
            Waits::Registration { i, run } if done.is_some() => self.welcome(c, i, run),
            Waits::Registration { .. } | Waits::Operator => {}
        }
    }
}
