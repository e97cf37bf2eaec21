//! Where the agent keeps small files of its own: each is read whole and replaced whole, so that a reader finds the old
//! contents or the new, never a mixture. What they mean is the affair of those who write them.

use crate::instance::lock;
use crate::state::replace;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{fs, io};

/// Files by name.
pub trait Shelf: Debug + Send + Sync + 'static {
    /// The contents of a file; absent: there is none.
    ///
    /// # Errors
    /// As the system has it.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a file; returns once that survives a loss of power.
    ///
    /// # Errors
    /// As the system has it; whether the old or the new contents are found afterwards is then open.
    fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()>;

    /// The same, and whoever awaits it keeps nobody else waiting. What is begun ends, also when nobody awaits it any more:
    /// two of the same file at a time are the caller's to prevent.
    fn replace_aside<'a>(&'a self, name: &'a str, contents: Vec<u8>) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.replace(name, &contents) })
    }

    /// Where an operator finds the file.
    fn path(&self, name: &str) -> PathBuf;
}

/// A directory of the machine.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// The files in `path`, which is there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Shelf for Directory {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        replace(&self.path(name), contents, None).map_err(io::Error::other)
    }

    fn replace_aside<'a>(&'a self, name: &'a str, contents: Vec<u8>) -> BoxFuture<'a, io::Result<()>> {
        let (own, name) = (self.clone(), name.to_owned());
        let work = tokio::task::spawn_blocking(move || own.replace(&name, &contents));
        Box::pin(async move { work.await.map_err(io::Error::other).flatten() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Files in memory, for tests and simulations. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct MemoryShelf(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Shelf for MemoryShelf {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(lock(&self.0).get(name).cloned())
    }

    fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        lock(&self.0).insert(name.to_owned(), contents.to_vec());
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}

/// A shelf in memory whose disk stalls or refuses, as a scene has it. Clones are the same.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct Flawed {
    pub(crate) memory: MemoryShelf,
    /// So many writings fail from now on.
    pub(crate) fails: Arc<std::sync::atomic::AtomicU32>,
    /// Writings stall while somebody holds this for writing.
    pub(crate) stalls: Arc<tokio::sync::RwLock<()>>,
}

#[cfg(test)]
impl Shelf for Flawed {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.memory.read(name)
    }

    fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        if self.fails.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.memory.replace(name, contents)
    }

    fn replace_aside<'a>(&'a self, name: &'a str, contents: Vec<u8>) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            let _goes = self.stalls.read().await;
            self.replace(name, &contents)
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_not_there_is_no_error_and_what_was_put_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let shelves: [&dyn Shelf; 2] = [&Directory::new(dir.path()), &MemoryShelf::default()];
        for shelf in shelves {
            assert_eq!(shelf.read("starts").unwrap(), None);
            shelf.replace("starts", b"1\n").unwrap();
            shelf.replace_aside("starts", b"2\n".to_vec()).await.unwrap();
            assert_eq!(shelf.read("starts").unwrap().as_deref(), Some(b"2\n".as_slice()));
        }
        assert_eq!(fs::read(dir.path().join("starts")).unwrap(), b"2\n", "under its name, for the operator");
    }
}
