//! The log: what is committed, who leads, and what became of proposals whose leader was deposed.

use super::recovery::Recovered;
use super::{Ask, Coordinator, Desk};
use crate::danger::Danger;
use crate::event::{Elected, Event};
use crate::stage::Order;
use crate::world::{MS, S, Time, World};
use interrex_cluster::apply::apply;
use interrex_cluster::command::{Command, Entry};
use interrex_cluster::goal::{StampedGoal, goal};
use interrex_cluster::record::Cluster;
use interrex_cluster::time::WallMs;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Between two looks at who leads.
const TICK: Time = 100 * MS;

/// A committed state of the record, and what it says to everybody. Shared by all who have applied it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) record: Option<Cluster>,
    pub(crate) goals: Vec<Option<Rc<StampedGoal>>>,
    pub(crate) place: Elected,
}

/// What waits for the outcome of a proposal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waits {
    Driver,
    /// Nobody: the operator reads it in the events.
    Operator,
    Registration {
        i: usize,
        run: u32,
    },
}

/// A proposal that is not committed yet.
#[derive(Debug)]
pub(crate) struct Pending {
    id: u64,
    /// The cluster that it is about.
    of: usize,
    c: usize,
    term: u64,
    command: Command,
    waits: Waits,
    since: Time,
}

/// The log of the group.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// After each entry, the state of every cluster; all but one are those of the entry before.
    pub(crate) states: Vec<Vec<Rc<State>>>,
    pub(crate) term: u64,
    pub(crate) leader: Option<usize>,
    pending: Vec<Pending>,
    next: u64,
    leaderless_since: Option<Time>,
    election_at: Time,
    /// The group was made anew out of one log.
    pub(crate) recovered: Option<Recovered>,
}

impl Log {
    /// The last entries are lost, and with them all that waited.
    pub(crate) fn cut_off(&mut self, back: usize) {
        self.states.truncate(self.states.len().saturating_sub(back).max(1));
        self.pending.clear();
        self.term += 1;
        self.leader = None;
        self.leaderless_since = None;
    }
}

impl World {
    /// The committed record.
    pub(crate) fn record(&self) -> Option<&Cluster> {
        self.newest_state().and_then(|state| state.record.as_ref())
    }

    /// What is committed.
    pub(crate) fn newest_state(&self) -> Option<&Rc<State>> {
        self.log.states.last()?.get(self.turn)
    }

    /// What was committed with that entry.
    pub(super) fn state_at(&self, index: usize) -> &Rc<State> {
        &self.log.states[index][self.turn]
    }

    pub(super) fn state_of(&self, c: usize) -> Rc<State> {
        self.state_at(self.coordinators[c].applied).clone()
    }

    /// Puts a record in place from which the world begins. The clusters do so in their order.
    pub(crate) fn found(&mut self, record: Option<Cluster>) {
        let state = Rc::new(self.state(record));
        match self.log.states.first_mut() {
            Some(first) => first.push(state),
            None => self.log.states.push(vec![state]),
        }
    }

    fn state(&self, record: Option<Cluster>) -> State {
        let goals = match &record {
            Some(record) => self.own.names.iter().map(|name| goal(record, name).map(Rc::new)).collect(),
            None => vec![None; self.own.names.len()],
        };
        let place = record.as_ref().and_then(|record| {
            let reign = record.primary.as_ref()?;
            Some((self.index(&reign.instance), record.epoch))
        });
        State { record, goals, place }
    }

    /// A coordinator that really leads.
    pub(super) fn really_leads(&self, c: usize, term: u64) -> bool {
        self.log.term == term && self.log.leader == Some(c) && self.has_quorum(c)
    }

    /// Who leads is looked after: elections, and leaders that learn that they are none.
    pub(crate) fn raft_tick(&mut self) {
        self.after(TICK, Event::RaftTick);
        let leads = |c: &usize| self.coordinators[*c].leads == Some(self.log.term);
        let well = self.log.leader.filter(|c| leads(c) && self.has_quorum(*c));
        match (well, self.log.leaderless_since) {
            (Some(_), _) => self.log.leaderless_since = None,
            (None, None) => {
                self.log.leaderless_since = Some(self.now);
                // A pre-vote, a timeout, a vote: 0.9 to 1.3 s after the last word of a leader.
                let first = self.log.term == 0;
                self.log.election_at =
                    self.now + if first { 0 } else { self.rng.range(900 * MS, 1_300 * MS) };
            }
            (None, Some(_)) => {}
        }
        if self.log.leaderless_since.is_some() && self.now >= self.log.election_at {
            self.elect_anybody();
        }
        self.depose();
        self.give_votes();
    }

    /// One of those who could win an election does; nobody, where nobody has a quorum.
    pub(crate) fn elect_anybody(&mut self) {
        let able: Vec<usize> = (0..self.coordinators.len()).filter(|c| self.has_quorum(*c)).collect();
        if !able.is_empty() {
            let winner = able[self.rng.index(able.len())];
            self.elect_leader(winner);
        }
    }

