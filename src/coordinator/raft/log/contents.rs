//! What the log holds, in memory: the sum of its records. All reads are answered from here.
//!
//! The whole unpurged log fits in memory (a few thousand entries below 1 kB). Records are applied here in the order
//! in which they are queued for the disk, so that memory is never behind the file and never in another order.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use super::super::types::{Entry, LogId};
use super::record::{Record, Start};

impl Start {
    /// Takes in what one record says besides entries.
    pub(crate) fn note(&mut self, record: &Record) {
        match record {
            // A later segment repeats what is known already; the first one is where knowing begins.
            Record::Start(start) => self.clone_from(start),
            Record::Vote(vote) => self.vote = Some(*vote),
            Record::Committed(id) => self.committed = *id,
            Record::Purged(id) => self.purged = Some(*id),
            Record::Group { id, replaced } => {
                self.group_id = *id;
                self.replaced.clone_from(replaced);
            }
            Record::Entry(_) | Record::TruncateAfter(_) => {}
        }
    }
}

/// The sum of all records.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Contents {
    /// Everything but the entries.
    pub(crate) start: Start,
    entries: BTreeMap<u64, Entry>,
}

impl Contents {
    /// Takes one record in.
    pub(crate) fn apply(&mut self, record: &Record) {
        self.start.note(record);
        match record {
            Record::Entry(entry) => {
                self.entries.insert(entry.log_id.index(), entry.clone());
            }
            Record::TruncateAfter(id) => {
                let keep = id.as_ref().map_or(0, |id| id.index() + 1);
                self.entries.split_off(&keep);
            }
            Record::Purged(id) => self.entries = self.entries.split_off(&(id.index() + 1)),
            Record::Start(_) | Record::Vote(_) | Record::Committed(_) | Record::Group { .. } => {}
        }
    }

    /// The newest entry, or where the log was purged when there is none.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.entries.values().next_back().map(|e| e.log_id).or(self.start.purged)
    }

    /// The entries of a range, in order.
    pub(crate) fn range(&self, range: impl RangeBounds<u64>) -> Vec<Entry> {
        self.entries.range(range).map(|(_, entry)| entry.clone()).collect()
    }

    /// Neither vote nor entry: this directory never took part in anything.
    pub(crate) fn pristine(&self) -> bool {
        self.start.vote.is_none() && self.last().is_none()
    }

    /// Where an entry is missing between two others or after the purged ones; `None`: nowhere. Asked after recovery.
    pub(crate) fn hole(&self) -> Option<u64> {
        let mut expected = self.start.purged.map(|id| id.index() + 1);
        for index in self.entries.keys() {
            if expected.is_some_and(|e| e != *index) {
                return expected;
            }
            expected = Some(index + 1);
        }
        None
    }
}
