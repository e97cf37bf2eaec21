//! Files that must survive a crash: replaced whole, by the right owner, with the right mode, fsynced with their
//! directory. Symbolic links are refused: the agent may be root, and the directory belongs to somebody who is not.
//! Everything here blocks; callers wrap it with [`blocking`].

use super::error::{Error, Result};
use super::layout::Layout;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Runs file work away from the event loop, which must go on beating while a disk stalls.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(Error::Unknown(format!("file work was interrupted: {stopped}"))),
    }
}

/// Replaces `path` by `contents` unless it already says so. True when it changed. An existing file keeps its mode,
/// a new one gets `mode`; the owner is the user that PostgreSQL runs as.
pub(super) fn replace(layout: &Layout, path: &Path, contents: &[u8], mode: u32) -> Result<bool> {
    let mode = match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(Error::Refused(format!(
                "{} is a symbolic link or no file; replace it by a file",
                path.display()
            )));
        }
        Ok(found) => {
            let ours = layout.run_as.as_ref().is_none_or(|user| found.uid() == user.uid);
            if ours && fs::read(path).map_err(|e| Error::io("read", path, &e))? == contents {
                return Ok(false);
            }
            found.permissions().mode() & 0o7777
        }
        Err(missing) if missing.kind() == ErrorKind::NotFound => mode,
        Err(other) => return Err(Error::io("look at", path, &other)),
    };
    write_beside(layout, path, contents, mode)?;
    Ok(true)
}

fn write_beside(layout: &Layout, path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    let beside = with_suffix(path, ".interrex-tmp");
    remove_file(&beside)?;
    let create = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside);
    let mut file = create.map_err(|e| Error::io("create", &beside, &e))?;
    let filled = give_file(layout, &file)
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| file.write_all(contents))
        .and_then(|()| file.sync_all());
    filled.map_err(|e| Error::io("write", &beside, &e))?;
    rename(&beside, path)
}

fn give_file(layout: &Layout, file: &File) -> std::io::Result<()> {
    layout
        .run_as
        .as_ref()
        .map_or(Ok(()), |user| std::os::unix::fs::fchown(file, Some(user.uid), Some(user.gid)))
}

/// Makes `path` a directory of mode 0700 that belongs to the user PostgreSQL runs as.
pub(super) fn make_private_dir(layout: &Layout, path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io("create", path, &e))?;
    if let Some(user) = &layout.run_as {
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .map_err(|e| Error::io("give away", path, &e))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .map_err(|e| Error::io("set the mode of", path, &e))
}

/// Renames and makes the new name last. An empty directory at `to` is replaced.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| match e.kind() {
        ErrorKind::ResourceBusy => Error::Refused(format!(
            "{} is a mount point, which cannot be replaced; let pgdata be a directory below it",
            to.display()
        )),
        _ => Error::io("rename to", to, &e),
    })?;
    sync_parent(from)?;
    sync_parent(to)
}

/// Removes a file; it is fine when there is none.
pub(super) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
        _ => Ok(()),
    }
}

/// Removes a directory with everything in it; it is fine when there is none.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
        _ => Ok(()),
    }
}

/// Makes what was created, renamed or removed in the directory of `path` last.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync)
}

/// fsync of a file or directory.
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| Error::io("fsync", path, &e))
}

/// Makes a whole data directory last, its tablespaces included. One call a file system: a tenth of the time that a
/// thousand fsyncs take.
pub(super) fn sync_tree(dir: &Path) -> Result<()> {
    let tablespaces = dir.join("pg_tblspc");
    let entries = fs::read_dir(&tablespaces).map_err(|e| Error::io("list", &tablespaces, &e))?;
    let places = entries.flatten().map(|entry| entry.path()).chain([dir.to_owned()]);
    for place in places {
        let synced = File::open(&place).and_then(|file| Ok(rustix::fs::syncfs(file)?));
        synced.map_err(|e| Error::io("sync", &place, &e))?;
    }
    Ok(())
}

/// The text of a file; `None` when there is none.
pub(super) fn text(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, &e)),
    }
}

/// `path` with `suffix` appended to its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::super::testing::bare_layout;
    use super::*;

    #[test]
    fn a_file_is_replaced_once_and_keeps_its_mode() {
        let (dir, layout) = bare_layout();
        let path = dir.path().join("f");
        assert!(replace(&layout, &path, b"one", 0o600).unwrap());
        assert!(!replace(&layout, &path, b"one", 0o600).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(replace(&layout, &path, b"two", 0o600).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(text(&path).unwrap().as_deref(), Some("two"));
    }

    #[test]
    fn a_symbolic_link_is_refused_and_left() {
        let (dir, layout) = bare_layout();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "theirs").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(matches!(replace(&layout, &link, b"ours", 0o600), Err(Error::Refused(_))));
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
    }
}
