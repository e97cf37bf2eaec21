//! The simulated world: everything that exists, and the one loop that lets time pass.
//!
//! Time is a number of microseconds that jumps from event to event. Events of one instant keep the order in which they
//! were made, so that a seed decides everything. Whoever is paused, or on a paused machine, gets its events when it
//! wakes, in order: what was on its way to it waits in a socket.

use crate::coordinator::{Coordinator, Log};
use crate::event::Event;
use crate::faults::Faults;
use crate::network::Network;
use crate::own::Own;
use crate::plan::{Plan, Start};
use crate::queue::Queue;
use crate::reach::Reach;
use crate::rng::Rng;
use crate::slowness::Slowness;
use crate::stage::Elsewhere;
use crate::trace::Trace;
use interrex_check::{Checks, Fact};
use interrex_cluster::ids::InstanceName;
use interrex_cluster::policy::Policy;
use interrex_cluster::time::Instant;

/// Microseconds since the world began.
pub(crate) type Time = u64;

/// A millisecond.
pub(crate) const MS: Time = 1_000;
/// A second.
pub(crate) const S: Time = 1_000_000;

/// A machine: its power, its clock, whether it is stopped.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) on: bool,
    pub(crate) paused_until: Time,
    /// Parts in a million by which its clock is fast; negative: slow.
    pub(crate) drift: i64,
    /// When it was last switched on; its boot clock counts from there.
    pub(crate) booted: Time,
    /// While it is slow, everything here takes longer.
    pub(crate) slow: Slowness,
}

/// What is counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    /// Changes of primary that came to be open, with acknowledged commits checked across.
    pub(crate) failovers: u64,
    pub(crate) acknowledged: u64,
    pub(crate) events: u64,
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) plan: Plan,
    pub(crate) policy: Policy,
    pub(crate) rng: Rng,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: Network,
    pub(crate) log: Log,
    pub(crate) coordinators: Vec<Coordinator>,
    pub(crate) faults: Faults,
    pub(crate) reach: Reach,
    pub(crate) trace: Trace,
    pub(crate) figures: Figures,
    pub(crate) over: bool,
    /// The coordinators are elsewhere.
    pub(crate) elsewhere: Option<Elsewhere>,
    queue: Queue,
    /// Which cluster is at hand.
    pub(crate) turn: usize,
    /// What that one has to itself.
    pub(crate) own: Own,
    /// What the others have.
    pub(crate) aside: Vec<Option<Own>>,
}

impl World {
    /// A world as its plan has it, at its first moment.
    pub(crate) fn new(plan: Plan, trace: Trace) -> Self {
        Self::with(plan, trace, None)
    }

    /// The same, without the coordinators.
    pub(crate) fn staged(plan: Plan, trace: Trace) -> Self {
        Self::with(plan, trace, Some(Elsewhere::default()))
    }

    fn with(plan: Plan, trace: Trace, elsewhere: Option<Elsewhere>) -> Self {
        let rng = Rng::new(plan.seed, 1);
        let machine = |m: usize| Machine {
            on: true,
            paused_until: 0,
            drift: plan.drift.get(m).copied().unwrap_or_default(),
            booted: 0,
            slow: Slowness::default(),
        };
        let count = plan.machines();
        let mut aside: Vec<Option<Own>> = Own::of(&plan).into_iter().map(Some).collect();
        #[expect(clippy::expect_used, reason = "a plan has a cluster")]
        let own = aside[0].take().expect("a plan has a cluster");
        let mut world = Self {
            now: 10 * S,
            policy: Policy::default(),
            machines: (0..count).map(machine).collect(),
            network: Network::new(&plan),
            log: Log::default(),
            coordinators: (0..plan.coordinators)
                .map(|c| Coordinator {
                    outside: c + plan.outside >= plan.coordinators,
                    ..Coordinator::default()
                })
                .collect(),
            faults: Faults::new(plan.strikes.len(), count),
            reach: Reach::default(),
            figures: Figures::default(),
            over: false,
            elsewhere,
            queue: Queue::default(),
            turn: 0,
            aside,
            own,
            rng,
            trace,
            plan,
        };
        if world.has_neighbours() {
            world.trace.is_about(&world.own.cluster);
        }
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.in_each(|world| match world.own.wants.start {
            Start::Empty if world.is_stage() => world.found(None),
            Start::Empty => world.created(),
            Start::Steady | Start::Stopped => world.steady(),
            Start::Existing => {
                if let Some(existing) = world.own.wants.existing.clone() {
                    world.found_existing(&existing);
                }
            }
        });
        for c in 0..self.coordinators.len() {
            self.start_coordinator(c);
        }
        if !self.is_stage() {
            self.after(0, Event::RaftTick);
        }
        self.in_each(|world| {
            for i in 0..world.own.agents.len() {
                world.start_agent(i);
            }
            for client in 0..world.own.clients.len() {
                let wait = world.rng.below(500 * MS);
                world.after(wait, Event::Client { client });
            }
            world.after(S, Event::Read);
        });
        self.plan_strikes();
        if self.plan.calm {
            // What was started a moment ago has to find itself first.
            let found_itself = self.plan.begin_ms.saturating_sub(1_000) * MS;
            self.at(if self.is_stage() { found_itself } else { self.now + 12 * S }, Event::Calm);
        }
        let until = self.plan.faults_ms * MS;
        self.after(until, Event::Heal);
    }

