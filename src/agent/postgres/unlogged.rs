//! Unlogged relations of a directory whose server may be down: their contents are in no WAL, so that whatever recovers the
//! directory empties them. Counted by their initialisation forks, for no catalog can be asked.

use super::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// How many unlogged relations a data directory has, in all databases and tablespaces.
///
/// # Errors
/// A directory cannot be listed.
pub(super) fn unlogged_in(dir: &Path) -> Result<u64> {
    let mut databases = entries(&dir.join("base"))?;
    for space in entries(&dir.join("pg_tblspc"))? {
        // A tablespace may serve several versions, each in a directory of its own.
        for version in entries(&space)?.iter().filter(|path| name_of(path).starts_with("PG_")) {
            databases.extend(entries(version)?);
        }
    }
    let mut count = 0;
    for database in databases.iter().filter(|path| is_number(name_of(path))) {
        let forks = entries(database)?;
        count +=
            forks.iter().filter(|path| name_of(path).strip_suffix("_init").is_some_and(is_number)).count();
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// What becomes of so many, for whoever takes the directory in.
pub(super) fn unlogged_note(count: u64) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "it has {count} unlogged relations (tables, their indexes and sequences): taking it in empties them, as a \
             crash does, and so does each failover; what matters of it, make logged while its server still runs: ALTER \
             TABLE … SET LOGGED"
        )
    })
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("list", dir, &e))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(|e| Error::io("list", dir, &e))).collect()
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialisation_forks_are_counted_in_every_database_and_tablespace() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        fs::create_dir_all(dir.path().join("pg_tblspc")).unwrap();
        for logged in ["base/5/16384", "base/5/16384_fsm", "base/5/pg_init", "base/pgsql_tmp/1_init"] {
            write(logged);
        }
        assert_eq!(unlogged_in(dir.path()).unwrap(), 0);
        assert_eq!(unlogged_note(0), None);
        for unlogged in ["base/5/16385_init", "base/7/16390_init", "pg_tblspc/16400/PG_15_202209061/5/9_init"]
        {
            write(unlogged);
        }
        assert_eq!(unlogged_in(dir.path()).unwrap(), 3);
        assert!(unlogged_note(3).unwrap().starts_with("it has 3 unlogged relations"));
    }
}
