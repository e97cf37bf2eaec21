//! What agents get: registration, leases, goals. And what they bring: reports.

use super::Ask;
use super::log::Waits;
use crate::agent::Outgoing;
use crate::danger::Danger;
use crate::event::Event;
use crate::mutants::{self, Mutant};
use crate::world::{MS, World};
use interrex_cluster::command::{Command, Registration};
use interrex_cluster::ids::Stamp;
use interrex_cluster::record::{Address, Cluster};
use interrex_cluster::time::Instant;
use interrex_cluster::view::Heard;
use std::rc::Rc;
use std::time::Duration;

impl World {
    /// A report came in.
    pub(crate) fn report(
        &mut self,
        (c, crun): (usize, u32),
        i: usize,
        serial: (u32, u64),
        sent: Instant,
        said: &Rc<Outgoing>,
    ) {
        // A connection ends with the process that it leads to: what was stuck in it reaches no later one.
        if !self.coordinators[c].up || self.coordinators[c].run != crun || !self.network.reaches(i, c) {
            return;
        }
        let at = self.awake(c);
        // Old words are known by their number.
        if self.plan.mixes_reports {
            self.turn_to(0);
            if i >= self.own.names.len() {
                return;
            }
        }
        self.reached("a report", said.of);
        let newest = &mut self.own.desks[c].voices[i];
        if serial <= *newest {
            self.reach.note(Danger::OldWord);
            return;
        }
        *newest = serial;
        let age = sent.since(said.seen);
        let stale = if age > self.policy.fresh { age } else { Duration::ZERO };
        let seen = Instant(at.0.saturating_sub(u64::try_from(stale.as_millis()).unwrap_or(u64::MAX)));
        let name = &self.own.names[i];
        let heard = &mut self.own.desks[c].heard;
        let news = match heard.get_mut(name) {
            Some(known) => {
                let news = differs(&known.report, &said.report);
                known.report.clone_from(&said.report);
                known.at = seen;
                news
            }
            None => {
                heard.insert(name.clone(), Heard { report: said.report.clone(), at: seen });
                true
            }
        };
        if news && self.coordinators[c].leads.is_some() {
            self.look_soon(c, MS / 5);
        }
        if let Some(epoch) = said.wants
            && self.due(c, i, epoch)
        {
            self.ask(c, Ask::Lease { of: said.of, i, run: serial.0, epoch, sent });
        }
    }

    /// Whether the record, as this coordinator has it, names the asker primary of the epoch asked for.
    fn due(&self, c: usize, i: usize, epoch: interrex_cluster::ids::Epoch) -> bool {
        self.state_at(self.coordinators[c].applied).place == Some((i, epoch))
            && self.coordinators[c].leads.is_some()
            && !self.distrusts(c)
    }

    /// A quorum was asked whether this coordinator still leads.
    pub(crate) fn confirmed(&mut self, c: usize, run: u32, term: u64, ask: Ask) {
        let coordinator = &self.coordinators[c];
        if !coordinator.up || coordinator.run != run {
            return;
        }
        let confirmed = self.really_leads(c, term) || mutants::on(Mutant::LeaseConfirmation);
        if coordinator.leads != Some(term) || !confirmed {
            if self.log.term > term {
                self.reach.note(Danger::DeposedWhileGranting);
            }
            return;
        }
        // Everything that was committed by now is applied before anything is read.
        if !mutants::on(Mutant::LeaseConfirmation) {
            self.apply_upto(c, self.log.states.len() - 1);
        }
        let slow = self.rng.percent(2);
        let wait = self.takes(c, 20, if slow { 300 * MS } else { MS });
        self.after(wait, Event::Grants { c, run, term, ask });
    }

    /// The record is read, and what it allows is given.
    pub(crate) fn grants(&mut self, c: usize, run: u32, term: u64, ask: Ask) {
        let coordinator = &self.coordinators[c];
        if !coordinator.up || coordinator.run != run || coordinator.leads != Some(term) {
            return;
        }
        match ask {
            Ask::Lease { of, i, run, epoch, sent } => {
                if !self.due(c, i, epoch) {
                    return;
                }
                self.reached("a lease", of);
                if self.log.term > term {
                    self.reach.note(Danger::GrantedAfterDeposed);
                }
                self.own.desks[c].last_grant = self.clock(c);
                let delay = self.network.delay(&mut self.rng, c, i);
                if self.network.reaches(c, i) {
                    self.after(delay, Event::Granted { i, run, epoch, sent });
                }
            }
            Ask::Register { i, run } => {
                let registration = registration(self, i);
                match self.trial(c, &Command::Register(registration.clone())) {
                    Some(true) if self.distrusts(c) => {}
                    Some(true) => {
                        self.propose(c, Command::Register(registration), Waits::Registration { i, run });
                    }
                    Some(false) => self.welcome(c, i, run),
                    None => {}
                }
            }
        }
    }

    pub(super) fn welcome(&mut self, c: usize, i: usize, run: u32) {
        let state = self.state_of(c);
        let (Some(record), Some(goal)) = (&state.record, state.goals[i].clone()) else { return };
        let floor = floor(record);
        let delay = self.network.delay(&mut self.rng, c, i);
        if self.network.reaches(c, i) {
            self.after(delay, Event::Welcome { i, run, floor, goal });
        }
    }

