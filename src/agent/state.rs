//! The agent's durable memory of one instance: `<data_dir>/instances/<cluster>/state`.
//!
//! It holds what must survive any crash of the agent or the machine: the highest goal obeyed, the incarnation, the
//! sentinel, the promotion mark. It is replaced whole: temporary name, fsync, rename, fsync of the directory; a reader
//! finds the old contents or the new, never a mixture. One line says format and checksum, the next lines are JSON.
//! What it means is the rules' affair (`interrex_cluster::instance`).

use interrex_cluster::ids::{ClusterName, DirectoryId, InstanceName};
use interrex_cluster::instance::observed::Memory;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The format that this version writes; it refuses any newer one.
pub const FORMAT: u32 = 1;

const MAGIC: &str = "interrex-instance";

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("cannot {what} {}: {source}; correct its owner and mode, or make room", path.display())]
    Io {
        /// A verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A newer version wrote it.
    #[error("{} has format {found}, this version knows up to {FORMAT}; run the version that wrote it, or a newer one",
        path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It does not say what was written.
    #[error("{} is damaged: {why}; with a whole copy elsewhere, move it away: the instance then begins with nothing",
        path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It is another instance's.
    #[error("{} belongs to {found}, this is {expected}; name another data_dir, or move the file away",
        path.display())]
    Another {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        expected: String,
    },
}

/// Whose memory it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The cluster.
    pub cluster: ClusterName,
    /// The instance.
    pub instance: InstanceName,
    /// The agent's data directory.
    pub directory: DirectoryId,
}

#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    owner: Owner,
    memory: Memory,
}

/// The state file, and what stands in it.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    contents: Contents,
}

impl State {
    /// Reads the state in `directory`; an instance without one begins with nothing. Writes nothing.
    ///
    /// # Errors
    /// Anything but a whole file of this owner and a known format, or none at all.
    pub(crate) fn open(directory: &Path, owner: Owner) -> Result<Self, StateError> {
        let path = directory.join("state");
        let contents = match fs::read_to_string(&path) {
            Ok(text) => parse(&path, &text)?,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                Contents { owner: owner.clone(), memory: Memory::default() }
            }
            Err(source) if source.kind() == io::ErrorKind::InvalidData => {
                return Err(StateError::Damaged { path, why: "it is no text".to_owned() });
            }
            Err(source) => return Err(StateError::Io { what: "read", path, source }),
        };
        if contents.owner != owner {
            let name = |o: &Owner| format!("{} of {} (directory {})", o.instance, o.cluster, o.directory);
            return Err(StateError::Another { path, found: name(&contents.owner), expected: name(&owner) });
        }
        Ok(Self { path, contents })
    }

    /// What stands on disk.
    pub(crate) fn memory(&self) -> &Memory {
        &self.contents.memory
    }

    /// Changes it and returns once the change is on disk. When that fails, nothing is changed here either.
    ///
    /// # Errors
    /// The system refused to write; whether the old or the new contents will be found after a crash is then open.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Memory)) -> Result<(), StateError> {
        let mut memory = self.contents.memory.clone();
        change(&mut memory);
        if memory == self.contents.memory {
            return Ok(());
        }
        let contents = Contents { owner: self.contents.owner.clone(), memory };
        replace(&self.path, render(&contents).as_bytes(), None)?;
        self.contents = contents;
        Ok(())
    }
}

fn render(contents: &Contents) -> String {
    let json = serde_json::to_string_pretty(contents).expect("plain values always serialise");
    format!("{MAGIC} {FORMAT} {:08x}\n{json}\n", crc32fast::hash(json.as_bytes()))
}

fn parse(path: &Path, text: &str) -> Result<Contents, StateError> {
    let damaged = |why: &str| StateError::Damaged { path: path.to_owned(), why: why.to_owned() };
    let (head, json) = text.split_once('\n').ok_or_else(|| damaged("it has one line only"))?;
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(damaged("it does not begin with its name"));
    }
    let found: u32 =
        words.next().and_then(|w| w.parse().ok()).ok_or_else(|| damaged("it names no format"))?;
    if found > FORMAT {
        return Err(StateError::Newer { path: path.to_owned(), found });
    }
    if found == 0 {
        return Err(damaged("it names format 0, which never was"));
    }
    let json = json.trim_end_matches('\n');
    let sum = words.next().and_then(|w| u32::from_str_radix(w, 16).ok());
    if sum != Some(crc32fast::hash(json.as_bytes())) {
        return Err(damaged("its checksum does not fit"));
    }
    serde_json::from_str(json).map_err(|why| damaged(&why.to_string()))
}

