//! Directories of a scene: made so that PostgreSQL's user can pass through, and compared byte by byte.

use rustix::process::geteuid;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A temporary directory that every user may pass through.
pub(crate) fn temporary() -> TempDir {
    let dir = tempfile::Builder::new().prefix("ix-it-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// True when PostgreSQL has to run as somebody else.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Makes a directory that PostgreSQL's user owns: `postgres` for root, else whoever runs the tests.
pub(crate) fn of_postgres(dir: &Path, mode: u32) {
    fs::create_dir_all(dir).unwrap();
    if is_root() {
        let (uid, gid) = ids_of("postgres");
        chown(dir, Some(uid), Some(gid)).unwrap();
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
}

fn ids_of(user: &str) -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with(&format!("{user}:")));
    let fields: Vec<&str> = line.expect("PostgreSQL's user exists").split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// Path → mode, owner, time of change, contents.
pub(crate) type Tree = BTreeMap<PathBuf, (u32, u32, (i64, i64), Vec<u8>)>;

/// Everything below `root`, itself included.
pub(crate) fn tree(root: &Path) -> Tree {
    let mut seen = Tree::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut contents = Vec::new();
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            contents = fs::read(&path).unwrap();
        }
        seen.insert(path, (meta.mode(), meta.uid(), (meta.mtime(), meta.mtime_nsec()), contents));
    }
    seen
}

/// Holds the second look against the first.
pub(crate) fn unchanged(before: &Tree, after: &Tree) {
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(before), names(after), "a refusal made or removed files");
    for (path, was) in before {
        assert!(after.get(path) == Some(was), "a refusal changed {}", path.display());
    }
}
