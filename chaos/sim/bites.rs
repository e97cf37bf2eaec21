//! Which rule is there for which trap of PostgreSQL: with the rule switched off, something is broken while PostgreSQL has
//! the trap, and nothing is where it has not. A trap that bites nowhere is modelled for nothing, or not where it matters.

use crate::batch::Outcome;
use crate::mutants::{LOST, Missed, Mutant, missed, plan, without};
use crate::plan::Plan;
use crate::theme::Theme;
use crate::traps::{Trap, Traps};

/// A trap, and the rule that is there because of it.
#[derive(Debug, Clone, Copy)]
pub struct Bite {
    /// The trap.
    pub trap: Trap,
    /// The rule, how its absence is noticed, and within how many seeds.
    pub missed: Missed,
}

/// Every trap of which it is known where it bites.
pub const BITES: &[Bite] = &[
    bite(Trap::F2, Mutant::WarningHeard, Theme::Cancelled, LOST),
    bite(Trap::F6, Mutant::BeatFirst, Theme::Unreplicated, "nothing-read-is-lost"),
    bite(Trap::F7, Mutant::Barrier, Theme::WaitsAnew, LOST),
    bite(Trap::F8, Mutant::SendersRead, Theme::OldRule, LOST),
    bite(Trap::F16, Mutant::EndIsScanned, Theme::Restarted, LOST),
    bite(Trap::F23, Mutant::RestartGate, Theme::Superseded, "promoted-once-in-an-epoch"),
    bite(Trap::F24, Mutant::RestartGate, Theme::Superseded, "promoted-once-in-an-epoch"),
    bite(Trap::F25, Mutant::TooLow, Theme::Parameters, "heals"),
    bite(Trap::F26, Mutant::CheckpointFirst, Theme::RewoundEarly, "heals"),
    bite(Trap::F31, Mutant::OrphansAwaited, Theme::Orphaned, LOST),
    bite(Trap::F35, Mutant::MissingWal, Theme::ThrownAway, "heals"),
    bite(Trap::F40, Mutant::HandOverSeal, Theme::HandOver, LOST),
];

/// Within so many seeds of the theme.
const WITHIN: u64 = 50;

const fn bite(trap: Trap, mutant: Mutant, theme: Theme, property: &'static str) -> Bite {
    Bite { trap, missed: missed(mutant, theme, property, WITHIN) }
}

/// Runs one seed of the rule's theme without the rule, and without the trap.
pub fn kindly(seed: u64, bite: &Bite) -> Outcome {
    let traps = Traps::without(&[bite.trap]);
    without(bite.missed.mutant, Plan { traps, ..plan(seed, &bite.missed) })
}
