//! What an operator's own configuration files say: postgresql.conf with everything that it includes, but for ours, and
//! postgresql.auto.conf. Read as PostgreSQL reads them, so far as single settings go: the last word wins.
//!
//! A file that is missing or goes round in circles says nothing here; PostgreSQL itself refuses to start with it.

use super::error::{Error, Result};
use super::files::text;
use super::setting_line::setting;
use super::settings::{AUTO, FILE};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// As deep as PostgreSQL follows includes.
const DEEPEST: u32 = 10;

/// The operator's settings, by name in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Configured {
    /// Of postgresql.conf and what it includes.
    pub(super) files: BTreeMap<String, String>,
    /// Of postgresql.auto.conf, which wins.
    pub(super) auto: BTreeMap<String, String>,
}

impl Configured {
    /// Reads the files in a data directory.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let mut found = Self::default();
        let ours = dir.join(FILE);
        follow(&dir.join("postgresql.conf"), &ours, 0, &mut found.files)?;
        follow(&dir.join(AUTO), &ours, 0, &mut found.auto)?;
        Ok(found)
    }

    /// The value in force; absent: PostgreSQL's default.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.auto.get(key).or_else(|| self.files.get(key)).map(String::as_str)
    }

    /// Whether postgresql.conf, or what it includes, gives one of these words.
    pub(super) fn is(&self, key: &str, words: &[&str]) -> bool {
        let value = self.files.get(key).map(|value| value.to_ascii_lowercase());
        value.is_some_and(|value| words.contains(&value.as_str()))
    }
}

/// Takes in one file and what it includes. `ours`: the file that is not the operator's, wherever it is included from.
fn follow(path: &Path, ours: &Path, depth: u32, found: &mut BTreeMap<String, String>) -> Result<()> {
    if path == ours || depth > DEEPEST {
        return Ok(());
    }
    let Some(contents) = text(path)? else { return Ok(()) };
    let beside = path.parent().unwrap_or(Path::new("/"));
    for (key, value) in contents.lines().filter_map(setting) {
        match key.as_str() {
            "include" | "include_if_exists" => follow(&beside.join(value), ours, depth + 1, found)?,
            "include_dir" => {
                for file in configuration_files(&beside.join(value))? {
                    follow(&file, ours, depth + 1, found)?;
                }
            }
            _ => drop(found.insert(key, value)),
        }
    }
    Ok(())
}

/// `*.conf`, but for hidden ones, in the order of their names.
fn configuration_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", dir, &e)),
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".conf") && !name.starts_with('.')
    });
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_followed_and_the_last_word_wins() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, contents: &str| fs::write(dir.path().join(name), contents).unwrap();
        fs::create_dir(dir.path().join("conf.d")).unwrap();
        write(
            "postgresql.conf",
            "wal_level = replica\nport = 1\ninclude_dir = 'conf.d'\ninclude 'interrex.conf'\n",
        );
        write("conf.d/10.conf", "wal_level = logical\ninclude '../more.conf'\n");
        write("conf.d/20.conf", "  Port 2\n");
        write("conf.d/interrex.conf", "temp_buffers = 9MB # the operator's, whatever its name\n");
        write("conf.d/.30.conf", "port = 3\n");
        write("more.conf", "work_mem = 1MB\ninclude 'more.conf'\n");
        write("interrex.conf", "port = 4\n");
        write("postgresql.auto.conf", "work_mem = '2MB'\n");
        let found = Configured::read(dir.path()).unwrap();
        assert!(found.is("wal_level", &["logical"]), "{found:?}");
        assert_eq!((found.get("port"), found.get("work_mem")), (Some("2"), Some("2MB")));
        assert_eq!(found.get("temp_buffers"), Some("9MB"));
        assert!(!found.is("work_mem", &["2mb"]), "ALTER SYSTEM is asked for by `get` alone");
    }
}
