//! There is one log: what one coordinator applied at a place of it, every other one applies there, and with the same
//! outcome. Everything else that the record promises stands on this.

use crate::{Fact, Property};

/// Stateless: whoever observes compares.
pub(crate) struct OneLog;

impl Property for OneLog {
    fn name(&self) -> &'static str {
        "one-log"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Applied { index, command, same: false } => Err(format!(
                "'{command}' was applied at {index}, where another coordinator applied something else"
            )),
            _ => Ok(()),
        }
    }
}
