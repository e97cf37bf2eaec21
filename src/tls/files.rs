//! The files themselves: where they lie, whether they may be believed (a key that others can read is nobody's), and
//! whether they were changed. Everything here blocks; nothing here understands what the files say.

use crate::fault::{Fault, Item};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// No certificate or key comes near it: a wrong path may lead to something endless.
const MOST_BYTES: u64 = 1 << 20;

/// Where the PEM files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Certificates of the authorities that are believed; several while one replaces another.
    pub ca: PathBuf,
    /// The own certificate (with intermediate ones behind it) and its private key. Absent: an operator with a token.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// What tells that a file is another one than before: device, inode, size, times of change.
pub(crate) type Stamp = (u64, u64, u64, i64, i64, i64, i64);

fn stamp(meta: &Metadata) -> Stamp {
    let (modified, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    (meta.dev(), meta.ino(), meta.size(), modified.0, modified.1, changed.0, changed.1)
}

/// The stamps of all files; `None` for one that is not there.
pub(crate) fn stamps(files: &Files) -> Vec<Option<Stamp>> {
    let own = files.own.iter().flat_map(|(cert, key)| [cert, key]);
    std::iter::once(&files.ca).chain(own).map(|path| Some(stamp(&path.metadata().ok()?))).collect()
}

/// Reads a file that anybody may read.
pub(crate) fn open_to_all(item: Item, path: &Path) -> Result<Vec<u8>, Fault> {
    read(item, path, |_| Ok(()))
}

/// Reads a file that nobody else may read. A key that root owns may be readable for a group, as PostgreSQL has it.
pub(crate) fn secret(item: Item, path: &Path, group_of_root: bool) -> Result<Vec<u8>, Fault> {
    read(item, path, |meta| {
        let mode = meta.mode() & 0o777;
        let allowed = if group_of_root && meta.uid() == 0 { 0o740 } else { 0o700 };
        if mode & !allowed == 0 {
            return Ok(());
        }
        let shown = path.display();
        Err(format!("has mode {mode:04o}, so others may read it; chmod 0600 {shown}"))
    })
}

fn read(
    item: Item,
    path: &Path,
    judge: impl FnOnce(&Metadata) -> Result<(), String>,
) -> Result<Vec<u8>, Fault> {
    let fault = |why: String| Fault::new(item, path, why);
    let unreadable =
        |e| fault(format!("cannot be read: {e}; name a file that is there, and correct its owner and mode"));
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file, not of the path: what is judged is what is read.
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(fault("is no file; name a PEM file".into()));
    }
    judge(&meta).map_err(fault)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(fault("is larger than 1 MiB; name a PEM file".into()));
    }
    Ok(bytes)
}