    /// A watch is opened, or opened again after it broke.
    pub(crate) fn watch_open(&mut self, c: usize, run: u32, i: usize) {
        let coordinator = &self.coordinators[c];
        if !coordinator.up || coordinator.run != run || self.own.desks[c].told[i].is_some() {
            return;
        }
        if !self.network.talk(c, i) || !self.own.agents[i].up || self.own.agents[i].floor.is_none() {
            return self.after(200 * MS, Event::WatchOpen { c, run, i });
        }
        self.tell(c, i);
    }

    /// Everybody who watches is told what differs.
    pub(super) fn tell_watchers(&mut self, c: usize) {
        for i in 0..self.own.names.len() {
            let now = self.coordinators[c].applied;
            let Some(told) = self.own.desks[c].told[i] else { continue };
            let (before, after) = (self.state_at(told), self.state_at(now));
            if before.goals[i] != after.goals[i] || before.place != after.place {
                self.tell(c, i);
            }
        }
    }

    fn tell(&mut self, c: usize, i: usize) {
        let now = self.coordinators[c].applied;
        self.own.desks[c].told[i] = Some(now);
        let state = self.state_at(now).clone();
        let (run, crun) = (self.own.agents[i].run, self.coordinators[c].run);
        let (goal, place) = (state.goals[i].clone(), state.place);
        let delay = self.network.delay(&mut self.rng, c, i);
        self.after(delay, Event::Goal { i, run, c, crun, goal: goal.clone(), place });
        if self.rng.percent(self.pace().replays) {
            // A copy that was stuck somewhere, for long.
            let later = self.rng.range(MS * 500, 40_000 * MS);
            self.after(later, Event::Goal { i, run, c, crun, goal, place });
        }
    }

    /// A goal that was told earlier in the present epoch, and said something else, comes once more.
    pub(crate) fn echo(&mut self, i: usize) {
        let Some(c) = self.log.leader else { return };
        let goal = |state: &super::log::State| state.goals[i].clone();
        let Some(now) = self.newest_state().and_then(|state| goal(state)) else { return };
        let states = self.log.states.iter().rev().map(|all| &all[self.turn]);
        let old = states.into_iter().find(|state| goal(state).is_some_and(|g| g.goal != now.goal));
        let Some((old, place)) = old.and_then(|state| Some((goal(state)?, state.place))) else { return };
        if old.stamp.epoch == now.stamp.epoch {
            let (run, crun) = (self.own.agents[i].run, self.coordinators[c].run);
            self.after(MS, Event::Goal { i, run, c, crun, goal: Some(old), place });
        }
    }

    /// A stream broke: it is opened again.
    pub(crate) fn watch_broke(&mut self, c: usize, crun: u32, i: usize) {
        if self.coordinators[c].run == crun && self.own.desks[c].told[i].take().is_some() {
            self.after(200 * MS, Event::WatchOpen { c, run: crun, i });
        }
    }
}

/// As what an agent registers its instance.
pub(crate) fn registration(world: &World, i: usize) -> Registration {
    let agent = &world.own.agents[i];
    let silent = agent.memory.created.is_some() || agent.memory.sentinel.is_some();
    Registration {
        instance: agent.name.clone(),
        machine: crate::plan::machine_name(i),
        zone: world.plan.zone_name(i),
        directory: agent.directory.clone(),
        address: address(i),
        priority: world.priority(i),
        major: 15,
        system: world.own.servers[i].dir.as_ref().filter(|_| !silent).map(|_| world.system()),
        replaces: None,
    }
}

/// Where an instance's server listens.
pub(crate) fn address(i: usize) -> Address {
    Address { host: format!("10.0.0.{}", i + 1), port: 5432 }
}

fn floor(record: &Cluster) -> Stamp {
    Stamp { epoch: record.epoch, revision: record.revision }
}

/// Whether two reports differ in what lasts; positions and ages move all the time.
fn differs(a: &interrex_cluster::report::Report, b: &interrex_cluster::report::Report) -> bool {
    use interrex_cluster::report::Server as R;
    let server = match (&a.server, &b.server) {
        (R::Standby(x), R::Standby(y)) => match (&x.receiver, &y.receiver) {
            (Some(x), Some(y)) => {
                (&x.upstream, x.streaming, x.timeline) != (&y.upstream, y.streaming, y.timeline)
            }
            (x, y) => x.is_some() != y.is_some(),
        },
        (R::Primary(x), R::Primary(y)) => {
            let kept = |p: &interrex_cluster::report::Primary| (p.timeline, p.open, p.senders.len());
            kept(x) != kept(y)
                || x.senders.iter().zip(&y.senders).any(|(s, t)| {
                    (&s.instance, s.incarnation, s.streaming) != (&t.instance, t.incarnation, t.streaming)
                })
        }
        (R::Silent { .. }, R::Silent { .. }) => false,
        (x, y) => x != y,
    };
    let knock = |r: &interrex_cluster::report::Report| r.knock.map(|knock| (knock.epoch, knock.answered));
    server
        || a.obeyed != b.obeyed
        || a.incarnation != b.incarnation
        || a.proofs != b.proofs
        || a.needs != b.needs
        || a.unfit != b.unfit
        || knock(a) != knock(b)
}
