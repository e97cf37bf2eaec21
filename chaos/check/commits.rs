//! No acknowledged commit is lost (PROTOCOL.md invariant 2): whoever is elected, and whoever lets clients in, holds every
//! commit that was ever acknowledged before its epoch, or in it. Overrides excepted. (A primary that has been superseded
//! may let clients in while its lease still runs, and knows nothing of what came after it.)

use crate::{CommitId, Fact, Property};
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_cluster::wal::TimelineId;

/// Acknowledged commits, oldest first.
#[derive(Default)]
pub(crate) struct NoneLost {
    acknowledged: Vec<(TimelineId, CommitId)>,
    /// Older epochs were overridden: what they still acknowledge is not asked about.
    overridden: u32,
}

impl NoneLost {
    fn judge(
        &self,
        what: &str,
        by: &InstanceName,
        epoch: Epoch,
        holds: &dyn Fn(CommitId) -> bool,
    ) -> Result<(), String> {
        let expected = self.acknowledged.iter().filter(|(timeline, _)| timeline.0 <= epoch.0);
        let lost: Vec<CommitId> =
            expected.map(|(_, commit)| *commit).filter(|commit| !holds(*commit)).collect();
        match (lost.first(), lost.last()) {
            (Some(first), Some(last)) => Err(format!(
                "{by} {what} epoch {epoch} and lacks {} acknowledged commit(s), {first} to {last}",
                lost.len()
            )),
            _ => Ok(()),
        }
    }
}

impl Property for NoneLost {
    fn name(&self) -> &'static str {
        "no-acknowledged-commit-lost"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Acknowledged { timeline, .. } if timeline.0 < self.overridden => {}
            Fact::Acknowledged { commit, timeline, .. } => self.acknowledged.push((*timeline, *commit)),
            Fact::Overridden { epoch, .. } => {
                self.overridden = epoch.0;
                self.acknowledged.clear();
            }
            Fact::Serves { by, epoch, holds } => self.judge("serves in", by, *epoch, *holds)?,
            Fact::Elected { by, epoch, holds } => self.judge("is elected for", by, *epoch, *holds)?,
            _ => {}
        }
        Ok(())
    }
}
