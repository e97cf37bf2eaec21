//! The state machine behind the log: every cluster's record, and what happened lately.
//!
//! Each coordinator runs it over the same entries and holds the same state. The rules are `cluster::apply`'s alone;
//! here bytes become entries and back. An entry that this build does not know stops the node, it is never skipped.

use crate::raft::{Machine, Unknown};
use interrex_api::log::{decode_entry, decode_snapshot, encode_snapshot, level_of};
use interrex_cluster::apply::{Rejected, apply};
use interrex_cluster::command::Entry;
use interrex_cluster::event::Event;
use interrex_cluster::ids::ClusterName;
use interrex_cluster::record::Cluster;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

/// Events that are kept, over all clusters: a few hundred failovers' worth.
const EVENTS_KEPT: usize = 2_000;

/// First byte of a reply: the rest is what happened, a sentence a line.
const APPLIED: u8 = b'+';
/// First byte of a reply: the rest is why nothing did.
const REJECTED: u8 = b'-';

/// Told of every entry that a coordinator takes over into a record, in the order of the log: for an audit trail, or for
/// whoever compares what coordinators hold.
pub trait Witness: Debug + Send + Sync + 'static {
    /// The entry at `index` made its cluster's record what it is now. Told once by each process, and again after a
    /// restart by the next one, from its newest snapshot on. To be short: the log waits for it.
    fn applied(&self, index: u64, entry: &Entry, record: &Cluster);
}

/// What the log amounts to.
#[derive(Debug, Default)]
pub(crate) struct Records {
    clusters: BTreeMap<ClusterName, Cluster>,
    events: VecDeque<Event>,
    /// The highest level among the entries; 0 before the first.
    level: u32,
    /// The newest entry that changed a cluster, so that whoever follows one need not look at all the others' entries.
    /// Not part of the state: it starts anew with each process.
    changed: BTreeMap<ClusterName, u64>,
    /// Who is told; not part of the state either.
    witness: Option<Arc<dyn Witness>>,
}

impl Records {
    /// Nothing yet, and who is to be told of what comes.
    pub(crate) fn before(witness: Option<Arc<dyn Witness>>) -> Self {
        Self { witness, ..Self::default() }
    }

    /// Every cluster's record.
    pub(crate) fn clusters(&self) -> &BTreeMap<ClusterName, Cluster> {
        &self.clusters
    }

    /// One cluster's record.
    pub(crate) fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.clusters.get(name)
    }

    /// A number that differs whenever the cluster was changed in between.
    pub(crate) fn version(&self, name: &ClusterName) -> u64 {
        self.changed.get(name).copied().unwrap_or_default()
    }

    /// The highest level of entries that the log has held: it was written when every coordinator read it.
    pub(crate) fn level(&self) -> u32 {
        self.level
    }

    /// Events of entries after `index`, oldest first.
    pub(crate) fn events_after(&self, index: u64) -> impl Iterator<Item = &Event> {
        let from = self.events.partition_point(|event| event.index <= index);
        self.events.range(from..)
    }

    /// What applying the entry now would do: true when it would change something.
    pub(crate) fn trial(&self, entry: &Entry) -> Result<bool, Rejected> {
        let mut copy = BTreeMap::new();
        let before = self.clusters.get(&entry.cluster);
        copy.extend(before.map(|cluster| (entry.cluster.clone(), cluster.clone())));
        apply(&mut copy, entry, 0)?;
        Ok(copy.get(&entry.cluster) != before)
    }
}

