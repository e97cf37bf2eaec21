//! The same world with coordinators and agents' loops that are not of it: machines, servers, deeds, clients, strikes and
//! properties are modelled here, those run elsewhere (`chaos/whole`). What the world wants of them it gives out as
//! [`Order`]s; what they say and do comes in by the methods of [`Stage`] (an agent's: `agent/elsewhere.rs`).
//!
//! The one who runs it lets time pass in steps, carries the orders out, and tells every entry that a coordinator
//! applied, once for each coordinator, in the order of the log.

use crate::afar::Afar;
use crate::batch::{Outcome, outcome};
use crate::event::Event;
use crate::faults::Mend;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::{MS, Time, World};
use interrex_check::Fact;
use interrex_cluster::command::{Asking, Command, Registration};
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName, Stamp};
use interrex_cluster::record::Cluster;
use interrex_cluster::report::Report;
use interrex_cluster::spec::Spec;
use interrex_cluster::time::Instant;
use std::collections::BTreeMap;

/// What an operator asks for.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A switchover, to an instance or to whoever is preferred.
    Switchover {
        /// To whom.
        to: Option<InstanceName>,
    },
    /// A failover, or that one which cannot go on may lose what it has to.
    Failover {
        /// To whom.
        to: Option<InstanceName>,
        /// Acknowledged commits may be lost.
        accept_loss: bool,
    },
    /// That nothing automatic begins, or that it does again.
    Paused(bool),
    /// That a machine's coordinator belongs to the group from now on, or no longer does.
    Coordinator {
        /// Which one.
        c: usize,
        /// It is to belong.
        belongs: bool,
    },
    /// What whoever leads makes of the cluster; answered by [`Stage::explained`].
    Explanation,
    /// Other wishes, `key=value` each.
    Set(Vec<String>),
    /// Something of one instance.
    Instance {
        /// Of which one.
        instance: InstanceName,
        /// What.
        what: Asking,
    },
}

/// What the world wants of those who run the coordinators and the agents. Clusters, machines, coordinators and the agents of a
/// cluster are numbered from 0; coordinator `c` and agent `i` of each cluster live on the machines of the same number.
#[derive(Debug)]
pub enum Order {
    /// A coordinator's process begins.
    StartCoordinator {
        /// Which one.
        c: usize,
    },
    /// It ends without a word.
    EndCoordinator {
        /// Which one.
        c: usize,
        /// With its machine: what was not flushed is lost, and nobody is told that its connections ended.
        power: bool,
    },
    /// An agent's process has looked around and begins to speak: it wants to be registered. One that ran before has ended.
    StartAgent {
        /// Which one.
        i: usize,
        /// The number of this run.
        run: u32,
        /// As what.
        registration: Box<Registration>,
        /// The highest goal that it obeyed.
        obeyed: Stamp,
        /// The number of the server's life that was found running under its guard; absent: none runs.
        life: Option<u32>,
    },
    /// It ends without a word.
    EndAgent {
        /// Which one.
        i: usize,
    },
    /// Its loop had better look again.
    Poke {
        /// Whose.
        i: usize,
    },
    /// A beat is wanted at once.
    BeatNow {
        /// Of whom.
        i: usize,
    },
    /// The beat that it began is over.
    BeatOver {
        /// Whose.
        i: usize,
        /// It came back, as the first of its epoch or a later one; absent: it never will.
        first: Option<bool>,
    },
    /// The deed under way wants something of the keeper of its lease.
    Keep {
        /// Whose.
        i: usize,
        /// What.
        what: Keeping,
    },
    /// The deed that it began is over.
    DeedOver {
        /// Whose.
        i: usize,
        /// Why it was not done, in words; absent words: a newer goal overtook it.
        outcome: Result<(), Option<String>>,
    },
    /// A coordinator that runs loses its disk; its process ends, to begin anew with an empty one.
    LoseLog {
        /// Which one.
        c: usize,
    },
    /// A group is made anew out of the log of this coordinator alone; none runs. The other logs come back as they are.
    Recover {
        /// Which one.
        c: usize,
    },
    /// An operator asks for something.
    Ask(Asked),
    /// It has news for every coordinator.
    Report {
        /// Which agent.
        i: usize,
        /// The testimony.
        report: Box<Report>,
        /// The epoch to serve in.
        wants_lease: Option<Epoch>,
        /// When it looked, by its own clock.
        seen: Instant,
    },
}

/// What a deed wants of the keeper of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// The server is about to be promoted. Answered by [`Stage::kept`].
    Arm {
        /// The number of its life.
        life: u32,
        /// Under the lease of that epoch.
        epoch: Epoch,
        /// With so many standbys to wait for.
        k: u32,
    },
    /// Commits are about to wait for nobody. Answered by [`Stage::kept`].
    Asynchronous,
    /// Commits are proved to wait.
    Synchronous,
    /// The server is gone.
    Disarm,
}

