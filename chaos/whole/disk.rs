//! The disk of a coordinator. What was flushed is on it for good from the moment at which the flush is answered, and not
//! before: where power goes in between, it is lost, from any byte on. So it is where the process goes in between, and power
//! later: nobody has asked for that flush then, as far as anybody knows, and what the next process reads is in memory alone
//! until somebody flushes it.

use interrex_coordinator::raft::{LogDisk, MemoryDisk, Pace};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Flushes that are not answered yet.
#[derive(Debug, Default)]
struct Flushes {
    /// The world's time, in milliseconds.
    now: u64,
    /// When each is answered, and of which file it is.
    due: Vec<(u64, String)>,
}

/// Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    files: MemoryDisk,
    flushes: Arc<Mutex<Flushes>>,
}

impl Disk {
    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world's time, in milliseconds.
    pub(crate) fn is_at(&self, now: u64) {
        let mut flushes = self.flushes();
        flushes.now = now;
        let answered: Vec<(u64, String)> = flushes.due.extract_if(.., |(due, _)| *due <= now).collect();
        self.flush_each(&answered);
    }

    fn flush_each(&self, answered: &[(u64, String)]) {
        // A file that was removed needs no flush.
        answered.iter().for_each(|(_, name)| drop(self.files.flush(name)));
    }

    /// From now on what is written takes so long.
    pub(crate) fn takes(&self, time: Duration) {
        self.files.takes(time);
    }

    /// All that was asked for is done: a device does what it is asked for in order, and whoever renames, cuts or removes has
    /// waited for what it flushed before.
    fn settle(&self) {
        let due = std::mem::take(&mut self.flushes().due);
        self.flush_each(&due);
    }

    /// The process that wrote to it is gone.
    pub(crate) fn is_left(&self) {
        self.flushes().due.clear();
    }

    /// The disk after a power cut of which `kept` bytes of each file survived that were not flushed; and whether a flush was
    /// under way.
    pub(crate) fn after_power_cut(&self, kept: usize) -> (Self, bool) {
        let flushes = self.flushes();
        let now = Flushes { now: flushes.now, due: Vec::new() };
        let disk = Self { files: self.files.after_crash(kept), flushes: Arc::new(Mutex::new(now)) };
        (disk, !flushes.due.is_empty())
    }

    /// Whether a log would begin with a snapshot here.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.files.list().unwrap_or_default().iter().any(|name| name.starts_with("snap-"))
    }
}

impl LogDisk for Disk {
    fn place(&self) -> String {
        self.files.place()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.files.read(name)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.settle();
        self.files.create(name)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files.append(name, bytes)
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        match self.files.pace() {
            Pace::Returns(after) if after > Duration::ZERO => {
                let mut flushes = self.flushes();
                let due = flushes.now + u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                flushes.due.push((due, name.to_owned()));
                Ok(())
            }
            Pace::Returns(_) | Pace::Blocks => self.files.flush(name),
        }
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.settle();
        self.files.truncate(name, len)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.settle();
        self.files.remove(name)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.settle();
        self.files.replace(name, bytes)
    }

    fn release(&self) {
        self.files.release();
    }

    fn pace(&self) -> Pace {
        self.files.pace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk on which something was written whose flush takes five milliseconds from the hundredth on.
    fn written() -> Disk {
        let disk = Disk::default();
        disk.takes(Duration::from_millis(5));
        disk.is_at(100);
        disk.create("log").expect("it is new");
        disk.append("log", b"entry").expect("it is there");
        disk.flush("log").expect("it is there");
        disk
    }

    fn left(disk: &Disk) -> Vec<u8> {
        disk.read("log").expect("it is there")
    }

    #[test]
    fn what_a_flush_was_answered_for_outlives_a_power_cut_and_nothing_before() {
        let disk = written();
        disk.is_at(104);
        let (cut, lost) = disk.after_power_cut(2);
        assert_eq!((left(&cut), lost), (b"en".to_vec(), true));
        disk.is_at(105);
        let (cut, lost) = disk.after_power_cut(2);
        assert_eq!((left(&cut), lost), (b"entry".to_vec(), false));
    }

    #[test]
    fn a_process_that_ends_before_its_flush_was_answered_leaves_what_has_to_be_flushed_anew() {
        let disk = written();
        disk.is_left();
        disk.is_at(200);
        assert_eq!(left(&disk), b"entry", "whoever begins now reads it");
        assert_eq!(left(&disk.after_power_cut(0).0), b"", "and it is gone with the power");
        disk.flush("log").expect("it is there");
        disk.is_at(205);
        assert_eq!(left(&disk.after_power_cut(0).0), b"entry");
    }

    #[test]
    fn whoever_removes_has_what_was_flushed_before() {
        let disk = written();
        disk.create("next").expect("it is new");
        assert_eq!(left(&disk.after_power_cut(0).0), b"entry");
    }
}
