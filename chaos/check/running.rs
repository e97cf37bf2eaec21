//! No coordinator ends by itself: neither what its peers say nor when they say it stops one, or makes it panic.

use crate::{Fact, Property};

/// Stateless: the first one is one too many.
pub(crate) struct CoordinatorsRun;

impl Property for CoordinatorsRun {
    fn name(&self) -> &'static str {
        "coordinators-run"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::CoordinatorEnded { number, why } => {
                Err(format!("coordinator {number} ended by itself: {why}"))
            }
            _ => Ok(()),
        }
    }
}
