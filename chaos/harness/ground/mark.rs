//! The mark of a run: a file in /run that bears its name and says where its directory is. Locked as long as the run
//! lives, so that `clean` finds runs that were killed, and never takes one that is not.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Where the marks are.
pub(crate) const MARKS: &str = "/run/interrex-chaos";

/// What a mark says; a run that was killed before it made anything says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The run's directory.
    pub(crate) dir: PathBuf,
    /// The directory was named by a person, and stays.
    pub(crate) keep: bool,
}

/// A run that lives, or, of [`abandoned`], one that was killed.
#[derive(Debug)]
pub(crate) struct Mark {
    /// All that is made for the run bears this name in its own.
    pub(crate) name: String,
    /// What it says.
    pub(crate) told: Option<Told>,
    path: PathBuf,
    file: File,
}

impl Mark {
    /// Makes this process's own mark in `marks`.
    pub(crate) fn make(marks: &Path) -> anyhow::Result<Mark> {
        fs::create_dir_all(marks).with_context(|| format!("make {}", marks.display()))?;
        let name = format!("interrex-chaos-{}", std::process::id());
        let path = marks.join(&name);
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = match made {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!(
                    "{} is of a run that was killed; remove what it left with: interrex-chaos clean",
                    path.display()
                )
            }
            Err(error) => return Err(error).with_context(|| format!("make {}", path.display())),
        };
        file.lock().with_context(|| format!("lock {}", path.display()))?;
        Ok(Mark { name, told: None, path, file })
    }

    /// Says where the run's directory is, before anything is made in it.
    pub(crate) fn tell(&mut self, told: Told) -> anyhow::Result<()> {
        let text = serde_json::to_vec(&told)?;
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("write {}", self.path.display()))?;
        self.told = Some(told);
        Ok(())
    }

    /// The last thing to go.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Every run that left its mark and lives no more.
pub(crate) fn abandoned(marks: &Path) -> anyhow::Result<Vec<Mark>> {
    let entries = match fs::read_dir(marks) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("read {}", marks.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", marks.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // A file that somebody else put there is nobody's mark.
        if !name.starts_with("interrex-chaos-") {
            continue;
        }
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        found.push(Mark { name, told: serde_json::from_slice(&text).ok(), path, file });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_run_that_lives_is_never_taken_for_an_abandoned_one() {
        let marks = tempfile::tempdir().unwrap();
        assert!(abandoned(&marks.path().join("none")).unwrap().is_empty());
        let told = Told { dir: "/tmp/run".into(), keep: false };
        let mut mark = Mark::make(marks.path()).unwrap();
        mark.tell(told.clone()).unwrap();
        assert!(abandoned(marks.path()).unwrap().is_empty());
        // As after kill -9: the kernel lets go of the lock, the file stays.
        let name = mark.name.clone();
        drop(mark);
        let error = Mark::make(marks.path()).unwrap_err().to_string();
        assert!(error.ends_with("interrex-chaos clean"), "{error}");
        let found = once_let_go(marks.path());
        assert_eq!((found[0].name.as_str(), found[0].told.as_ref()), (name.as_str(), Some(&told)));
        found[0].remove().unwrap();
        found[0].remove().unwrap();
        assert!(abandoned(marks.path()).unwrap().is_empty());
    }

    /// What [`abandoned`] finds, as soon as it finds anything: a child that another test forks has the lock too, until it
    /// becomes its program.
    fn once_let_go(marks: &Path) -> Vec<Mark> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let found = abandoned(marks).unwrap();
            if !found.is_empty() || Instant::now() > deadline {
                return found;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_bears_another_name_is_not_touched() {
        let marks = tempfile::tempdir().unwrap();
        fs::write(marks.path().join("notes"), "{\"dir\":\"/\",\"keep\":false}").unwrap();
        assert!(abandoned(marks.path()).unwrap().is_empty());
    }
}
