//! Routes are truthful: a writer is named only while the record has it as the open primary of that very epoch.

use crate::{Fact, Property};

/// Stateless: the record at hand decides.
pub(crate) struct RoutesAreTruthful;

impl Property for RoutesAreTruthful {
    fn name(&self) -> &'static str {
        "routes-are-truthful"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Routed { epoch, to, record } = fact else { return Ok(()) };
        let open = record.primary.as_ref().is_some_and(|reign| reign.open && reign.instance == **to);
        if open && record.epoch == *epoch {
            return Ok(());
        }
        Err(format!(
            "clients were sent to {to} in epoch {epoch}, which the record of epoch {} has not open",
            record.epoch
        ))
    }
}