/// Replaces a file whole: temporary name beside it, fsync, rename, fsync of the directory. `owner`: user and group
/// that it is given to.
pub(crate) fn replace(path: &Path, contents: &[u8], owner: Option<(u32, u32)>) -> Result<(), StateError> {
    let io_at = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| StateError::Io { what, path, source }
    };
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(io_at("make", &fresh))?;
    file.write_all(contents).map_err(io_at("write", &fresh))?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(io_at("give away", &fresh))?;
    }
    file.sync_all().map_err(io_at("sync", &fresh))?;
    fs::rename(&fresh, path).map_err(io_at("replace", path))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|d| d.sync_all()).map_err(io_at("sync", directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::{Epoch, Incarnation, Revision, Stamp};
    use interrex_cluster::instance::observed::Sentinel;
    use interrex_cluster::report::Rebuild;

    fn owner() -> Owner {
        Owner {
            cluster: "orders".parse().unwrap(),
            instance: "n1".parse().unwrap(),
            directory: DirectoryId("d1".to_owned()),
        }
    }

    fn obeyed(memory: &mut Memory) {
        memory.obeyed = Stamp { epoch: Epoch(7), revision: Revision(40) };
        memory.incarnation = Incarnation(2);
        memory.sentinel = Some(Sentinel::Rebuild(Rebuild::Rewind));
        memory.promoted = Some(Epoch(6));
    }

    /// As the first build wrote it.
    const OF_THE_FIRST_BUILD: &str = r#"interrex-instance 1 cd343888
{
  "owner": {
    "cluster": "orders",
    "instance": "n1",
    "directory": "267138a3-5f25-4490-9504-4c052a6e9d05"
  },
  "memory": {
    "obeyed": {
      "epoch": 4,
      "revision": 22
    },
    "incarnation": 2,
    "sentinel": null,
    "promoted": 4,
    "created": null,
    "rebuilt": 2,
    "told": {
      "timeline": 3,
      "lsn": 83903344
    }
  }
}
"#;

    #[test]
    fn a_state_of_the_first_build_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("state"), OF_THE_FIRST_BUILD).unwrap();
        let directory = DirectoryId("267138a3-5f25-4490-9504-4c052a6e9d05".to_owned());
        let state = State::open(dir.path(), Owner { directory, ..owner() }).unwrap();
        assert_eq!(state.memory().obeyed, Stamp { epoch: Epoch(4), revision: Revision(22) });
        assert_eq!(state.memory().promoted, Some(Epoch(4)));
        assert_eq!(state.memory().incarnation, Incarnation(2));
    }

    #[test]
    fn an_instance_without_a_state_begins_with_nothing_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), owner()).unwrap();
        assert_eq!(state.memory(), &Memory::default());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path(), owner()).unwrap();
        state.update(obeyed).unwrap();
        let again = State::open(dir.path(), owner()).unwrap();
        assert_eq!(again.memory(), state.memory());
        assert_eq!(again.memory().promoted, Some(Epoch(6)));
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_former_state() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path(), owner()).unwrap();
        state.update(obeyed).unwrap();
        fs::write(dir.path().join("state.new"), "interrex-instance 1 0000").unwrap();
        let mut again = State::open(dir.path(), owner()).unwrap();
        assert_eq!(again.memory(), state.memory());
        again.update(|memory| memory.sentinel = None).unwrap();
        assert_eq!(State::open(dir.path(), owner()).unwrap().memory().sentinel, None);
    }

    #[test]
    fn any_cut_or_flipped_byte_is_refused_and_never_half_believed() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path(), owner()).unwrap();
        state.update(obeyed).unwrap();
        let path = dir.path().join("state");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() - 1 {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(State::open(dir.path(), owner()).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() - 1 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            let read = State::open(dir.path(), owner());
            assert!(read.is_err(), "flipped at {at}: {read:?}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("state"), "interrex-instance 2 00000000\n{}\n").unwrap();
        let refused = State::open(dir.path(), owner()).unwrap_err().to_string();
        assert!(refused.ends_with(
            "has format 2, this version knows up to 1; run the version that wrote it, or a newer one"
        ));
        assert_eq!(refused.lines().count(), 1);
    }

    #[test]
    fn another_instance_s_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        State::open(dir.path(), owner()).unwrap().update(obeyed).unwrap();
        let other = Owner { instance: "n2".parse().unwrap(), ..owner() };
        let refused = State::open(dir.path(), other).unwrap_err().to_string();
        assert!(
            refused.contains("belongs to n1 of orders (directory d1), this is n2 of orders"),
            "{refused}"
        );
    }
}
