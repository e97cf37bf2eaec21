//! The log as openraft sees it: votes, entries, and when they are on disk.
//!
//! Reads come from memory. A write is applied to memory and queued for the writer under one lock, so both see the same
//! order. `save_vote` returns after the flush, an append tells its callback after it; `save_committed` is a hint and
//! waits for somebody else's flush.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::super::types::{Entry, LogId, Types, Vote};
use super::contents::Contents;
use super::disk::LogDisk;
use super::record::Record;
use super::recover::{LogError, recover};
use super::writer::{Done, Job, Jobs, Work, Writer};

/// A handle on an open log; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<RwLock<Shared>>,
}

struct Shared {
    contents: Contents,
    /// `None` once closed.
    jobs: Option<Jobs>,
    writer: Option<Work>,
    disk: Arc<dyn LogDisk>,
}

impl LogStore {
    /// Opens the log of a directory; `fresh_id` becomes its identity if it is empty. A segment is closed once it has
    /// `segment_limit` bytes. With a disk that does not block it has to be called within a tokio runtime.
    pub(crate) fn open(disk: Arc<dyn LogDisk>, fresh_id: u64, segment_limit: u64) -> Result<Self, LogError> {
        let (contents, position) = recover(&disk, fresh_id)?;
        let place = disk.place();
        let writer = Writer::new(disk.clone(), &contents, position, segment_limit);
        let (jobs, writer) =
            writer.start().map_err(|source| LogError::Io { what: "start the writer of", place, source })?;
        let shared = Shared { contents, jobs: Some(jobs), writer: Some(writer), disk };
        Ok(Self { shared: Arc::new(RwLock::new(shared)) })
    }

    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        // Nothing panics between the two halves of a change (see `submit`), so a poisoned lock still guards good data.
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at the contents.
    pub(crate) fn look<T>(&self, f: impl FnOnce(&Contents) -> T) -> T {
        f(&self.read().contents)
    }

    fn submit(&self, records: Vec<Record>, flush: bool, done: Option<Done>) -> io::Result<()> {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        let closed = || io::Error::other("the raft log is closed");
        let Shared { contents, jobs, .. } = &mut *shared;
        let jobs = jobs.as_ref().ok_or_else(closed)?;
        for record in &records {
            contents.apply(record);
        }
        if jobs.send(Job { records, flush, done }) { Ok(()) } else { Err(closed()) }
    }

    async fn submit_and_wait(&self, records: Vec<Record>) -> io::Result<()> {
        let (tx, rx) = oneshot::channel();
        self.submit(records, true, Some(Box::new(move |fate| drop(tx.send(fate)))))?;
        rx.await.unwrap_or_else(|_| Err(io::Error::other("the raft log's writer is gone")))
    }

    /// Remembers which group this directory belongs to, and which ones that replaced; on disk when it returns.
    pub(crate) async fn save_group(&self, id: u64, replaced: Vec<u64>) -> io::Result<()> {
        self.submit_and_wait(vec![Record::Group { id, replaced }]).await
    }

    /// Adds records, together or not at all; on disk when it returns. For a log that nothing else uses.
    pub(crate) async fn rewrite(&self, records: Vec<Record>) -> io::Result<()> {
        self.submit_and_wait(records).await
    }

    /// Waits until everything queued so far is written.
    #[cfg(test)]
    pub(crate) async fn settle(&self) {
        let (tx, rx) = oneshot::channel();
        self.submit(Vec::new(), false, Some(Box::new(move |fate| drop(tx.send(fate)))))
            .expect("the log is open");
        rx.await.expect("the writer answers").expect("it was written");
    }

    /// Writes what is queued and lets go of the directory. Later writes fail.
    pub(crate) async fn close(&self) {
        let (writer, disk) = {
            let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
            shared.jobs = None;
            (shared.writer.take(), shared.disk.clone())
        };
        if let Some(writer) = writer {
            writer.end().await;
        }
        disk.release();
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.read().contents.range(range))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.read().contents.start.vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let shared = self.read();
        let (purged, last) = (shared.contents.start.purged, shared.contents.last());
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.submit_and_wait(vec![Record::Vote(*vote)]).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if self.look(|c| c.start.committed == committed) {
            return Ok(());
        }
        self.submit(vec![Record::Committed(committed)], false, None)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.read().contents.start.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(Record::Entry).collect();
        self.submit(records, true, Some(Box::new(move |fate| callback.io_completed(fate))))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        // Without a flush: what is appended next stands behind it in the same file, so a crash that loses the cut
        // loses the append as well, and leaves the old, consistent end.
        self.submit(vec![Record::TruncateAfter(last_log_id)], false, None)
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.submit(vec![Record::Purged(log_id)], true, None)
    }
}
