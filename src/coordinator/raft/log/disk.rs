//! The seam under the log: a directory of append-only files, and what may be relied on about each call.
//!
//! The real directory is here; the tests, and the simulation, have one in memory that loses what was not flushed.
//! Whoever calls this owns all thinking about formats and order; this file only promises when something is durable.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A flat directory of files that grow at their end.
///
/// After an error of `append` or `flush` nothing may be assumed about the file: Linux drops dirty pages whose
/// write-back failed, so a second flush would report a success that is a lie.
pub trait LogDisk: Debug + Send + Sync + 'static {
    /// Where this is, for messages.
    fn place(&self) -> String;
    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The whole contents.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// A new empty file whose name survives a crash. Fails where it exists.
    fn create(&self, name: &str) -> io::Result<()>;
    /// Adds to the end. Lost in a crash, wholly or from any byte on, until `flush`.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Everything appended so far survives a crash.
    fn flush(&self, name: &str) -> io::Result<()>;
    /// Cuts the file to `len` bytes; the cut survives a crash.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;
    /// Removes; survives a crash.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Puts `bytes` under `name` in one step: a crash leaves the old contents or the new, never a mixture.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Lets go: from now on another process may take it.
    fn release(&self);

    /// How its calls are to be made.
    fn pace(&self) -> Pace {
        Pace::Blocks
    }
}

/// How the calls of a disk are made, and when their answers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A call waits for a device: it is made on a thread where that harms nobody.
    Blocks,
    /// A call returns at once, and is made where it is asked for; its answer is told so much later.
    Returns(Duration),
}

/// Runs `work`, which calls `disk`, where it may take its time.
///
/// # Errors
/// The runtime is ending, or `work` panicked; it may or may not have been done.
pub(crate) async fn aside<T: Send + 'static>(
    disk: &dyn LogDisk,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    match disk.pace() {
        Pace::Blocks => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
        Pace::Returns(after) => {
            let done = work();
            tokio::time::sleep(after).await;
            Ok(done)
        }
    }
}

/// A directory of the file system, held by a lock for as long as this value lives.
#[derive(Debug)]
pub(crate) struct RealDisk {
    dir: PathBuf,
    /// The file appended to last: the log appends to one file for a long time.
    open: Mutex<Option<(String, File)>>,
    lock: Mutex<Option<File>>,
}

/// How long a predecessor in the same directory may take to let go of it once it was told to end.
const LETS_GO_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl RealDisk {
    /// Takes the directory (created with mode 0700 when missing) for this process alone.
    #[expect(clippy::disallowed_methods, reason = "opening is synchronous, once, before anything is served")]
    pub(crate) fn lock(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // The directory's own name has to survive, too: a log that is gone after a power cut is a lost vote.
        if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join("lock"))?;
        // A predecessor that has just ended lets go of it in a moment: its log's thread is the last to end.
        let until = Instant::now() + LETS_GO_WITHIN;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOOK_AGAIN),
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process has it open"));
                }
                Err(fs::TryLockError::Error(e)) => return Err(e),
            }
        }
        Ok(Self { dir: dir.to_owned(), open: Mutex::new(None), lock: Mutex::new(Some(lock)) })
    }

    /// Reads without the lock, beside a running coordinator: for `dump` alone.
    pub(crate) fn look(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: Mutex::new(None), lock: Mutex::new(None) }
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn with_open<T>(&self, name: &str, act: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        // A panic while the lock was held leaves at worst a file handle, which stays good.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *open {
            Some((held, file)) if held == name => act(file),
            other => {
                let file = OpenOptions::new().append(true).open(self.dir.join(name))?;
                act(&mut other.insert((name.to_owned(), file)).1)
            }
        }
    }

    fn forget(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl LogDisk for RealDisk {
    fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.dir)?.map(|e| Ok(e?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(name))
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(self.dir.join(name))?;
        file.sync_all()?;
        self.sync_dir()
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with_open(name, |file| file.write_all(bytes))
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.with_open(name, |file| file.sync_data())
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.dir.join(name))?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.forget();
        fs::remove_file(self.dir.join(name))?;
        self.sync_dir()
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let tmp = self.dir.join(format!("{name}.tmp"));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&tmp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&tmp, self.dir.join(name))?;
        self.sync_dir()
    }

    fn release(&self) {
        self.forget();
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
