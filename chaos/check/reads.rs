//! Nothing is read and then lost: what a client that was routed to the primary saw there is seen on every later one. A
//! commit shows before it is acknowledged, after a crash even without any standby (F6): that is why clients are let in only
//! after the first synchronous commit of an epoch came back. Overrides excepted, as for what was acknowledged.

use crate::{CommitId, Fact, Property};
use interrex_cluster::ids::Epoch;

/// Commits that were read, oldest first.
#[derive(Default)]
pub(crate) struct NothingReadIsLost {
    read: Vec<(Epoch, CommitId)>,
}

impl Property for NothingReadIsLost {
    fn name(&self) -> &'static str {
        "nothing-read-is-lost"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Read { epoch, commit } if self.read.last() != Some(&(*epoch, *commit)) => {
                self.read.push((*epoch, *commit));
            }
            Fact::Overridden { .. } => self.read.clear(),
            Fact::Serves { by, epoch, holds } => {
                let lost = |(of, commit): &&(Epoch, CommitId)| of <= epoch && !holds(*commit);
                if let Some((_, lost)) = self.read.iter().find(lost) {
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
