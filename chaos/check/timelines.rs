//! Timelines are as recorded: what the record says of a timeline's opener, parent and beginning is what happened, and
//! what it once said it says for ever.

use crate::{Fact, Property};
use interrex_cluster::record::{Cluster, Fork};
use interrex_cluster::wal::{Lsn, TimelineId};
use std::collections::BTreeMap;

/// What was seen to happen: parent and beginning of each timeline.
#[derive(Default)]
pub(crate) struct TimelinesAsRecorded {
    happened: BTreeMap<TimelineId, (TimelineId, Lsn)>,
}

impl TimelinesAsRecorded {
    fn judge(&self, fork: &Fork) -> Result<(), String> {
        let number = TimelineId(fork.epoch.0);
        match self.happened.get(&number) {
            Some((parent, begin)) if (*parent, *begin) != (fork.parent, fork.begin) => Err(format!(
                "the record has timeline {number} branch off {} at {}, it branched off {parent} at {begin}",
                fork.parent, fork.begin
            )),
            _ => Ok(()),
        }
    }
}

impl Property for TimelinesAsRecorded {
    fn name(&self) -> &'static str {
        "timelines-as-recorded"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Promoted { timeline, parent, begin, .. } => {
                self.happened.insert(*timeline, (*parent, *begin));
                Ok(())
            }
            Fact::Recorded { before: Some(before), after, command }
                if before.timelines != after.timelines =>
            {
                let gone = |fork: &&Fork| !after.timelines.contains(fork);
                if let Some(gone) = before.timelines.iter().find(gone) {
                    return Err(format!("'{command}' changed what was recorded of timeline {}", gone.epoch));
                }
                gap(after).map_or(Ok(()), Err)?;
                after.timelines.iter().try_for_each(|fork| self.judge(fork))
            }
            _ => Ok(()),
        }
    }
}

/// A timeline whose parent is not in the record, or that lies before it.
fn gap(record: &Cluster) -> Option<String> {
    let numbers: Vec<u32> = record.timelines.iter().map(|fork| fork.epoch.0).collect();
    let orphan = record.timelines.iter().find(|fork| fork.parent.0 != 0 && !numbers.contains(&fork.parent.0));
    if let Some(orphan) = orphan {
        return Some(format!(
            "timeline {} branched off {}, which is not recorded",
            orphan.epoch, orphan.parent
        ));
    }
    let rises = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    (!rises).then(|| format!("timelines are recorded out of order: {numbers:?}"))
}
