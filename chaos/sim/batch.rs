//! Runs of seeds: one, with or without its play, or many, with what they found.

use crate::danger::Danger;
use crate::plan::{Plan, Shape};
use crate::reach::Reach;
use crate::theme::Theme;
use crate::trace::Trace;
use crate::traps::Traps;
use crate::world::World;
use interrex_check::Violation;
use std::collections::BTreeMap;

/// Every so-manieth seed is a calm one: no fault, heavy load, slow machines.
const CALM_EVERY: u64 = 16;

/// What came of one seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was found broken; empty when all held.
    pub violations: Vec<Violation>,
    /// Changes of primary that came to be open, with acknowledged commits checked across.
    pub failovers: u64,
    /// Commits that were acknowledged.
    pub acknowledged: u64,
    /// Events that happened.
    pub events: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    reach: Reach,
}

impl Outcome {
    pub(crate) fn reached(&self, danger: Danger) -> bool {
        self.reach.has(danger)
    }
}

/// What came of many.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// How many were run.
    pub runs: u64,
    /// Changes of primary in all of them.
    pub failovers: u64,
    /// Acknowledged commits in all of them.
    pub acknowledged: u64,
    /// Simulated time of all of them, in milliseconds.
    pub simulated_ms: u64,
    /// Each seed that broke something, with what it broke first.
    pub violations: Vec<(u64, Violation)>,
    /// In how many runs each dangerous state came about.
    pub met: BTreeMap<Danger, u64>,
}

impl Batch {
    /// Takes in what came of a seed.
    pub fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.failovers += outcome.failovers;
        self.acknowledged += outcome.acknowledged;
        self.simulated_ms += outcome.simulated_ms;
        for danger in Danger::ALL.iter().filter(|danger| outcome.reached(**danger)) {
            *self.met.entry(*danger).or_default() += 1;
        }
        if let Some(violation) = outcome.violations.first() {
            self.violations.push((outcome.seed, violation.clone()));
        }
    }

    /// Takes in another batch.
    pub fn join(&mut self, other: Batch) {
        self.runs += other.runs;
        self.failovers += other.failovers;
        self.acknowledged += other.acknowledged;
        self.simulated_ms += other.simulated_ms;
        for (danger, runs) in other.met {
            *self.met.entry(danger).or_default() += runs;
        }
        self.violations.extend(other.violations);
    }

    /// Those of `dangers` that none of these runs was in, in words; none while there were fewer runs than it takes to expect
    /// all of them.
    #[must_use]
    pub fn unreached(&self, dangers: &[Danger], enough: u64) -> Vec<&'static str> {
        let missing = |danger: &&Danger| !self.met.contains_key(danger);
        let expected = if self.runs >= enough { dangers } else { &[] };
        expected.iter().filter(missing).map(|danger| danger.text()).collect()
    }
}

/// Whether nothing of a seed calls for another primary.
pub(crate) fn is_calm(seed: u64) -> bool {
    seed % CALM_EVERY == CALM_EVERY - 1
}

pub(crate) fn plan(seed: u64, traps: Traps) -> Plan {
    Plan { traps, ..Plan::of(seed, Shape { calm: is_calm(seed), ..Shape::default() }) }
}

pub(crate) fn outcome(world: &mut World) -> Outcome {
    let mut violations = Vec::new();
    world.in_each(|world| violations.extend_from_slice(world.own.checks.violations()));
    Outcome {
        seed: world.plan.seed,
        violations,
        failovers: world.figures.failovers,
        acknowledged: world.figures.acknowledged,
        events: world.figures.events,
        simulated_ms: world.now / 1_000,
        reach: world.reach,
    }
}

pub(crate) fn run_plan(plan: Plan) -> Outcome {
    let mut world = World::new(plan, Trace::default());
    world.run();
    outcome(&mut world)
}

/// Runs one seed.
pub fn run(seed: u64, traps: Traps) -> Outcome {
    run_plan(plan(seed, traps))
}

/// Runs one seed of a primary that is asynchronous and cut off, with a clock that is off by far more than leases allow
/// for.
pub fn run_beyond_the_margin(seed: u64) -> Outcome {
    let theme = Some(Theme::Deposed);
    run_plan(Plan::of(seed, Shape { theme, beyond_margin: true, ..Shape::default() }))
}

/// Runs one seed of several clusters whose coordinators take the words of all of them for those of the first.
pub fn run_with_mixed_reports(seed: u64) -> Outcome {
    run_plan(Plan::of(seed, Shape { mixes_reports: true, ..Shape::default() }))
}

/// Runs one seed and keeps its play, a line an event.
pub fn play(seed: u64, traps: Traps) -> (Outcome, Vec<String>) {
    play_plan(plan(seed, traps))
}

pub(crate) fn play_plan(plan: Plan) -> (Outcome, Vec<String>) {
    let mut trace = Trace::kept();
    plan.lines().into_iter().for_each(|line| trace.say(0, || line));
    let mut world = World::new(plan, trace);
    world.run();
    let outcome = outcome(&mut world);
    (outcome, world.trace.into_lines())
}

/// The hash of a seed's play.
pub fn play_hash(seed: u64) -> u64 {
    crate::trace::hash(&play(seed, Traps::ALL).1)
}

/// Runs `count` seeds from `from` on.
pub fn batch(from: u64, count: u64, traps: Traps) -> Batch {
    let mut all = Batch::default();
    for seed in from..from.saturating_add(count) {
        all.add(&run(seed, traps));
    }
    all
}

/// Makes a failing seed shorter for as long as the same property stays broken, and plays what is left.
pub fn shorten(seed: u64, traps: Traps) -> Option<(Outcome, Vec<String>)> {
    let shorter = crate::shrink::shrink(plan(seed, traps), run_plan)?;
    Some(play_plan(shorter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_missed_as_soon_as_there_were_runs_enough_to_expect_it() {
        let met = BTreeMap::from([(Danger::TailLost, 1)]);
        let mut batch = Batch { runs: 9, met, ..Batch::default() };
        let dangers = [Danger::TailLost, Danger::TwoLead];
        assert!(batch.unreached(&dangers, 10).is_empty(), "nine runs are not enough");
        batch.runs = 10;
        assert_eq!(batch.unreached(&dangers, 10), [Danger::TwoLead.text()]);
    }
}
