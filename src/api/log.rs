//! What coordinators write to disk: the payload of a Raft entry, and the snapshot of the state machine.
//!
//! Bytes that were written once are read for ever. Fields and commands are only added; whoever adds one that an older
//! build must not overlook raises [`LEVEL`] for the entries that use it. An entry of a higher level, or of an unknown
//! command, stops `apply`: it is never skipped, because a coordinator that skips what the others applied keeps another
//! record than they do. So a leader writes an entry only once every coordinator reads its level ([`level_of`]). The same
//! value always gives the same bytes.

mod level;

pub use level::{FETCH, LEVEL, level_of};

use crate::convert::{BadMessage, Wire, all, each, ids::name, set, unique};
use crate::pb;
use interrex_cluster::command::{Command, Entry};
use interrex_cluster::event::Event;
use interrex_cluster::ids::ClusterName;
use interrex_cluster::record::Cluster;
use interrex_cluster::time::WallMs;
use level::level_of_record;
use prost::Message as _;
use std::collections::BTreeMap;

/// The format of snapshots that this build writes, and the newest that it reads.
pub const SNAPSHOT_FORMAT: u32 = 1;

/// Why bytes from the log or from a snapshot cannot be used. Each of them stops `apply`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownEntry {
    /// Written by a newer build.
    #[error("{what} {found} is newer than {known}, the newest that this build knows: start a newer interrex")]
    Newer {
        /// "log entry of level", "snapshot of format" or "snapshot of level".
        what: &'static str,
        /// What was found.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// The bytes are no message at all.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// "log entry" or "snapshot".
        what: &'static str,
        /// What the decoder said.
        why: String,
    },
    /// A message with something in it that this build cannot use, an unknown command for one.
    #[error("{what} cannot be used by this build: {bad}; start a newer interrex, or report this")]
    Unusable {
        /// "log entry" or "snapshot".
        what: &'static str,
        /// Which field, and why.
        bad: BadMessage,
    },
}

/// The bytes of an entry.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let pb = pb::LogEntry {
        level: level_of(&entry.command),
        cluster: entry.cluster.to_string(),
        at_ms: entry.at.0,
        command: Some(entry.command.to_pb()),
    };
    pb.encode_to_vec()
}

/// The entry that the bytes hold.
///
/// # Errors
/// A newer level, an unknown command, or damage; the caller stops applying.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, UnknownEntry> {
    let what = "log entry";
    let pb =
        pb::LogEntry::decode(bytes).map_err(|why| UnknownEntry::Damaged { what, why: why.to_string() })?;
    in_range("log entry of level", pb.level, LEVEL)?;
    let read = |pb: pb::LogEntry| {
        Ok(Entry {
            cluster: name(pb.cluster, "cluster")?,
            command: Command::from_pb(set(pb.command, "command")?)?,
            at: WallMs(pb.at_ms),
        })
    };
    read(pb).map_err(|bad| UnknownEntry::Unusable { what, bad })
}

/// What a snapshot holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every cluster's record.
    pub clusters: BTreeMap<ClusterName, Cluster>,
    /// The events that are kept, oldest first.
    pub events: Vec<Event>,
    /// The highest level among what the log held up to here: every coordinator reads it.
    pub level: u32,
}

/// The bytes of a snapshot, of a log that held entries up to `level`. They hold passwords: whoever writes them to disk
/// does so with mode 0600.
pub fn encode_snapshot<'a>(
    clusters: &BTreeMap<ClusterName, Cluster>,
    events: impl IntoIterator<Item = &'a Event>,
    level: u32,
) -> Vec<u8> {
    let pb = pb::Snapshot {
        format: SNAPSHOT_FORMAT,
        level: clusters.values().map(level_of_record).fold(level.max(1), u32::max),
        clusters: all(clusters.values()),
        events: all(events),
    };
    pb.encode_to_vec()
}

/// The snapshot that the bytes hold.
///
/// # Errors
/// A newer format or level, or damage; the caller stops.
pub fn decode_snapshot(bytes: &[u8]) -> Result<Snapshot, UnknownEntry> {
    let what = "snapshot";
    let pb =
        pb::Snapshot::decode(bytes).map_err(|why| UnknownEntry::Damaged { what, why: why.to_string() })?;
    in_range("snapshot of format", pb.format, SNAPSHOT_FORMAT)?;
    in_range("snapshot of level", pb.level, LEVEL)?;
    let read = |pb: pb::Snapshot| {
        let clusters: Vec<Cluster> = each(pb.clusters, "clusters")?;
        let by_name = clusters.into_iter().map(|cluster| (cluster.name.clone(), cluster)).collect();
        let (clusters, events) = (unique(by_name, "clusters")?, each(pb.events, "events")?);
        Ok(Snapshot { clusters, events, level: pb.level })
    };
    read(pb).map_err(|bad| UnknownEntry::Unusable { what, bad })
}

/// Levels and formats begin at 1: a 0 is a message of something else.
fn in_range(what: &'static str, found: u32, known: u32) -> Result<(), UnknownEntry> {
    match found {
        0 => Err(UnknownEntry::Damaged { what, why: "0 is none".to_owned() }),
        found if found > known => Err(UnknownEntry::Newer { what, found, known }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
