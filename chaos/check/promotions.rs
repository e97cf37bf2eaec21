//! Nobody is promoted twice in an epoch, and never two in one; each promotion opens the timeline that bears the epoch's
//! number (PROTOCOL.md invariant 1, F20); and nobody who counts as sealed is promoted in an older epoch (clause 1).

use crate::{Fact, Property};
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_cluster::wal::TimelineId;
use std::collections::BTreeMap;

/// Who was told to promote in each epoch, and who opened each timeline.
#[derive(Default)]
pub(crate) struct PromotedOnce {
    asked: BTreeMap<Epoch, InstanceName>,
    opened: BTreeMap<TimelineId, InstanceName>,
    sealed: BTreeMap<InstanceName, Epoch>,
}

impl Property for PromotedOnce {
    fn name(&self) -> &'static str {
        "promoted-once-in-an-epoch"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::PromotionAsked { by, epoch } => match self.asked.get(epoch) {
                Some(other) if other != *by => {
                    Err(format!("{by} was told to promote in epoch {epoch}, and {other} had been, too"))
                }
                _ => {
                    self.asked.insert(*epoch, (*by).clone());
                    Ok(())
                }
            },
            Fact::SealCounted { instance, epoch, .. } => {
                self.sealed.insert((*instance).clone(), *epoch);
                Ok(())
            }
            Fact::Promoted { by, epoch, timeline, .. } => {
                if let Some(sealed) = self.sealed.get(*by).filter(|sealed| *sealed > epoch) {
                    return Err(format!(
                        "{by} was promoted in epoch {epoch} and counts as sealed for epoch {sealed}"
                    ));
                }
                if timeline.0 != epoch.0 {
                    return Err(format!(
                        "{by}, told to promote in epoch {epoch}, opened timeline {timeline}"
                    ));
                }
                match self.opened.insert(*timeline, (*by).clone()) {
                    Some(before) => {
                        Err(format!("{by} opened timeline {timeline}, which {before} had opened"))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
