//! Rules that the simulation can switch off, one at a time, to see that the property which each is there for then fails.
//!
//! Without the feature `mutants`, as in every shipped build, nothing can be switched: [`on`] is a constant, and the
//! compiler leaves the mutated branches out. With it, a switch belongs to one thread, so that runs beside each other
//! do not meet.

/// A rule that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Seals are proved although the upstream was not taken away.
    Seal,
    /// A rule change lists the new rule alone, not what implies every mixture.
    JointRules,
    /// Rules are proved without waiting for walsenders and standbys.
    Barrier,
    /// A server that was told to promote is sealed while it runs.
    RestartGate,
    /// Positions are compared by LSN alone.
    PositionByEpoch,
    /// A copy counts from the moment on that its rebuild ended.
    CloneCounts,
    /// A leader grants leases without asking whether it still leads.
    LeaseConfirmation,
    /// No history is written before a promotion.
    HistoryPreWrite,
    /// An agent forgets which epoch it obeyed when it is restarted.
    EpochPersistence,
    /// An older goal of the same epoch is obeyed.
    GoalOrder,
    /// Older rules are retired before they are proved to be covered.
    RetireOrder,
    /// A hand-over seals as if the old primary were gone already: nobody is watched for what may still come from it.
    HandOverSeal,
    /// No guard ends a server past its lease.
    Guard,
    /// A record that was made anew out of one log is decided upon at once.
    RecordBehind,
    /// A PostgreSQL is taken in although a copy of it is ahead of its primary's directory.
    AheadRefused,
    /// A copy that was there before Interrex counts from the moment on that it is taken in.
    AdoptedCounts,
    /// A sealed standby with less than replay demands stays as it is.
    TooLow,
    /// A primary proves its rule, also one that cannot be proved, before it says whether it takes parameters.
    JudgeFirst,
    /// A primary whose server answers nobody is taken for cut off from its standbys.
    SilenceSaysNothing,
    /// Who is to leave acknowledges no longer, although too few of those who stay can.
    NeededYet,
    /// The success of a commit whose wait was cancelled is believed.
    WarningHeard,
    /// A primary lets clients in before a synchronous commit of its epoch came back.
    BeatFirst,
    /// A rule is proved without waiting for walsenders to have read it.
    SendersRead,
    /// A standby is pointed at its upstream whether it is on its line or not.
    LineFirst,
    /// A seal tells what the server says it received, not where its WAL ends.
    EndIsScanned,
    /// A copy is rewound without a checkpoint of its source.
    CheckpointFirst,
    /// A server whose postmaster is dead is taken for gone.
    OrphansAwaited,
    /// Nobody notices that what a standby has yet to receive is gone.
    MissingWal,
    /// An agent obeys a group of coordinators although another one took its place.
    ReplacedGroup,
}

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static SWITCHED_OFF: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Switches one rule off, or all of them on again, for this thread.
    pub fn switch(off: Option<Mutant>) {
        SWITCHED_OFF.set(off);
    }

    /// True while the rule is switched off.
    pub fn on(mutant: Mutant) -> bool {
        SWITCHED_OFF.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use switch::{on, switch};

/// Always false: this build has no mutants.
#[cfg(not(feature = "mutants"))]
pub const fn on(_: Mutant) -> bool {
    false
}
