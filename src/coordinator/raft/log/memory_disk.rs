//! A disk in memory: for scenes and simulations, of ours and of whoever embeds a coordinator. It forgets in a crash what
//! was not flushed, is as slow as it is told to be, and fails when told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::disk::{LogDisk, Pace};

#[derive(Default, Clone, Debug)]
struct Files {
    /// Contents, and how much of them is flushed.
    files: BTreeMap<String, (Vec<u8>, usize)>,
    /// Absent: its calls are made as a real disk's are.
    takes: Option<Duration>,
    fail_flush: bool,
    flushes: usize,
}

/// Clones share the files.
#[derive(Default, Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<Files>>);

impl MemoryDisk {
    // Every change is made in one go: whoever panicked while it held this left whole files.
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files after a power cut of which `kept` unflushed bytes of each file survived.
    #[must_use]
    pub fn after_crash(&self, kept: usize) -> Self {
        let mut files = self.files().clone();
        for (bytes, flushed) in files.files.values_mut() {
            bytes.truncate(*flushed + kept);
            *flushed = bytes.len();
        }
        files.fail_flush = false;
        Self(Arc::new(Mutex::new(files)))
    }

    /// Whatever is written takes so long, by the runtime's clock. To be said before the log is opened, and any time later;
    /// until it is said, calls are made as a real disk's are, on threads.
    pub fn takes(&self, time: Duration) {
        self.files().takes = Some(time);
    }

    /// Every later flush fails.
    pub fn fail_flushes(&self) {
        self.files().fail_flush = true;
    }
}

#[cfg(test)]
impl MemoryDisk {
    /// The same files on another disk.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.files().clone())))
    }

    /// Changes a file behind the log's back.
    pub(crate) fn edit(&self, name: &str, f: impl FnOnce(&mut Vec<u8>)) {
        let mut files = self.files();
        let (bytes, flushed) = files.files.get_mut(name).expect("the file exists");
        f(bytes);
        *flushed = bytes.len();
    }

    /// Flushes so far.
    pub(crate) fn flushes(&self) -> usize {
        self.files().flushes
    }

    /// Name and length of each segment.
    pub(crate) fn segment_lengths(&self) -> Vec<(String, usize)> {
        let files = self.files();
        let segments = files.files.iter().filter(|(name, _)| name.starts_with("seg-"));
        segments.map(|(name, (bytes, _))| (name.clone(), bytes.len())).collect()
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name} does not exist"))
}

impl LogDisk for MemoryDisk {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.files().files.get(name).map(|(bytes, _)| bytes.clone()).ok_or_else(|| missing(name))
    }

    fn create(&self, name: &str) -> io::Result<()> {
        match self.files().files.insert(name.to_owned(), Default::default()) {
            None => Ok(()),
            Some(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, name.to_owned())),
        }
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.files();
        files.files.get_mut(name).ok_or_else(|| missing(name))?.0.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        let mut files = self.files();
        if files.fail_flush {
            return Err(io::Error::other("the disk failed"));
        }
        files.flushes += 1;
        let (bytes, flushed) = files.files.get_mut(name).ok_or_else(|| missing(name))?;
        *flushed = bytes.len();
        Ok(())
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut files = self.files();
        let (bytes, flushed) = files.files.get_mut(name).ok_or_else(|| missing(name))?;
        bytes.truncate(len);
        *flushed = bytes.len();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().files.remove(name).map(drop).ok_or_else(|| missing(name))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files().files.insert(name.to_owned(), (bytes.to_vec(), bytes.len()));
        Ok(())
    }

    fn release(&self) {}

    fn pace(&self) -> Pace {
        self.files().takes.map_or(Pace::Blocks, Pace::Returns)
    }
}
