//! Epochs only rise, one by one, and nobody but an election gives an epoch its primary: at most one in each
//! (PROTOCOL.md invariant 1). The goal counter never falls.

use crate::{Fact, Property};

/// Stateless: a record and its successor say it all.
pub(crate) struct EpochsRise;

impl Property for EpochsRise {
    fn name(&self) -> &'static str {
        "epochs-only-rise"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Recorded { before: Some(before), after, command } = fact else { return Ok(()) };
        if after.epoch < before.epoch || after.revision < before.revision {
            return Err(format!(
                "'{command}' took {}.{} back to {}.{}",
                before.epoch, before.revision, after.epoch, after.revision
            ));
        }
        let elected = |record: &interrex_cluster::record::Cluster| {
            record.primary.as_ref().map(|reign| reign.instance.clone())
        };
        match (elected(before), elected(after)) {
            (Some(was), now) if before.epoch == after.epoch && now.as_ref() != Some(&was) => {
                Err(format!("'{command}' changed the primary of epoch {} from {was} to {now:?}", after.epoch))
            }
            _ => Ok(()),
        }
    }
}
