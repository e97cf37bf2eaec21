//! One acknowledging primary (PROTOCOL.md invariant 3): once a newer epoch gave its first acknowledgement, an older one
//! acknowledges nothing that the newer does not hold. (A standby's word that it flushed may be on its way while that
//! standby is sealed, and reach a primary that was stopped meanwhile: what it lets through is held.) A timeline bears
//! the number of its epoch.
//!
//! What waits for nobody is kept apart by leases ([`crate::leases`]) and ends with them, but for the moment that it takes to
//! kill a server: a machine that was suspended past its lease wakes up with commits that it had begun.

use crate::{Fact, Property};
use interrex_cluster::ids::InstanceName;
use interrex_cluster::wal::TimelineId;

/// Past its lease a server is killed within this.
pub(crate) const KILLED_WITHIN_MS: u64 = 20;

/// The newest timeline on which a commit was acknowledged, and by whom.
#[derive(Default)]
pub(crate) struct OneAcknowledges {
    newest: Option<(TimelineId, InstanceName)>,
    /// Older epochs were overridden: they may acknowledge until they hear of it.
    overridden: u32,
}

impl Property for OneAcknowledges {
    fn name(&self) -> &'static str {
        "one-acknowledging-primary"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Overridden { epoch, by_operator: true } = fact {
            self.overridden = epoch.0;
        }
        let Fact::Acknowledged { by, timeline, commit, held, alone } = fact else { return Ok(()) };
        match &self.newest {
            _ if timeline.0 < self.overridden => Ok(()),
            _ if alone.is_some_and(|late| late > KILLED_WITHIN_MS) => {
                Err(format!("{by} acknowledged commit {commit} alone, long after its lease was over"))
            }
            Some((newest, _)) if timeline < newest && alone.is_some_and(|late| late > 0) => Ok(()),
            Some((newest, _)) if timeline < newest && *held => Ok(()),
            Some((newest, who)) if timeline < newest => Err(format!(
                "{by} acknowledged commit {commit} on timeline {timeline} after {who} had on timeline {newest}"
            )),
            Some((newest, who)) if timeline == newest && who != *by => Err(format!(
                "{by} and {who} both acknowledged on timeline {timeline}, commit {commit} among them"
            )),
            Some((newest, _)) if timeline == newest => Ok(()),
            _ => {
                self.newest = Some((*timeline, (*by).clone()));
                Ok(())
            }
        }
    }
}