impl Machine for Records {
    fn apply(&mut self, index: u64, entry: &[u8]) -> Result<Vec<u8>, Unknown> {
        let entry = decode_entry(entry).map_err(|why| Unknown(why.to_string()))?;
        self.level = self.level.max(level_of(&entry.command));
        let events = match apply(&mut self.clusters, &entry, index) {
            Ok(events) => events,
            Err(Rejected(why)) => return Ok(reply(REJECTED, &why)),
        };
        let story: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
        let reply = reply(APPLIED, &story.join("\n"));
        if let (Some(witness), Some(record)) = (&self.witness, self.clusters.get(&entry.cluster)) {
            witness.applied(index, &entry, record);
        }
        self.changed.insert(entry.cluster, index);
        self.events.extend(events);
        let surplus = self.events.len().saturating_sub(EVENTS_KEPT);
        self.events.drain(..surplus);
        Ok(reply)
    }

    fn snapshot(&self) -> Vec<u8> {
        encode_snapshot(&self.clusters, &self.events, self.level)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let snapshot = decode_snapshot(snapshot).map_err(|why| why.to_string())?;
        // Whoever follows a cluster has to look again: anything may have changed.
        let next = self.changed.values().max().copied().unwrap_or_default() + 1;
        self.changed = snapshot.clusters.keys().map(|name| (name.clone(), next)).collect();
        self.clusters = snapshot.clusters;
        self.events = snapshot.events.into();
        self.level = snapshot.level;
        Ok(())
    }
}

fn reply(kind: u8, text: &str) -> Vec<u8> {
    std::iter::once(kind).chain(text.bytes()).collect()
}

/// What the machine answered to an entry: what happened, or why nothing did.
pub(crate) fn read_reply(reply: &[u8]) -> Result<Vec<String>, Rejected> {
    match reply.split_first() {
        Some((&REJECTED, why)) => Err(Rejected(String::from_utf8_lossy(why).into_owned())),
        Some((_, story)) => Ok(String::from_utf8_lossy(story).lines().map(str::to_owned).collect()),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_api::log::encode_entry;
    use interrex_cluster::command::Command;
    use interrex_cluster::ids::ClusterId;
    use interrex_cluster::record::Secrets;
    use interrex_cluster::spec::Spec;
    use interrex_cluster::time::WallMs;

    fn create(name: &str) -> Entry {
        let secrets = Secrets { superuser: "s".into(), replication: "r".into(), owner: None };
        let command = Command::Create { id: ClusterId(7), spec: Spec::default(), secrets, adopt: None };
        Entry { cluster: name.parse().unwrap(), command, at: WallMs(1) }
    }

    #[test]
    fn an_entry_is_applied_told_and_not_applied_twice() {
        let mut records = Records::default();
        let entry = create("orders");
        assert_eq!(records.trial(&entry), Ok(true));
        let reply = records.apply(4, &encode_entry(&entry)).unwrap();
        assert_eq!(read_reply(&reply), Ok(vec!["cluster orders was created".to_owned()]));
        assert_eq!(records.version(&entry.cluster), 4);
        let reply = records.apply(5, &encode_entry(&entry)).unwrap();
        assert_eq!(read_reply(&reply), Err(Rejected("cluster orders exists already".to_owned())));
        assert_eq!(records.events_after(0).count(), 1);
        assert_eq!(records.events_after(4).count(), 0);
    }

    #[test]
    fn an_entry_that_is_none_stops_the_machine_and_changes_nothing() {
        let mut records = Records::default();
        assert!(records.apply(1, b"\xff\xff\xff").is_err());
        assert!(records.clusters().is_empty());
    }

    #[test]
    fn a_snapshot_restores_records_and_events_and_only_the_newest_events_are_kept() {
        let mut records = Records::default();
        for i in 0..EVENTS_KEPT + 5 {
            records.apply(i as u64, &encode_entry(&create(&format!("c{i}")))).unwrap();
        }
        assert_eq!(records.events.len(), EVENTS_KEPT);
        let mut other = Records::default();
        other.restore(&records.snapshot()).unwrap();
        assert_eq!((&other.clusters, &other.events), (&records.clusters, &records.events));
        assert_eq!((records.level(), other.level()), (1, 1));
        let name = "c1".parse().unwrap();
        assert!(other.version(&name) > 0);
        assert!(other.restore(b"\xff").is_err());
    }
}
