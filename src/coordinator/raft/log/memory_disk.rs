//! A disk in memory for the tests: it forgets what was not flushed, and fails when told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::LogDisk;

#[derive(Default, Clone)]
struct Files {
    /// Contents, and how much of them is flushed.
    files: BTreeMap<String, (Vec<u8>, usize)>,
    fail_flush: bool,
    flushes: usize,
}

/// Clones share the files.
#[derive(Default, Clone)]
pub(crate) struct MemoryDisk(Arc<Mutex<Files>>);

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().expect("no test panics while it holds this")
    }

    /// The same files on another disk.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.files().clone())))
    }

    /// The files after a power cut of which `kept` unflushed bytes of each file survived.
    pub(crate) fn after_crash(&self, kept: usize) -> Self {
        let mut files = self.files().clone();
        for (bytes, flushed) in files.files.values_mut() {
            bytes.truncate(*flushed + kept);
            *flushed = bytes.len();
        }
        files.fail_flush = false;
        Self(Arc::new(Mutex::new(files)))
    }

    /// Changes a file behind the log's back.
    pub(crate) fn edit(&self, name: &str, f: impl FnOnce(&mut Vec<u8>)) {
        let mut files = self.files();
        let (bytes, flushed) = files.files.get_mut(name).expect("the file exists");
        f(bytes);
        *flushed = bytes.len();
    }

    /// Every later flush fails.
    pub(crate) fn fail_flushes(&self) {
        self.files().fail_flush = true;
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
        self.edit(name, |bytes| bytes.truncate(len));
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
}
