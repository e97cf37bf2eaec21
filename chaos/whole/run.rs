//! One run: the world and the processes take turns, a tick each. In a tick the world goes first and gives its orders;
//! what flies and is due arrives; then every process that is not stopped has the tick for itself, in a fixed order; and
//! what they applied, heard and said goes to the world before the next.

use crate::coordinator::{Group, Journal, Seat, address, limits, machine_name};
use crate::entropy::WorldClock;
use crate::hear::Ear;
use crate::net::Net;
use crate::operator::Operator;
use crate::running::Running;
use crate::session::{Session, Town};
use interrex_agent::Outgoing;
use interrex_cluster::ids::ClusterName;
use interrex_sim::{Danger, Order, Outcome, Rng, Stage};
use std::collections::BTreeSet;
use tracing_subscriber::layer::SubscriberExt;

/// How finely processes share time, in milliseconds. A message takes a tick at least.
const TICK_MS: u64 = 2;
/// Streams of the seed's randomness; processes have those from 1,000 on.
const NETWORK: u64 = 11;
const DISKS: u64 = 12;
const LIMITS: u64 = 14;
const PACE: u64 = 16;
/// In so many runs of a hundred disks are slow, so that power goes while they write.
const SLOW_DISKS: u64 = 30;
/// Nothing takes longer to be written, on whatever machine.
const SLOWEST_MS: u64 = 720;

/// Everything of one run.
struct Run {
    stage: Stage,
    net: Net,
    rng: Rng,
    /// So many times as slow as others are the disks of coordinators.
    times: u64,
    seats: Vec<Seat>,
    /// Cluster by cluster.
    sessions: Vec<Session>,
    operator: Operator,
    group: Group,
    town: Town,
    clocks: Vec<WorldClock>,
    ear: Option<Ear>,
    /// Coordinators that are to be started.
    due: BTreeSet<usize>,
    /// Out of whose log a group was made anew.
    anew: Option<usize>,
}

/// Runs one seed.
pub fn run(seed: u64) -> Outcome {
    run_on(seed, Stage::new(seed, false))
}

fn run_on(seed: u64, stage: Stage) -> Outcome {
    Run::new(seed, stage, None).finish().0
}

/// Runs one seed of a play in which a group of coordinators is made anew, and the one that it replaced comes back.
pub fn run_two_groups(seed: u64) -> Outcome {
    run_on(seed, Stage::of_two_groups(seed, false))
}

/// Runs one seed and keeps its play.
pub(crate) fn play(seed: u64) -> (Outcome, Vec<String>) {
    play_on(seed, Stage::new(seed, true))
}

/// Makes a failing seed shorter for as long as the same property stays broken, and plays what is left.
pub(crate) fn shorten(seed: u64) -> Option<(Outcome, Vec<String>)> {
    Some(play_on(seed, Stage::shortest(seed, |stage| run_on(seed, stage))?))
}

fn play_on(seed: u64, stage: Stage) -> (Outcome, Vec<String>) {
    let ear = Ear::default();
    // While there is one subscriber only, tracing takes another thread's word for whether anybody wants to hear: with a
    // second one it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::registry().with(ear.clone());
    tracing::subscriber::with_default(subscriber, || Run::new(seed, stage, Some(ear)).finish())
}

impl Run {
    fn new(seed: u64, mut stage: Stage, ear: Option<Ear>) -> Self {
        let machines = stage.machines();
        let near = (0..machines).map(|a| (0..machines).map(|b| stage.near(a, b)).collect()).collect();
        let net = Net::new(machines, stage.loss(), Rng::new(seed, NETWORK), near);
        let clocks: Vec<WorldClock> = (0..machines).map(|_| WorldClock::default()).collect();
        let coordinators = stage.coordinators();
        let (mut clusters, mut sessions) = (Vec::new(), Vec::new());
        for of in 0..stage.clusters() {
            stage.turn_to(of);
            clusters.push((stage.cluster(), stage.spec()));
            sessions.extend((0..stage.instances()).map(|i| Session::new(of, i, clocks[i].clone())));
        }
        let names: Vec<ClusterName> = clusters.iter().map(|(name, _)| name.clone()).collect();
        let group = Group {
            seed,
            net: net.clone(),
            journal: Journal::default(),
            members: (0..stage.founders()).map(|c| (machine_name(c), address(c))).collect(),
            clusters,
            limits: limits(&mut Rng::new(seed, LIMITS)),
        };
        // Agents hear of those who are added later.
        let town = Town { seed, net: net.clone(), coordinators: stage.founders(), clusters: names };
        Self {
            rng: Rng::new(seed, DISKS),
            times: if Rng::new(seed, PACE).percent(SLOW_DISKS) { 10 } else { 1 },
            seats: (0..coordinators).map(|c| Seat::new(c, clocks[c].clone())).collect(),
            operator: Operator::new(seed, &net, coordinators),
            sessions,
            stage,
            net,
            group,
            town,
            clocks,
            ear,
            due: BTreeSet::new(),
            anew: None,
        }
    }