/// Whether coordinators are elsewhere, and what is wanted of them.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// Each with the number of the cluster that it is about.
    pub(crate) orders: Vec<(usize, Order)>,
    /// The place in the log of each state that is known; the first state is that before any entry.
    pub(crate) places: Vec<u64>,
    /// Somebody was asked to change who belongs to the group: who has a vote is told late.
    pub(crate) changes: bool,
    /// When whoever leads was last heard to say what it makes of a cluster, by that one's number, and whether it waits for
    /// something.
    pub(crate) said: BTreeMap<usize, (Time, bool)>,
    /// What is remembered for the sake of dangerous states.
    pub(crate) afar: Afar,
}

/// A world whose coordinators are elsewhere.
pub struct Stage {
    pub(crate) world: World,
}

impl Stage {
    /// The run of a seed; its play is kept if somebody wants to read it.
    pub fn new(seed: u64, kept: bool) -> Self {
        Self::of(Plan::staged(seed, crate::batch::is_calm(seed)), kept)
    }

    /// The shortest run of a failing seed in which the same property stays broken; none when nothing is broken. `run` plays
    /// one to its end. Its play is kept.
    pub fn shortest(seed: u64, run: impl Fn(Stage) -> Outcome) -> Option<Self> {
        let plan = Plan::staged(seed, crate::batch::is_calm(seed));
        let shorter = crate::shrink::shrink(plan, |plan| run(Self::of(plan, false)))?;
        Some(Self::of(shorter, true))
    }

    /// A run of a seed in which a group is made anew, the old one comes back, and the primary is lost.
    pub fn of_two_groups(seed: u64, kept: bool) -> Self {
        let mut plan = Plan::staged(seed, true);
        plan.strikes.clear();
        plan.calm = false;
        plan.two_groups();
        Self::of(plan, kept)
    }

    fn of(plan: Plan, kept: bool) -> Self {
        let mut trace = if kept { Trace::kept() } else { Trace::default() };
        plan.lines().into_iter().for_each(|line| trace.say(0, || line));
        Self { world: World::staged(plan, trace) }
    }

    /// How many coordinators there are.
    pub fn coordinators(&self) -> usize {
        self.world.coordinators.len()
    }

    /// How many of them, the first, belong to the group when it begins.
    pub fn founders(&self) -> usize {
        self.world.plan.coordinators - self.world.plan.outside
    }

    /// How many clusters they coordinate.
    pub fn clusters(&self) -> usize {
        self.world.aside.len()
    }

    /// From here on all that is asked and told is about this cluster, as far as it is about one: the first, until then.
    pub fn turn_to(&mut self, cluster: usize) {
        self.world.turn_to(cluster);
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> ClusterName {
        self.world.own.cluster.clone()
    }

    /// How many instances it has.
    pub fn instances(&self) -> usize {
        self.world.own.names.len()
    }

    /// How many machines.
    pub fn machines(&self) -> usize {
        self.world.machines.len()
    }

    /// What it is to be.
    pub fn spec(&self) -> Spec {
        self.world.own.wants.spec.clone()
    }

    /// The first moment, in microseconds.
    pub fn now(&self) -> u64 {
        self.world.now
    }

    /// Lets time pass until `to`, in microseconds.
    pub fn advance(&mut self, to: u64) {
        self.world.run_until(to);
        self.world.now = self.world.now.max(to);
    }

    /// What is wanted since this was last asked, with the number of the cluster that it is about.
    pub fn orders(&mut self) -> Vec<(usize, Order)> {
        self.world
            .elsewhere
            .as_mut()
            .map(|elsewhere| std::mem::take(&mut elsewhere.orders))
            .unwrap_or_default()
    }

    /// Whether something sent by machine `a` reaches machine `b`.
    pub fn reaches(&self, a: usize, b: usize) -> bool {
        self.world.machines[a].on && self.world.machines[b].on && self.world.network.reaches(a, b)
    }

    /// Whether two machines are in one zone.
    pub fn near(&self, a: usize, b: usize) -> bool {
        self.world.plan.zone(a) == self.world.plan.zone(b)
    }

    /// Messages that have to be sent again, in a hundred.
    pub fn loss(&self) -> u64 {
        self.world.plan.loss
    }

    /// A machine's boot clock, in milliseconds: it drifts, and begins anew with the machine.
    pub fn clock_ms(&self, machine: usize) -> u64 {
        self.world.clock(machine).0
    }

    /// How long something takes on a machine that takes `us` microseconds on an idle one.
    pub fn takes(&self, machine: usize, us: u64) -> u64 {
        self.world.machines[machine].slow.lasts(self.world.now, us)
    }

    /// Whether a machine has power.
    pub fn is_on(&self, machine: usize) -> bool {
        self.world.machines[machine].on
    }

    /// Whether a coordinator's process, or its machine, is stopped.
    pub fn holds_coordinator(&self, c: usize) -> bool {
        self.world.coordinators[c].paused_until.max(self.world.machines[c].paused_until) > self.world.now
    }

    /// Whether a coordinator that runs votes; one that lost its log does once it was taken in anew.
    pub fn votes(&mut self, c: usize, votes: bool) {
        if votes && self.world.coordinators[c].learns {
            self.world.say(|| format!("coordinator {} votes", c + 1));
        }
        self.notice_vote(c, votes);
        self.world.coordinators[c].learns = !votes;
    }

    /// Those who say that they lead; strikes aim at the first.
    pub fn lead(&mut self, all: &[usize]) {
        self.world.notice_leaders(all);
        if let Some(c) = all.first().copied().filter(|c| self.world.log.leader != Some(*c)) {
            self.world.log.leader = Some(c);
            self.world.say(|| format!("coordinator {} leads", c + 1));
        }
    }

    /// A coordinator applied the entry at `index`, and the cluster's record is `after` then. Properties are told of what is new;
    /// what another one applied there before has to be the same.
    pub fn applied(&mut self, c: usize, index: u64, command: &Command, after: &Cluster) {
        let Some(elsewhere) = self.world.elsewhere.as_mut() else { return };
        let (at, same) = match elsewhere.places.binary_search(&index) {
            Ok(at) => (at + 1, self.world.log.states[at + 1][self.world.turn].record.as_ref() == Some(after)),
            // Whoever comes later passed over nothing.
            Err(at) if at < elsewhere.places.len() => (at, false),
            Err(at) => {
                elsewhere.places.push(index);
                self.world.committed(command, after);
                (at + 1, true)
            }
        };
        self.world.fact(&Fact::Applied { index, command, same });
        self.world.notice_entry(c, at);
        self.world.coordinators[c].applied = at;
        self.world.tell_endpoint(c);
    }

    /// A coordinator's process ended by itself.
    pub fn ended(&mut self, c: usize, why: &str) {
        self.world.fact(&Fact::CoordinatorEnded { number: c + 1, why });
    }

    /// A line of the play that is about no cluster in particular.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        self.world.trace.say_of_all(self.world.now, line);
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.world.over
    }

