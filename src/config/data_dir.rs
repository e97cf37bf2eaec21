//! The data directory: whose it is, which format it has, and that only one node uses it.
//!
//! `DataDir::open` takes a lock on the directory itself (no lock file: a refusal leaves no trace), then
//! checks format and identity, and writes both where they are missing. What lies in `raft/` and
//! `instances/` belongs to the coordinator and the agent.
//!
//! `<data_dir>/format` is a number in one line; `<data_dir>/identity` is `MACHINE UUID` in one line. Both
//! are written to a temporary name, synced and renamed: they are whole or absent.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::{MachineName, Node, Problem, WorldError};

/// The format of data directories that this version writes; it refuses any newer one.
pub const FORMAT: u32 = 1;

const FORMAT_FILE: &str = "format";
const IDENTITY_FILE: &str = "identity";

/// What a node itself makes in its data directory. A pgdata may lie beside these, never in them.
pub(crate) fn own_rooms(data_dir: &Path) -> impl Iterator<Item = PathBuf> {
    ["raft", "instances", FORMAT_FILE, IDENTITY_FILE].map(|room| data_dir.join(room)).into_iter()
}

/// The data directory of a running node. The lock ends with this value, or with the process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: String,
    // Held for its lock alone; close-on-exec, so that no child keeps the directory locked.
    _lock: File,
}

/// Why a directory cannot be a node's, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\": {why}", .path.display())]
pub struct DataDirError {
    path: PathBuf,
    why: String,
}

impl DataDir {
    /// Makes the directory where it is missing, locks it, and checks or writes whose it is. `passed_through`: PostgreSQL runs
    /// as another user, who has to pass through it to its sockets (mode 0711 instead of 0700, where it is made).
    ///
    /// # Errors
    /// Another node runs on it, it belongs to another machine or a newer version, or it cannot be read or written. Nothing is
    /// written before all of these were asked.
    pub fn open(path: &Path, machine: &MachineName, passed_through: bool) -> Result<DataDir, DataDirError> {
        open(path, machine, passed_through).map_err(|why| DataDirError { path: path.to_owned(), why })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The UUID drawn when the directory was made: a lost directory comes back under another one.
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

/// The directory that a node file names.
///
/// # Errors
/// Those of [`DataDir::open`], with the file and its key.
pub fn open_data_dir(node: &Node) -> Result<DataDir, WorldError> {
    let passed_through = rustix::process::geteuid().is_root() && !node.instances.is_empty();
    DataDir::open(&node.data_dir, &node.name, passed_through).map_err(|error| {
        let text = format!("key 'data_dir': {error}");
        WorldError::new(vec![Problem::new(&node.file.display().to_string(), None, text)])
    })
}

fn open(path: &Path, machine: &MachineName, passed_through: bool) -> Result<DataDir, String> {
    make(path, passed_through)
        .map_err(|e| format!("cannot be made: {e}; make it, or name another directory"))?;
    let lock = File::open(path).map_err(|e| format!("cannot be opened: {e}; correct its owner and mode"))?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
        rustix::io::Errno::WOULDBLOCK => {
            "another node runs on it; stop that one, or name another directory".to_string()
        }
        other => format!("cannot be locked: {other}; name a directory on a local file system"),
    })?;
    judge(path, machine)?;
    let identity = settle(path, &lock, machine)
        .map_err(|e| format!("cannot be written: {e}; make room on its disk, or name another one"))?;
    Ok(DataDir { path: path.to_owned(), identity, _lock: lock })
}

fn make(path: &Path, passed_through: bool) -> io::Result<()> {
    let mode = if passed_through { 0o711 } else { 0o700 };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // What a strict umask took away: without it PostgreSQL's user cannot pass.
        made => made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode))),
    }
}

/// Whether a node has run on it.
pub(crate) fn is_used(data_dir: &Path) -> bool {
    data_dir.join(FORMAT_FILE).exists()
}

/// Whether `machine` may use the directory; reads only.
pub(crate) fn judge(data_dir: &Path, machine: &MachineName) -> Result<(), String> {
    if let Some(text) = read(data_dir, FORMAT_FILE)? {
        match text.trim().parse::<u32>() {
            Ok(format) if format <= FORMAT => {}
            Ok(format) => {
                return Err(format!(
                    "has format {format}, this version knows up to {FORMAT}; run the version that wrote it, \
                     or a newer one"
                ));
            }
            Err(_) => {
                let shown = text.trim().escape_default();
                return Err(format!("file 'format' holds \"{shown}\", not a number; name another directory"));
            }
        }
    }
    let Some(text) = read(data_dir, IDENTITY_FILE)? else { return Ok(()) };
    match identity(&text) {
        Some((owner, _)) if owner == machine.as_str() => Ok(()),
        Some((owner, _)) => Err(format!(
            "belongs to machine '{owner}', this node is '{machine}'; correct 'name', or name another directory"
        )),
        None => Err("file 'identity' is not 'MACHINE UUID'; restore it, or name another directory".into()),
    }
}

fn read(data_dir: &Path, file: &str) -> Result<Option<String>, String> {
    match fs::read_to_string(data_dir.join(file)) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("file '{file}' cannot be read: {e}; correct its owner and mode")),
    }
}

fn identity(text: &str) -> Option<(&str, &str)> {
    text.trim().split_once(' ').filter(|(machine, uuid)| !machine.is_empty() && uuid.len() == 36)
}

/// Writes what is missing and returns the directory's UUID.
fn settle(data_dir: &Path, dir: &File, machine: &MachineName) -> io::Result<String> {
    if !data_dir.join(FORMAT_FILE).exists() {
        replace(data_dir, dir, FORMAT_FILE, &format!("{FORMAT}\n"))?;
    }
    let known = read(data_dir, IDENTITY_FILE).map_err(io::Error::other)?;
    if let Some((_, uuid)) = known.as_deref().and_then(identity) {
        return Ok(uuid.into());
    }
    // The kernel draws it: one source of randomness less for this crate to carry.
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_string();
    replace(data_dir, dir, IDENTITY_FILE, &format!("{machine} {uuid}\n"))?;
    Ok(uuid)
}

fn replace(data_dir: &Path, dir: &File, name: &str, text: &str) -> io::Result<()> {
    let temporary = data_dir.join(format!("{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, data_dir.join(name))?;
    dir.sync_all()
}
