//! A copy that is diverged, torn or half made never counts (PROTOCOL.md invariant 6): whatever position a seal enters
//! the record with, the copy holds all of the cluster's WAL up to there.

use crate::{Fact, Property};

/// Stateless: whoever observes can look into the copy.
pub(crate) struct SoundCopiesCount;

impl Property for SoundCopiesCount {
    fn name(&self) -> &'static str {
        "only-sound-copies-count"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::SealCounted { instance, position, sound: false, .. } => {
                Err(format!("{instance} counts as holding {position}, and does not"))
            }
            _ => Ok(()),
        }
    }
}
