//! The replicated state machine: the trait that its owner implements, and the adapter that openraft drives.
//!
//! State lives in memory; a start restores the newest snapshot and replays the log from there. The adapter never skips
//! an entry: one that this build does not know stops it, with one line, before anything after it is applied.

use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::watch;

use super::snapshot::SnapshotDir;
use super::types::{LogId, Reply, Snapshot, SnapshotMeta, StoredMembership, Types};

/// An entry that this build does not know, with what it could make out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(pub String);

/// A deterministic state machine: the same entries in the same order give the same state and the same replies.
/// It reads no clock and no randomness.
pub trait Machine: Send + Sync + 'static {
    /// Applies the entry at `index` of the log and answers it.
    ///
    /// # Errors
    /// [`Unknown`] when this build does not know the entry. Nothing may have changed then; the node stops.
    fn apply(&mut self, index: u64, entry: &[u8]) -> Result<Vec<u8>, Unknown>;

    /// The whole state.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the whole state by what [`Machine::snapshot`] once returned.
    ///
    /// # Errors
    /// One sentence, when the snapshot is of a newer format.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

/// The machine and how far it has come, always changed together.
struct Applied<M> {
    machine: M,
    last: Option<LogId>,
    membership: StoredMembership,
}

/// The adapter; clones share the machine.
pub(crate) struct MachineStore<M> {
    state: Arc<RwLock<Applied<M>>>,
    snapshots: SnapshotDir,
    /// The index of the newest entry applied; 0 before the first, which is always a membership.
    applied: Arc<watch::Sender<u64>>,
}

impl<M> Clone for MachineStore<M> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), snapshots: self.snapshots.clone(), applied: self.applied.clone() }
    }
}

impl<M: Machine> MachineStore<M> {
    /// The machine as of the newest snapshot; `log_from` is the first index that the log still has.
    ///
    /// # Errors
    /// One sentence, when no snapshot that the log continues from can be read or understood.
    pub(crate) fn open(mut machine: M, snapshots: SnapshotDir, log_from: u64) -> Result<Self, String> {
        let (newest, bad) = snapshots.newest().map_err(|e| format!("read the raft snapshots: {e}"))?;
        let reaches = newest.as_ref().and_then(|s| s.meta.last_log_id).map_or(0, |id| id.index() + 1);
        if reaches < log_from {
            let seen = if bad.is_empty() { "there is no newer one".to_owned() } else { bad.join("; ") };
            return Err(format!(
                "the raft log begins at entry {log_from}, but the newest snapshot that can be read ends before entry \
                 {reaches}: {seen}; empty the directory so that this coordinator rejoins its group under a new id"
            ));
        }
        for line in bad {
            tracing::warn!("{line}; the snapshot before it is used, the log reaches back to it");
        }
        let mut meta = SnapshotMeta::default();
        if let Some(snapshot) = newest {
            machine.restore(&snapshot.snapshot).map_err(|e| format!("restore the raft snapshot: {e}"))?;
            meta = snapshot.meta;
        }
        let applied = watch::Sender::new(meta.last_log_id.map_or(0, |id| id.index()));
        let state = Applied { machine, last: meta.last_log_id, membership: meta.last_membership };
        Ok(Self { state: Arc::new(RwLock::new(state)), snapshots, applied: Arc::new(applied) })
    }

    // A machine that panicked in `apply` has stopped the node; what it left behind may still be looked at.
    fn state(&self) -> RwLockReadGuard<'_, Applied<M>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, Applied<M>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at the machine.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&M) -> T) -> T {
        f(&self.state().machine)
    }

    /// Follows the index of the newest entry applied.
    pub(crate) fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// The newest entry applied.
    pub(crate) fn last_applied(&self) -> Option<LogId> {
        self.state().last
    }

    /// Who belongs to the group as of the newest entry applied.
    pub(crate) fn membership(&self) -> StoredMembership {
        self.state().membership.clone()
    }

    /// Where that stands in the log; 0: nowhere yet.
    pub(crate) fn membership_index(&self) -> u64 {
        self.state().membership.log_id().map_or(0, |id| id.index())
    }

    fn apply_one(&self, entry: super::types::Entry) -> io::Result<Reply> {
        let mut state = self.state_mut();
        let index = entry.log_id.index();
        let reply = match entry.payload {
            EntryPayload::Blank => Vec::new(),
            EntryPayload::Normal(command) => {
                state.machine.apply(index, &command.0).map_err(|e| stop(index, &e))?
            }
            EntryPayload::Membership(membership) => {
                state.membership = StoredMembership::new(Some(entry.log_id), membership);
                Vec::new()
            }
        };
        state.last = Some(entry.log_id);
        drop(state);
        self.applied.send_replace(index);
        Ok(Reply(reply))
    }
}

fn stop(index: u64, unknown: &Unknown) -> io::Error {
    let line = format!(
        "entry {index} of the raft log is not known to this version of interrex: {unknown}; nothing after it is \
         applied: start the version that the rest of the group runs"
    );
    tracing::error!("{line}");
    io::Error::new(io::ErrorKind::Unsupported, line)
}

impl<M: Machine> RaftStateMachine<Types> for MachineStore<M> {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let state = self.state();
        Ok((state.last, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let reply = self.apply_one(entry)?;
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let state = self.state();
        let meta = SnapshotMeta { last_log_id: state.last, last_membership: state.membership.clone() };
        Builder { meta, data: state.machine.snapshot(), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Vec<u8>) -> io::Result<()> {
        // On disk first: the log before it is purged as soon as this returns.
        let data = save(self.snapshots.clone(), meta.clone(), data).await?;
        let mut state = self.state_mut();
        state.machine.restore(&data).map_err(|e| {
            let line = format!("install the leader's snapshot: {e}");
            tracing::error!("{line}");
            io::Error::new(io::ErrorKind::Unsupported, line)
        })?;
        state.last = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        drop(state);
        self.applied.send_replace(meta.last_log_id.map_or(0, |id| id.index()));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let newest = self.snapshots.aside(SnapshotDir::newest).await?;
        Ok(newest?.0)
    }
}

async fn save(snapshots: SnapshotDir, meta: SnapshotMeta, data: Vec<u8>) -> io::Result<Vec<u8>> {
    snapshots.aside(move |snapshots| snapshots.save(&meta, &data).map(|()| data)).await?
}

/// The state at one moment, on its way to disk.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    data: Vec<u8>,
    snapshots: SnapshotDir,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let data = save(self.snapshots.clone(), self.meta.clone(), std::mem::take(&mut self.data)).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: data })
    }
}
