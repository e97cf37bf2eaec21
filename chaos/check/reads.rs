//! Nothing is read and then lost: what a client that was routed to the primary saw there is seen on every later one. A
//! commit shows before it is acknowledged, after a crash even without any standby (F6): that is why clients are let in only
//! after the first synchronous commit of an epoch came back. Overrides excepted, as for what was acknowledged.

use crate::{CommitId, Fact, Property};

/// Commits that were read, oldest first.
#[derive(Default)]
pub(crate) struct NothingReadIsLost {
    read: Vec<CommitId>,
}

impl Property for NothingReadIsLost {
    fn name(&self) -> &'static str {
        "nothing-read-is-lost"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Read { commit, .. } if self.read.last() != Some(commit) => self.read.push(*commit),
            Fact::Overridden { .. } => self.read.clear(),
            Fact::Serves { by, epoch, holds } => {
                if let Some(lost) = self.read.iter().find(|commit| !holds(**commit)) {
                    return Err(format!(
                        "{by} serves in epoch {epoch} and lacks commit {lost}, which was read"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
