//! The one place that writes the log: it takes whatever is queued, writes it as one frame, flushes once if anybody
//! waits for that, and then tells them. Group commit comes for free. A thread of its own, since a disk blocks; a task
//! where it does not.
//!
//! Order on disk is the order of the queue, votes and entries alike. The first error is the last thing it does: Linux
//! drops pages that failed to reach the disk, so trying again would report a success that is a lie.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::contents::Contents;
use super::disk::{LogDisk, Pace};
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

/// Where jobs are handed in. The writer ends once this is gone and everything handed in is written.
pub(crate) struct Jobs {
    to: Option<Sender<Job>>,
    news: Arc<Notify>,
}

impl Jobs {
    /// False when the writer is gone.
    pub(crate) fn send(&self, job: Job) -> bool {
        let sent = self.to.as_ref().is_some_and(|to| to.send(job).is_ok());
        self.news.notify_one();
        sent
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.to = None;
        self.news.notify_one();
    }
}

/// The writer at work.
pub(crate) enum Work {
    Thread(thread::JoinHandle<()>),
    Task(JoinHandle<()>),
}

impl Work {
    /// Waits until everything handed in is written, and no more will be. A panic of the writer has been printed where
    /// it happened; there is nothing left to save.
    pub(crate) async fn end(self) {
        match self {
            Self::Thread(thread) => drop(tokio::task::spawn_blocking(move || thread.join()).await),
            Self::Task(task) => drop(task.await),
        }
    }
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
    /// The first error; nothing is written after it.
    failed: Fate,
}

/// Why what was written is not on disk; absent: it is.
type Fate = Option<(io::ErrorKind, String)>;

fn batch(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1)).collect()
}

fn tell(batch: Vec<Job>, fate: &Fate) {
    for done in batch.into_iter().filter_map(|job| job.done) {
        done(fate.clone().map_or(Ok(()), |(kind, why)| Err(io::Error::new(kind, why))));
    }
}

impl Writer {
    /// Goes on where recovery ended.
    pub(crate) fn new(disk: Arc<dyn LogDisk>, contents: &Contents, position: Position, limit: u64) -> Self {
        let flushed = position.len;
        Self { disk, position, flushed, start: contents.start.clone(), limit, failed: None }
    }

    /// Goes to work, as the disk's pace has it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(self) -> io::Result<(Jobs, Work)> {
        let (to, jobs) = channel();
        let news = Arc::new(Notify::new());
        let work = match self.disk.pace() {
            Pace::Blocks => {
                let thread = thread::Builder::new().name("raft-log".to_owned());
                Work::Thread(thread.spawn(move || self.run(&jobs))?)
            }
            Pace::Returns(_) => Work::Task(tokio::spawn(self.run_here(jobs, news.clone()))),
        };
        Ok((Jobs { to: Some(to), news }, work))
    }

    /// Works until nothing can be handed in any more.
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let batch = batch(first, jobs);
            let fate = self.take(&batch);
            tell(batch, &fate);
        }
    }

    /// The same, on a disk that does not block.
    async fn run_here(mut self, jobs: Receiver<Job>, news: Arc<Notify>) {
        loop {
            match jobs.try_recv() {
                Ok(first) => {
                    let batch = batch(first, &jobs);
                    let fate = self.take(&batch);
                    if let Pace::Returns(after) = self.disk.pace()
                        && after > Duration::ZERO
                    {
                        sleep(after).await;
                    }
                    tell(batch, &fate);
                }
                Err(TryRecvError::Empty) => news.notified().await,
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Writes, unless an earlier write failed.
    fn take(&mut self, batch: &[Job]) -> Fate {
        if self.failed.is_none()
            && let Err(e) = self.write(batch)
        {
            tracing::error!(
                file = segment_name(self.position.segment),
                "write raft log {}: {e}; this coordinator stops taking part: check the disk, then start it again",
                self.disk.place()
            );
            self.failed = Some((e.kind(), format!("write raft log {}: {e}", self.disk.place())));
        }
        self.failed.clone()
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