    /// What came of it, and its play.
    pub fn end(mut self) -> (Outcome, Vec<String>) {
        (outcome(&mut self.world), self.world.trace.into_lines())
    }
}

impl World {
    /// True while the coordinators are elsewhere.
    pub(crate) fn is_stage(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// Gives out an order; false where the coordinators are of this world, and nothing was done.
    pub(crate) fn order(&mut self, order: Order) -> bool {
        match &mut self.elsewhere {
            Some(elsewhere) => elsewhere.orders.push((self.turn, order)),
            None => return false,
        }
        true
    }

    /// Whether the group has three at the least, as it had when it began, and all of them have a vote.
    pub(crate) fn all_vote_elsewhere(&self) -> bool {
        let as_it_began = self.elsewhere.as_ref().is_some_and(|elsewhere| !elsewhere.changes);
        let votes = self.coordinators.iter().all(|it| !it.learns);
        as_it_began && votes && self.log.recovered.is_none() && self.coordinators.len() >= 3
    }

    /// A coordinator is to belong to the group, or not to; false where the group is of this world.
    pub(crate) fn asks_elsewhere(&mut self, c: usize, belongs: bool) -> bool {
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.changes = true;
        }
        self.order(Order::Ask(Asked::Coordinator { c, belongs }))
    }

    /// A coordinator's disk is lost: one at a time, and when all are there to take it in again.
    pub(crate) fn lose_log_elsewhere(&mut self, c: usize, ms: u64) {
        if !self.all_vote_elsewhere() || self.coordinators.iter().any(|it| !it.up) {
            return;
        }
        self.say(|| format!("coordinator {} loses its log", c + 1));
        self.kill_coordinator(c);
        self.coordinators[c].learns = true;
        self.notice_lost_log(c);
        self.order(Order::LoseLog { c });
        let run = self.coordinators[c].run;
        self.after(ms * MS, Event::Mend(Mend::Coordinator { c, run }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Strike;
    use interrex_check::Violation;

    /// What would come of a run that a coordinator's lost log breaks, and nothing else.
    fn broken_by_a_lost_log(stage: Stage) -> Outcome {
        let strikes = &stage.world.plan.strikes;
        let lost = strikes.iter().any(|planned| matches!(planned.strike, Strike::LoseLog { .. }));
        let violation = Violation { property: "one-log", story: "it lost its log".to_owned() };
        let (mut outcome, _) = stage.end();
        outcome.violations.extend(lost.then_some(violation));
        outcome
    }

    #[test]
    fn a_run_of_the_second_tier_is_left_with_the_strike_that_breaks_it() {
        let short = (0..200).find_map(|seed| Stage::shortest(seed, broken_by_a_lost_log));
        let plan = short.expect("a run in which a log is lost").world.plan;
        assert!(matches!(plan.strikes[..], [only] if matches!(only.strike, Strike::LoseLog { .. })));
        assert_eq!((plan.clients, plan.loss, plan.leaves_dead, plan.neighbours.len()), (1, 0, false, 0));
        assert!(plan.drift.iter().all(|drift| *drift == 0), "{:?}", plan.drift);
    }
}
