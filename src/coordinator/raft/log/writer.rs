//! The one thread that writes the log: it takes whatever is queued, writes it as one frame, flushes once if anybody
//! waits for that, and then tells them. Group commit comes for free.
//!
//! Order on disk is the order of the queue, votes and entries alike. The first error is the last thing it does: Linux
//! drops pages that failed to reach the disk, so trying again would report a success that is a lie.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::contents::Contents;
use super::disk::LogDisk;
use super::frame;
use super::record::{Record, Start};
use super::recover::{Position, segment_name};

/// Called once, with the fate of a job.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What the queue carries.
pub(crate) struct Job {
    /// Written together, in order.
    pub(crate) records: Vec<Record>,
    /// Whether they have to be on disk soon; without it they wait for the next flush of anything.
    pub(crate) flush: bool,
    /// Told after the flush, or after the write where none was asked for.
    pub(crate) done: Option<Done>,
}

/// Jobs taken into one frame at most: bounds the memory of a frame, far above what a coordinator ever queues.
const BATCH: usize = 256;

/// The writer's own knowledge of the file it appends to.
pub(crate) struct Writer {
    disk: Arc<dyn LogDisk>,
    position: Position,
    /// How much of the newest segment is on disk.
    flushed: u64,
    /// What a new segment would have to repeat.
    start: Start,
    /// A segment that has reached this length is closed, in bytes.
    limit: u64,
}

impl Writer {
    /// Goes on where recovery ended.
    pub(crate) fn new(disk: Arc<dyn LogDisk>, contents: &Contents, position: Position, limit: u64) -> Self {
        let flushed = position.len;
        Self { disk, position, flushed, start: contents.start.clone(), limit }
    }

    /// Works until the last sender is gone.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let mut failed: Option<io::Error> = None;
        while let Ok(first) = jobs.recv() {
            let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1)).collect();
            if failed.is_none()
                && let Err(e) = self.write(&batch)
            {
                tracing::error!(
                    dir = self.disk.place(),
                    "write raft log {}: {e}; this coordinator stops taking part: check the disk, then start it again",
                    segment_name(self.position.segment)
                );
                failed = Some(e);
            }
            for done in batch.into_iter().filter_map(|job| job.done) {
                done(match &failed {
                    None => Ok(()),
                    Some(e) => {
                        Err(io::Error::new(e.kind(), format!("write raft log {}: {e}", self.disk.place())))
                    }
                });
            }
        }
    }

    fn write(&mut self, batch: &[Job]) -> io::Result<()> {
        let mut payload = Vec::new();
        let rotate = self.position.len >= self.limit && batch.iter().any(|job| !job.records.is_empty());
        if rotate {
            self.rotate()?;
        }
        let mut purged = false;
        for record in batch.iter().flat_map(|job| &job.records) {
            record.encode(&mut payload);
            self.note(record);
            purged |= matches!(record, Record::Purged(_));
        }
        if !payload.is_empty() {
            self.append(&payload)?;
        }
        if purged || batch.iter().any(|job| job.flush) {
            self.flush()?;
        }
        if purged { self.drop_purged() } else { Ok(()) }
    }

    fn note(&mut self, record: &Record) {
        match record {
            Record::Entry(entry) => {
                self.position.highest = self.position.highest.max(Some(entry.log_id.index()))
            }
            other => self.start.note(other),
        }
    }

    fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let frame = frame::encode(payload, self.flushed);
        self.disk.append(&segment_name(self.position.segment), &frame)?;
        self.position.len += frame.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.flushed < self.position.len {
            self.disk.flush(&segment_name(self.position.segment))?;
            self.flushed = self.position.len;
        }
        Ok(())
    }

    /// The old segment is on disk before the new one exists: so a segment that has a successor is never torn.
    fn rotate(&mut self) -> io::Result<()> {
        self.flush()?;
        self.position.closed.push((self.position.segment, self.position.highest));
        self.position.segment += 1;
        self.disk.create(&segment_name(self.position.segment))?;
        (self.position.len, self.position.highest, self.flushed) = (0, None, 0);
        let mut payload = Vec::new();
        Record::Start(self.start.clone()).encode(&mut payload);
        self.append(&payload)
    }

    /// Oldest first, and none after one that is still needed: what is left has no gap. The purge, and the start
    /// record that stands for what is removed, are on disk already.
    fn drop_purged(&mut self) -> io::Result<()> {
        let purged = self.start.purged.as_ref().map(|id| id.index());
        while let Some((segment, highest)) = self.position.closed.first() {
            if *highest > purged {
                break;
            }
            self.disk.remove(&segment_name(*segment))?;
            self.position.closed.remove(0);
        }
        Ok(())
    }
}
