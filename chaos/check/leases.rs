//! Leases (PROTOCOL.md invariant 3): where commits wait for nobody, nothing but its lease keeps an old primary from
//! acknowledging. So no lease of an asynchronous primary runs any more when a later primary holds one, and two instances
//! never hold one of the same epoch. A synchronous primary's lease may outlive its epoch: it acknowledges nothing.

use crate::{Fact, Property, RunningLease};

/// The facts tell all leases that run at a moment.
#[derive(Default)]
pub(crate) struct OneRunningLease {
    /// Older epochs were overridden: their primaries may serve until they hear of it.
    overridden: u32,
}

impl OneRunningLease {
    fn judge(&self, old: &RunningLease<'_>, new: &RunningLease<'_>) -> Result<(), String> {
        let excepted = old.epoch.0 < self.overridden;
        if old.by == new.by || excepted || old.epoch > new.epoch {
            return Ok(());
        }
        if old.epoch == new.epoch {
            return Err(format!("{} and {} both hold a lease of epoch {}", old.by, new.by, old.epoch));
        }
        if old.asynchronous {
            return Err(format!(
                "{} holds a lease of epoch {} while that of {}, whose commits wait for nobody, still runs in epoch {}",
                new.by, new.epoch, old.by, old.epoch
            ));
        }
        Ok(())
    }
}

impl Property for OneRunningLease {
    fn name(&self) -> &'static str {
        "one-running-lease"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Overridden { epoch, by_operator: true } => self.overridden = epoch.0,
            Fact::Leases { running } => {
                for old in *running {
                    running.iter().try_for_each(|new| self.judge(old, new))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
