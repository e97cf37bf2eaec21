//! No needless change of primary (PROTOCOL.md invariant 8): where nothing fails, load and slow machines are no failure.

use crate::{Fact, Property};
use interrex_cluster::command::Command;

/// Whether anything may fail at the moment.
#[derive(Default)]
pub(crate) struct NoNeedlessChange {
    calm: bool,
}

impl Property for NoNeedlessChange {
    fn name(&self) -> &'static str {
        "no-needless-change-of-primary"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Calm => self.calm = true,
            Fact::Recorded { command: Command::BeginFailover { epoch, reason, .. }, .. } if self.calm => {
                return Err(format!("epoch {epoch} was begun although nothing had failed: {reason}"));
            }
            _ => {}
        }
        Ok(())
    }
}
