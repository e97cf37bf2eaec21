//! What is late in a run, and how often. A theme's opening has a pace of its own: what follows it, with more of the same
//! kind, must not undo what the opening needs.

use crate::world::{MS, World};
use std::fmt;

/// What is late, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Messages of which a copy comes much later, in a hundred.
    pub(crate) replays: u64,
    /// So many of a hundred processes are late to read new settings.
    pub(crate) slow_reloads: u64,
    /// So many of a hundred promotions have much to replay first.
    pub(crate) slow_promotions: u64,
    /// Between so much and so much every promotion has to replay; absent: as usual.
    pub(crate) promotions_ms: Option<(u64, u64)>,
    /// Between so late and so late every startup process reads new settings; absent: as usual.
    pub(crate) startups_ms: Option<(u64, u64)>,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replays, slow_reloads, slow_promotions, promotions_ms, startups_ms } = self;
        write!(f, "replays {replays} %, slow reloads {slow_reloads} %")?;
        write!(f, ", slow promotions {slow_promotions} %")?;
        if let Some((low, high)) = promotions_ms {
            write!(f, ", each takes {low} to {high} ms")?;
        }
        if let Some((low, high)) = startups_ms {
            write!(f, ", startup processes are {low} to {high} ms late")?;
        }
        Ok(())
    }
}

impl World {
    /// Whether the theme's opening lasts.
    pub(crate) fn opens(&self) -> bool {
        self.now < self.plan.opening_ms * MS
    }

    pub(crate) fn pace(&self) -> Pace {
        if self.opens() { self.plan.opening } else { self.plan.later }
    }
}