    /// Somebody else wins an election: the one before may learn of it late.
    pub(crate) fn elect_leader(&mut self, winner: usize) {
        if self.log.leader == Some(winner) && self.coordinators[winner].leads == Some(self.log.term) {
            return;
        }
        let before = self.log.term;
        self.log.term += 1;
        self.log.leader = Some(winner);
        self.log.leaderless_since = None;
        let term = self.log.term;
        self.say(|| format!("coordinator {} leads in term {term}", winner + 1));
        // What the leader before had written to some is committed now, or never was. What one wrote that had been deposed
        // by then is on no log that could win.
        let old = std::mem::take(&mut self.log.pending);
        for pending in old.into_iter().filter(|pending| pending.term == before) {
            if self.rng.percent(50) {
                self.reach.note(Danger::OrphanEntry);
                let turn = self.turn;
                self.turn_to(pending.of);
                self.append(&pending.command);
                self.turn_to(turn);
            }
        }
        // Whoever leads has the whole log; it may be a while behind in applying it.
        let clock = self.clock(winner);
        let coordinator = &mut self.coordinators[winner];
        coordinator.leads = Some(term);
        coordinator.since = clock;
        coordinator.lonely_since = None;
        self.in_each(|world| {
            let desk = &mut world.own.desks[winner];
            desk.last_grant = clock;
            desk.memory = Default::default();
            desk.clear();
        });
        let lag = self.rng.tail(0, 200 * MS);
        let (run, upto) = (self.coordinators[winner].run, self.log.states.len() - 1);
        self.after(lag, Event::Apply { c: winner, run, upto });
        self.in_each(|world| world.look_soon(winner, MS));
    }

    fn depose(&mut self) {
        for c in 0..self.coordinators.len() {
            let Some(term) = self.coordinators[c].leads else { continue };
            if self.machines[c].paused_until > self.now || self.coordinators[c].paused_until > self.now {
                continue;
            }
            let superseded = self.log.term > term;
            let told = superseded
                && !self.coordinators[c].outside
                && self.log.leader.is_some_and(|leader| self.network.reaches(leader, c));
            let lonely = !self.has_quorum(c);
            let coordinator = &mut self.coordinators[c];
            coordinator.lonely_since = match (lonely, coordinator.lonely_since) {
                (false, _) => None,
                (true, since) => since.or(Some(self.now)),
            };
            let alone =
                coordinator.lonely_since.is_some_and(|since| self.now - since > self.plan.belief_ms * MS);
            if (told && self.rng.percent(40)) || alone {
                self.coordinators[c].leads = None;
                self.in_each(|world| world.own.desks[c].clear());
                self.say(|| format!("coordinator {} no longer believes that it leads", c + 1));
            }
        }
    }

    /// A coordinator that believes to lead writes an entry.
    pub(super) fn propose(&mut self, c: usize, command: Command, waits: Waits) -> Option<u64> {
        let term = self.coordinators[c].leads?;
        self.log.next += 1;
        let id = self.log.next;
        let run = self.coordinators[c].run;
        let (of, since) = (self.turn, self.now);
        self.log.pending.push(Pending { id, of, c, term, command, waits, since });
        let slow = self.rng.percent(2);
        let write = self.takes(c, MS, if slow { 600 * MS } else { 8 * MS });
        self.after(write, Event::Commit { c, run, id });
        Some(id)
    }

    /// A quorum may have the entry.
    pub(crate) fn commit(&mut self, c: usize, run: u32, id: u64) {
        let Some(at) = self.log.pending.iter().position(|pending| pending.id == id) else { return };
        let (term, waits, since) = {
            let pending = &self.log.pending[at];
            (pending.term, pending.waits, pending.since)
        };
        if self.coordinators[c].run != run {
            // It died after it had written: the next election decides.
            return;
        }
        if !self.really_leads(c, term) {
            if self.now - since < 1_500 * MS {
                self.after(50 * MS, Event::Commit { c, run, id });
            } else {
                self.proposed(c, id, waits, None);
            }
            return;
        }
        let pending = self.log.pending.remove(at);
        let done = self.append(&pending.command);
        let upto = self.log.states.len() - 1;
        self.apply_upto(c, upto);
        self.proposed(c, pending.id, waits, Some(done));
        debug_assert_eq!(pending.c, c);
    }

    /// The entry is committed: the record changes. True when it did.
    fn append(&mut self, command: &Command) -> bool {
        let all = self.log.states.last().cloned().unwrap_or_default();
        let before = all.get(self.turn).cloned();
        let records = all.iter().filter_map(|state| state.record.clone());
        let mut clusters: BTreeMap<_, _> = records.map(|record| (record.name.clone(), record)).collect();
        let entry =
            Entry { cluster: self.own.cluster.clone(), command: command.clone(), at: WallMs(self.now / MS) };
        let index = self.log.states.len() as u64;
        let events = match apply(&mut clusters, &entry, index) {
            Ok(events) => events,
            Err(why) => {
                self.say(|| format!("log: '{command}' rejected: {why}"));
                return false;
            }
        };
        for event in &events {
            self.trace.say(self.now, || format!("log: {}: {}", event.kind, event.text));
        }
        let after = clusters.remove(&self.own.cluster);
        let changed = !events.is_empty();
        self.judge_the_others(&all, &clusters);
        let mut now = all;
        now[self.turn] = Rc::new(self.state(after));
        self.log.states.push(now);
        self.judge(before.as_deref(), command);
        let lagging: Vec<usize> = (0..self.coordinators.len()).collect();
        let upto = self.log.states.len() - 1;
        for c in lagging {
            let slow = self.rng.percent(3);
            let late = self.plan.laggard == Some(c) && !self.faults.over;
            let most = match (late, slow) {
                (true, _) => 8 * S,
                (false, true) => 2 * S,
                (false, false) => 20 * MS,
            };
            let least = if late { self.plan.lag_ms.max(1) * MS } else { MS };
            let lag = self.rng.tail(least, most.max(least));
            let run = self.coordinators[c].run;
            self.after(lag, Event::Apply { c, run, upto });
        }
        changed
    }