    /// Lets time pass until the run is over.
    pub(crate) fn run(&mut self) {
        self.run_until(Time::MAX);
    }

    /// Lets all happen that happens until then, if the run is not over before.
    pub(crate) fn run_until(&mut self, to: Time) {
        while !self.over {
            let Some((at, of, event)) = self.queue.pop_until(to) else { return };
            self.now = self.now.max(at);
            self.turn_to(of);
            if let Some(until) = self.held_until(&event) {
                self.queue.hold(until, of, event);
                continue;
            }
            self.figures.events += 1;
            self.happen(event);
        }
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.queue.push(at, self.turn, event);
    }

    /// Nobody is stopped any more.
    pub(crate) fn let_go(&mut self) {
        self.queue.release(self.now);
    }

    pub(crate) fn after(&mut self, span: Time, event: Event) {
        self.at(self.now + span, event);
    }

    /// Until when an event has to wait because whoever it is for is stopped.
    fn held_until(&self, event: &Event) -> Option<Time> {
        let (machine, until) = match event.whose()? {
            crate::event::Whose::Coordinator(c) => (c, self.coordinators[c].paused_until),
            crate::event::Whose::Agent(i) => (i, self.own.agents[i].paused_until),
            crate::event::Whose::Server(i) => (i, self.own.servers[i].hung_until),
        };
        let until = until.max(self.machines[machine].paused_until);
        (until > self.now).then_some(until)
    }

    /// A machine's own boot clock.
    pub(crate) fn clock(&self, machine: usize) -> Instant {
        let m = &self.machines[machine];
        let true_time = self.now - m.booted;
        let drifted = i128::from(true_time) * i128::from(1_000_000 + m.drift) / 1_000_000;
        Instant(u64::try_from(drifted / i128::from(MS)).unwrap_or_default() + 1_000)
    }

    /// The first moment at which a machine's clock shows `instant`.
    pub(crate) fn when(&self, machine: usize, instant: Instant) -> Time {
        let m = &self.machines[machine];
        let shown = i128::from(instant.0.saturating_sub(1_000)) * i128::from(MS);
        let true_time = shown * 1_000_000 / i128::from(1_000_000 + m.drift);
        m.booted + u64::try_from(true_time).unwrap_or_default() + 1
    }

    /// How long something takes here that takes `low` to `high` microseconds on an idle machine.
    pub(crate) fn takes(&mut self, machine: usize, low: Time, high: Time) -> Time {
        let work = self.rng.tail(low, high);
        self.machines[machine].slow.lasts(self.now, work)
    }

    /// The instance of that name.
    pub(crate) fn index(&self, name: &InstanceName) -> usize {
        crate::plan::index(name)
    }

    /// Tells the properties something.
    pub(crate) fn fact(&mut self, fact: &Fact<'_>) {
        see(&mut self.own.checks, &mut self.trace, self.now, fact);
        self.over |= !self.own.checks.violations().is_empty();
    }

    /// A line of the play.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        self.trace.say(self.now, line);
    }
}

/// Tells the properties something; what breaks is part of the play.
pub(crate) fn see(checks: &mut Checks, trace: &mut Trace, now: Time, fact: &Fact<'_>) {
    if checks.see(fact)
        && let Some(violation) = checks.violations().last().cloned()
    {
        trace.say(now, || format!("VIOLATION {violation}"));
    }
}