    fn finish(mut self) -> (Outcome, Vec<String>) {
        let mut now = self.stage.now();
        while !self.stage.is_over() {
            now += TICK_MS * 1_000;
            self.stage.advance(now);
            self.show_the_world(now);
            for (of, order) in self.stage.orders() {
                self.stage.turn_to(of);
                self.carry_out(of, order);
            }
            self.start_coordinators();
            self.net.deliver(now);
            self.step();
            self.tell_the_world();
        }
        let Self { stage, .. } = self;
        stage.end()
    }

    /// Clocks, cuts and disks are as the world has them.
    fn show_the_world(&mut self, now: u64) {
        for (machine, clock) in self.clocks.iter().enumerate() {
            clock.set(self.stage.clock_ms(machine));
        }
        let stage = &self.stage;
        self.net.set(|a, b| stage.reaches(a, b), |machine| stage.is_on(machine));
        self.seats.iter().for_each(|seat| seat.is_at(now / 1_000));
        // Now and then a disk is quicker, or slower.
        if now.is_multiple_of(50_000) {
            for (c, seat) in self.seats.iter().enumerate() {
                let us = self.rng.tail(500, 12_000) * self.times;
                seat.writes_take(self.stage.takes(c, us).div_ceil(1_000).min(SLOWEST_MS));
            }
        }
    }

    fn carry_out(&mut self, of: usize, order: Order) {
        match order {
            Order::StartCoordinator { c } => {
                self.due.insert(c);
            }
            Order::EndCoordinator { c, power } => {
                if self.seats[c].process.is_some() {
                    self.stage.say(|| format!("coordinator {} is killed", c + 1));
                }
                self.due.remove(&c);
                if self.seats[c].end(power, &mut self.rng) {
                    self.stage.say(|| format!("coordinator {}'s disk had not flushed all of its log", c + 1));
                    self.stage.reached(Danger::TailLost);
                }
            }
            Order::Recover { c } => self.make_anew(c),
            Order::LoseLog { c } => self.seats[c].lose_log(),
            Order::Ask(asked) => {
                // Nobody sits at a machine that is dead for good.
                let desk = (0..self.clocks.len()).find(|machine| !self.stage.stays_dead(*machine));
                self.operator.sits_at(&self.net, desk.unwrap_or_default());
                self.operator.ask(self.town.clusters[of].clone(), asked, self.ear.clone());
            }
            Order::StartAgent { i, run, registration, obeyed, life } => {
                let town = self.town.clone();
                if let Some(agent) = self.session(of, i) {
                    agent.begin(&town, run, *registration, obeyed, life);
                }
            }
            Order::EndAgent { i } => self.session(of, i).into_iter().for_each(|agent| agent.running = None),
            Order::Poke { i } => self.with_agent(of, i, |agent| agent.strings.poke.notify_one()),
            Order::BeatNow { i } => self.with_agent(of, i, |agent| agent.strings.beat_now.notify_one()),
            Order::BeatOver { i, first } => self.with_agent(of, i, |agent| agent.beat_over(first)),
            Order::Keep { i, what } => self.with_agent(of, i, |agent| agent.keep(what)),
            Order::DeedOver { i, outcome } => self.with_agent(of, i, |agent| agent.deed_over(outcome)),
            Order::Report { i, report, wants_lease, seen } => {
                let outgoing = Outgoing { report: *report, wants_lease, seen };
                self.with_agent(of, i, |agent| drop(agent.report.send_replace(Some(outgoing))));
            }
        }
    }

