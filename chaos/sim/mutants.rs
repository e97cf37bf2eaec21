//! Rules that can be switched off at run time, so that the property named for each is seen to fail. Those that live in
//! the rules are switched there (`interrex_cluster::mutants`, only with the feature `mutants`); those of the shell are
//! switched in this model of it.

pub(crate) use interrex_cluster::mutants::{Mutant, on};

#[cfg(feature = "mutants")]
pub(crate) use missed::{LOST, missed, plan, without};
#[cfg(feature = "mutants")]
pub use missed::{MUTANTS, Missed, mutated, themed};

#[cfg(feature = "mutants")]
mod missed {
    use super::Mutant;
    use crate::batch::{Outcome, run_plan};
    use crate::plan::{Plan, Shape};
    use crate::theme::Theme;

    /// A rule, and how its absence is noticed.
    #[derive(Debug, Clone, Copy)]
    pub struct Missed {
        /// The rule.
        pub mutant: Mutant,
        /// The property that misses it.
        pub property: &'static str,
        /// Within so many seeds of its theme.
        pub within: u64,
        theme: Theme,
    }

    pub(crate) const LOST: &str = "no-acknowledged-commit-lost";

    /// Every rule that can be switched off.
    pub const MUTANTS: &[Missed] = &[
        missed(Mutant::HistoryPreWrite, Theme::Superseded, "promoted-once-in-an-epoch", 50),
        missed(Mutant::Seal, Theme::TakenOver, LOST, 50),
        missed(Mutant::JointRules, Theme::Acknowledgers, LOST, 50),
        missed(Mutant::Barrier, Theme::Acknowledgers, LOST, 50),
        missed(Mutant::RetireOrder, Theme::Acknowledgers, LOST, 50),
        missed(Mutant::GoalOrder, Theme::Acknowledgers, LOST, 50),
        missed(Mutant::RestartGate, Theme::Superseded, "promoted-once-in-an-epoch", 50),
        missed(Mutant::PositionByEpoch, Theme::Ahead, LOST, 50),
        missed(Mutant::CloneCounts, Theme::HalfMade, "only-sound-copies-count", 50),
        missed(Mutant::LeaseConfirmation, Theme::Deposed, "one-running-lease", 50),
        missed(Mutant::EpochPersistence, Theme::Forgetful, "one-acknowledging-primary", 50),
        missed(Mutant::HandOverSeal, Theme::HandOver, LOST, 100),
        missed(Mutant::Guard, Theme::HandOver, "serves-under-a-lease", 50),
        missed(Mutant::RecordBehind, Theme::CutOff, LOST, 50),
        missed(Mutant::AheadRefused, Theme::TakenIn, LOST, 50),
        missed(Mutant::AdoptedCounts, Theme::TakenIn, LOST, 50),
        missed(Mutant::TooLow, Theme::Parameters, "heals", 50),
        missed(Mutant::JudgeFirst, Theme::Parameters, "heals", 50),
        missed(Mutant::SilenceSaysNothing, Theme::Unanswering, "no-needless-change-of-primary", 50),
        missed(Mutant::NeededYet, Theme::Leaving, "heals", 50),
        missed(Mutant::WarningHeard, Theme::Cancelled, LOST, 50),
        missed(Mutant::BeatFirst, Theme::Unreplicated, "nothing-read-is-lost", 50),
        missed(Mutant::SendersRead, Theme::OldRule, LOST, 50),
        missed(Mutant::LineFirst, Theme::RewoundEarly, "heals", 50),
        missed(Mutant::EndIsScanned, Theme::Restarted, LOST, 50),
        missed(Mutant::CheckpointFirst, Theme::RewoundEarly, "heals", 50),
        missed(Mutant::OrphansAwaited, Theme::Orphaned, LOST, 50),
        missed(Mutant::MissingWal, Theme::ThrownAway, "heals", 50),
    ];

    pub(crate) const fn missed(mutant: Mutant, theme: Theme, property: &'static str, within: u64) -> Missed {
        Missed { mutant, property, within, theme }
    }

    pub(crate) fn plan(seed: u64, missed: &Missed) -> Plan {
        Plan::of(seed, Shape { theme: Some(missed.theme), ..Shape::default() })
    }

    /// Runs one seed of the rule's theme with the rule.
    pub fn themed(seed: u64, missed: &Missed) -> Outcome {
        run_plan(plan(seed, missed))
    }

    /// Runs it without the rule.
    pub fn mutated(seed: u64, missed: &Missed) -> Outcome {
        without(missed.mutant, plan(seed, missed))
    }

    /// Runs a plan without a rule.
    pub(crate) fn without(mutant: Mutant, plan: Plan) -> Outcome {
        interrex_cluster::mutants::switch(Some(mutant));
        let outcome = run_plan(plan);
        interrex_cluster::mutants::switch(None);
        outcome
    }
}
