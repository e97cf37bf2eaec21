//! Clients are let in only while a lease runs (PROTOCOL.md 'Leases'): nothing else bounds how stale a read may be at a
//! primary that has been superseded. Past its end a server is killed, which takes a moment.

use crate::acknowledging::KILLED_WITHIN_MS;
use crate::{Fact, Property};

/// Stateless: whoever observes can ask the guard's clock.
pub(crate) struct ServesUnderALease;

impl Property for ServesUnderALease {
    fn name(&self) -> &'static str {
        "serves-under-a-lease"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::LetsIn { by, late_ms } if *late_ms > KILLED_WITHIN_MS => {
                Err(format!("{by} lets clients in {late_ms} ms after its lease was over"))
            }
            _ => Ok(()),
        }
    }
}