    /// The log of one coordinator begins another group; those of the others are given up.
    fn make_anew(&mut self, c: usize) {
        match self.seats[c].make_anew(&self.group) {
            Ok(made) => {
                self.anew = Some(c);
                self.seats.iter_mut().for_each(|seat| seat.given_up = seat.c != c);
                self.operator.asks_only(c);
                self.stage.recovered(made.committed);
            }
            Err(why) => self.stage.ended(c, &why),
        }
    }

    /// Those of a group that was given up come back once every agent that ever will has heard of the new one: from then on, and
    /// not before, nothing that they say counts (docs/coordinators.md).
    fn start_coordinators(&mut self) {
        let count = self.seats.len();
        let heard = self.anew.is_none_or(|c| {
            let knows = |agent: &Session| self.stage.stays_dead(agent.i) || agent.knows_only(c, count);
            self.sessions.iter().all(knows)
        });
        for c in std::mem::take(&mut self.due) {
            if self.seats[c].given_up && !heard {
                self.due.insert(c);
                continue;
            }
            let with_snapshot = self.seats[c].start(&self.group);
            self.stage.coordinator_begins(c, with_snapshot);
            self.stage.say(|| format!("coordinator {} is started", c + 1));
        }
    }

    /// What is meant for an agent reaches it while it runs.
    fn with_agent(&mut self, of: usize, i: usize, tell: impl FnOnce(&mut Running)) {
        if let Some(running) = self.session(of, i).and_then(|agent| agent.running.as_mut()) {
            tell(running);
        }
    }

    /// The agent of that number, of the cluster of that number.
    fn session(&mut self, of: usize, i: usize) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|agent| (agent.of, agent.i) == (of, i))
    }

    /// Everybody has a tick.
    fn step(&mut self) {
        for (c, seat) in self.seats.iter_mut().enumerate() {
            let Some(process) = &mut seat.process else { continue };
            if self.stage.holds_coordinator(c) {
                process.miss(TICK_MS);
                continue;
            }
            if let Some(ear) = &self.ear {
                ear.turn_of(&format!("coordinator {}", c + 1));
            }
            process.step(TICK_MS);
        }
        self.operator.process.step(TICK_MS);
        let one = self.town.clusters.len() == 1;
        for session in &mut self.sessions {
            let Some(running) = &mut session.running else { continue };
            self.stage.turn_to(session.of);
            if self.stage.holds_agent(session.i) {
                running.process.miss(TICK_MS);
                continue;
            }
            if let Some(ear) = &self.ear {
                let (of, i) = (self.stage.cluster(), session.i + 1);
                ear.turn_of(&if one { format!("n{i}'s agent") } else { format!("n{i}'s agent of {of}") });
            }
            running.process.step(TICK_MS);
        }
    }

    /// What they did goes to the world.
    fn tell_the_world(&mut self) {
        for line in self.ear.as_ref().map(Ear::take).unwrap_or_default() {
            self.stage.say(|| line);
        }
        for applied in self.group.journal.take() {
            if self.seats[applied.c].given_up {
                continue;
            }
            let Some(of) = self.town.clusters.iter().position(|name| *name == applied.cluster) else {
                continue;
            };
            self.stage.turn_to(of);
            self.stage.applied(applied.c, applied.index, &applied.command, &applied.record);
        }
        let leads = |given_up: bool| {
            let seats = self.seats.iter().filter(move |seat| seat.given_up == given_up && seat.leads());
            seats.map(|seat| seat.c).collect::<Vec<usize>>()
        };
        let (present, replaced) = (leads(false), leads(true));
        self.stage.lead(&present);
        for (cluster, lines) in self.operator.explained() {
            if let Some(of) = self.town.clusters.iter().position(|name| *name == cluster) {
                self.stage.turn_to(of);
                self.stage.explained(&lines);
            }
        }
        if !present.is_empty() && !replaced.is_empty() {
            self.stage.reached(Danger::ReplacedGroupLeads);
        }
        for (c, seat) in self.seats.iter_mut().enumerate().filter(|(_, seat)| !seat.given_up) {
            if let Some(votes) = seat.votes() {
                self.stage.votes(c, votes);
            }
            if let Some(why) = seat.ended() {
                self.stage.ended(c, &why);
            }
        }
        for session in &mut self.sessions {
            let Some(running) = &mut session.running else { continue };
            self.stage.turn_to(session.of);
            running.tell_the_world(&mut self.stage);
        }
    }
}
