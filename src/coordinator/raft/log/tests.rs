//! What the log promises about crashes and damage, and openraft's own conformance suite.

mod conformance;
mod crashes;
mod damage;
mod housekeeping;

use std::sync::Arc;

use interrex_api::pb;
use openraft::entry::RaftEntry as _;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};

use super::super::types::{Command, Entry, LogId, Vote};
use super::super::wire;
use super::contents::Contents;
use super::memory_disk::MemoryDisk;
use super::store::LogStore;

/// Small, so that a short history fills several.
const SEGMENT: u64 = 600;

fn id(term: u64, index: u64) -> LogId {
    wire::log_id_in(&pb::RaftLogId { term, index })
}

fn entry(term: u64, index: u64) -> Entry {
    Entry::new_normal(id(term, index), Command(format!("entry {index} of term {term}").into_bytes()))
}

fn open(disk: &MemoryDisk) -> LogStore {
    LogStore::open(Arc::new(disk.clone()), 0xA1, SEGMENT).expect("the log opens")
}

/// What a coordinator does to its log. Each is acknowledged before the next begins.
#[derive(Debug, Clone)]
enum Deed {
    Vote(u64),
    Append(u64, u64),
    Truncate(Option<LogId>),
    Committed(u64, u64),
    Purge(u64, u64),
    Group(u64),
}

async fn perform(log: &mut LogStore, deed: &Deed) {
    match deed {
        Deed::Vote(term) => log.save_vote(&Vote::new(*term, 7)).await.expect("voted"),
        Deed::Append(term, index) => log.blocking_append([entry(*term, *index)]).await.expect("appended"),
        Deed::Truncate(after) => log.truncate_after(*after).await.expect("truncated"),
        Deed::Committed(term, index) => log.save_committed(Some(id(*term, *index))).await.expect("noted"),
        Deed::Purge(term, index) => log.purge(id(*term, *index)).await.expect("purged"),
        Deed::Group(group) => log.save_group(*group, vec![*group - 1]).await.expect("saved"),
    }
}

/// Elections, appends, conflicts, purges; over several segments.
fn history() -> Vec<Deed> {
    let mut deeds = vec![Deed::Group(0xBEEF), Deed::Vote(1)];
    deeds.extend((0..8).map(|i| Deed::Append(1, i)));
    deeds.extend([Deed::Committed(1, 5), Deed::Vote(2), Deed::Truncate(Some(id(1, 6)))]);
    deeds.extend((7..14).map(|i| Deed::Append(2, i)));
    deeds.extend([Deed::Committed(2, 12), Deed::Purge(1, 4), Deed::Vote(5)]);
    deeds.extend((14..24).map(|i| Deed::Append(5, i)));
    deeds.extend([Deed::Committed(5, 21), Deed::Vote(6), Deed::Truncate(Some(id(5, 22)))]);
    deeds.extend((23..30).map(|i| Deed::Append(6, i)));
    deeds.extend([Deed::Vote(8), Deed::Committed(6, 27), Deed::Append(8, 30)]);
    deeds
}

/// A moment of a history: how long each segment was, and what the log held.
struct Moment {
    segments: Vec<(String, usize)>,
    contents: Contents,
}

/// Plays the history; the moments are those after each deed, the first before any.
async fn play(disk: &MemoryDisk) -> Vec<Moment> {
    let mut log = open(disk);
    let moment =
        |log: &LogStore| Moment { segments: disk.segment_lengths(), contents: log.look(Clone::clone) };
    let mut moments = vec![moment(&log)];
    for deed in history() {
        perform(&mut log, &deed).await;
        // Truncations, purges and commit hints return early; a flush of nothing waits until they are written.
        log.settle().await;
        moments.push(moment(&log));
    }
    log.close().await;
    moments
}