    /// An entry of a log that is kept elsewhere changed the record.
    pub(crate) fn committed(&mut self, command: &Command, after: &Cluster) {
        self.say(|| format!("log: {command}"));
        let mut now = self.log.states.last().cloned().unwrap_or_default();
        self.notice_failovers(&now);
        let before = now.get(self.turn).cloned();
        now[self.turn] = Rc::new(self.state(Some(after.clone())));
        self.log.states.push(now);
        self.judge(before.as_deref(), command);
    }

    /// What was committed reaches a coordinator, unless nothing of the leader does.
    pub(crate) fn replicated(&mut self, c: usize, run: u32, upto: usize) {
        let coordinator = &self.coordinators[c];
        if !coordinator.up || coordinator.run != run || coordinator.applied >= upto || coordinator.outside {
            return;
        }
        let reached = self.log.leader.is_some_and(|leader| self.network.talk(leader, c));
        if reached {
            self.apply_upto(c, upto);
        } else if upto + 1 == self.log.states.len() {
            self.after(100 * MS, Event::Apply { c, run, upto });
        }
    }

    /// A coordinator applies what is committed.
    pub(crate) fn apply_upto(&mut self, c: usize, upto: usize) {
        if !self.coordinators[c].up || self.coordinators[c].applied >= upto {
            return;
        }
        let before = std::mem::replace(&mut self.coordinators[c].applied, upto);
        self.in_each(|world| {
            if Rc::ptr_eq(world.state_at(before), world.state_at(upto)) {
                return;
            }
            world.tell_watchers(c);
            world.tell_endpoint(c);
            if world.coordinators[c].leads.is_some() {
                world.look_soon(c, MS / 5);
            }
        });
    }

    /// Starts a coordinator: it has its log, and has applied some of it.
    pub(crate) fn start_coordinator(&mut self, c: usize) {
        let clock = self.clock(c);
        let last = self.log.states.len() - 1;
        let behind = self.rng.index(4);
        let coordinator = &mut self.coordinators[c];
        let (learns, outside, doubts) = (coordinator.learns, coordinator.outside, coordinator.doubts);
        let run = coordinator.run + 1;
        *coordinator = Coordinator {
            up: true,
            run,
            // Who lost its log begins where everything began; who was removed is told nothing new.
            applied: match (learns, outside) {
                (true, _) => 0,
                (false, true) => coordinator.applied,
                (false, false) => last.saturating_sub(behind),
            },
            learns,
            outside,
            doubts,
            listening_since: clock,
            ..Coordinator::default()
        };
        if self.order(Order::StartCoordinator { c }) {
            return;
        }
        let catch_up =
            if learns { self.rng.range(200 * MS, 5_000 * MS) } else { self.rng.range(MS, 200 * MS) };
        self.after(catch_up, Event::Apply { c, run, upto: last });
        self.in_each(|world| {
            let agents = world.own.names.len();
            let token = world.own.desks[c].token + 1;
            let (voices, told) = (vec![(0, 0); agents], vec![None; agents]);
            world.own.desks[c] = Desk { token, voices, told, ..Desk::default() };
            for i in 0..agents {
                let wait = world.rng.range(MS, 200 * MS);
                world.after(wait, Event::WatchOpen { c, run, i });
            }
        });
    }

    /// A coordinator's process ends.
    pub(crate) fn kill_coordinator(&mut self, c: usize) {
        let power = !self.machines[c].on;
        // Its disk loses its power though no process writes to it any more.
        if self.coordinators[c].up || power {
            self.order(Order::EndCoordinator { c, power });
        }
        let coordinator = &mut self.coordinators[c];
        coordinator.up = false;
        coordinator.run += 1;
        coordinator.leads = None;
        self.in_each(|world| world.own.desks[c].clear());
    }

    pub(crate) fn ask(&mut self, c: usize, ask: Ask) {
        let Some(term) = self.coordinators[c].leads else { return };
        let run = self.coordinators[c].run;
        let others = (0..self.coordinators.len()).find(|j| *j != c).unwrap_or(c);
        let round =
            self.network.delay(&mut self.rng, c, others) + self.network.delay(&mut self.rng, others, c);
        self.after(round, Event::Confirmed { c, run, term, ask });
    }
}
