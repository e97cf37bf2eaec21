//! Only who was elected is promoted (PROTOCOL.md 'Failover' 4): whoever is told to promote in an epoch was elected for it by
//! an entry of the log. An entry that was lost with the log's end counts: it was one when the agent obeyed it.

use crate::{Fact, Property};
use interrex_cluster::ids::{Epoch, InstanceName};
use std::collections::BTreeSet;

/// Everybody who was ever elected, or was primary when the observation began.
#[derive(Default)]
pub(crate) struct OnlyTheElected {
    elected: BTreeSet<(Epoch, InstanceName)>,
}

impl Property for OnlyTheElected {
    fn name(&self) -> &'static str {
        "only-the-elected-are-promoted"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Recorded { before, after, .. } => {
                for record in before.iter().copied().chain([*after]) {
                    if let Some(reign) = &record.primary {
                        self.elected.insert((record.epoch, reign.instance.clone()));
                    }
                }
                Ok(())
            }
            Fact::PromotionAsked { by, epoch } if !self.elected.contains(&(*epoch, (*by).clone())) => {
                Err(format!("{by} was told to promote in epoch {epoch}, and no entry of the log elected it"))
            }
            _ => Ok(()),
        }
    }
}
