//! It heals (PROTOCOL.md invariant 7): when the faults end, the cluster becomes writable and whole by itself, in a
//! stated time.

use crate::{Fact, Property};

/// Stateless: whoever observes knows the time.
pub(crate) struct Heals;

impl Property for Heals {
    fn name(&self) -> &'static str {
        "heals"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::NotHealed { missing } => Err((*missing).to_owned()),
            _ => Ok(()),
        }
    }
}
