//! The traps of PostgreSQL that the model has, each under its number in docs/POSTGRES.md. A run may be without some of
//! them: then PostgreSQL is as kind there as one would have thought, and whatever a rule guards against does not come
//! about. That shows which rule is there for which trap (`bites.rs`).

use crate::plan::Plan;
use crate::wal::Place;
use crate::world::World;
use clap::ValueEnum;

/// What PostgreSQL does that one would not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Trap {
    /// A wait for standbys is cancelled with a warning and the tag of success. Without: a cancel ends no wait.
    F2,
    /// What a server recovers shows, whether any standby has it or not. Without: nothing shows but what was acknowledged
    /// since it let clients in.
    F6,
    /// Whether commits wait is the checkpointer's to know. Without: it knows what a fresh connection shows.
    F7,
    /// Each walsender counts by its own copy of the setting. Without: they count by what a fresh connection shows.
    F8,
    /// What a standby says it received begins, after a restart, at a segment's start or nowhere. Without: it is the end
    /// of its WAL.
    F16,
    /// A receiver that begins reports as flushed what it replayed, on whatever timeline. Without: one that is diverged
    /// gets no connection.
    F17,
    /// Two timelines of one number are taken for one. Without: they are told apart.
    F20,
    /// A promotion cannot be called back. Without: whoever is sealed is not promoted any more.
    F23,
    /// A promotion replays first what is there. Without: it comes about at once.
    F24,
    /// Who has less than its primary had cannot be promoted. Without: it can.
    F25,
    /// Until the first checkpoint after a promotion, a rewind from there does nothing and says that all is well.
    /// Without: it rewinds.
    F26,
    /// Backends outlive their postmaster. Without: they die with it.
    F31,
    /// WAL that a standby has yet to receive is thrown away. Without: it is kept for as long as it is wanted.
    F35,
    /// A receiver streams on after a fresh connection shows that it should not. Without: it is gone by then.
    F40,
}

/// Which of them a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traps(u32);

impl Traps {
    /// All of them, as ever.
    pub const ALL: Traps = Traps(u32::MAX);

    /// All but those.
    pub fn without(off: &[Trap]) -> Self {
        off.iter().fold(Self::ALL, |all, trap| Traps(all.0 & !(1 << *trap as u32)))
    }

    pub(crate) fn has(self, trap: Trap) -> bool {
        self.0 & (1 << trap as u32) != 0
    }

    /// What is off.
    fn off(self) -> impl Iterator<Item = Trap> {
        Trap::value_variants().iter().copied().filter(move |trap| !self.has(*trap))
    }
}

impl Default for Traps {
    fn default() -> Self {
        Self::ALL
    }
}

impl Plan {
    /// What PostgreSQL is kind about in this run; nothing, where all is as ever.
    pub(crate) fn kindness(&self) -> Option<String> {
        let off: Vec<String> = self.traps.off().map(|trap| format!("{trap:?}")).collect();
        (!off.is_empty()).then(|| format!("PostgreSQL without {}", off.join(", ")))
    }
}

impl World {
    pub(crate) fn has(&self, trap: Trap) -> bool {
        self.plan.traps.has(trap)
    }

    /// What replay demands of who has everything up to a place (F25).
    pub(crate) fn demanded(&self, at: Place) -> u32 {
        if self.has(Trap::F25) { self.own.archive.demanded(at) } else { 0 }
    }
}
