//! What an operator's own configuration files say: postgresql.conf with everything that it includes, but for ours, and
//! postgresql.auto.conf. Read as PostgreSQL reads them, so far as single settings go: the last word wins.
//!
//! A file that is missing or goes round in circles says nothing here; PostgreSQL itself refuses to start with it.

use super::error::{Error, Result};
use super::files::text;
use super::settings::{AUTO, FILE};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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
        follow(&dir.join("postgresql.conf"), 0, &mut found.files)?;
        follow(&dir.join(AUTO), DEEPEST, &mut found.auto)?;
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

fn follow(path: &Path, depth: u32, found: &mut BTreeMap<String, String>) -> Result<()> {
    let Some(contents) = text(path)? else { return Ok(()) };
    let beside = path.parent().unwrap_or(Path::new("/"));
    for (key, value) in contents.lines().filter_map(setting) {
        match key.as_str() {
            "include" | "include_if_exists" if value == FILE || depth >= DEEPEST => {}
            "include" | "include_if_exists" => follow(&beside.join(value), depth + 1, found)?,
            "include_dir" if depth < DEEPEST => {
                for file in configuration_files(&beside.join(value))? {
                    follow(&file, depth + 1, found)?;
                }
            }
            "include_dir" => {}
            _ => drop(found.insert(key, value)),
        }
    }
    Ok(())
}

/// `*.conf`, but for hidden ones, in the order of their names.
fn configuration_files(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
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

/// Key and value of a line: `key = value`, `key value`, `key = 'it''s' # why`.
fn setting(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let end = line.find(|c: char| c == '=' || c == '#' || c.is_whitespace())?;
    let (key, rest) = line.split_at(end);
    if key.is_empty() {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let value = match rest.strip_prefix('\'') {
        Some(quoted) => unquoted(quoted),
        None => rest.split(|c: char| c == '#' || c.is_whitespace()).next().unwrap_or_default().to_owned(),
    };
    Some((key.to_ascii_lowercase(), value))
}

/// What stands before the closing quote.
fn unquoted(text: &str) -> String {
    let mut value = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => value.extend(chars.next()),
            '\'' => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_postgresql_does() {
        let read = |line| setting(line).map(|(key, value)| format!("{key}={value}"));
        for (line, wanted) in [
            ("work_mem = 4MB # small", Some("work_mem=4MB")),
            ("Work_Mem '4 MB'", Some("work_mem=4 MB")),
            ("archive_command='cp ''%p'' /a' # x", Some("archive_command=cp '%p' /a")),
            ("include_dir 'conf.d'", Some("include_dir=conf.d")),
            ("port=5433", Some("port=5433")),
            ("# port = 5433", None),
            ("", None),
        ] {
            assert_eq!(read(line).as_deref(), wanted, "{line}");
        }
    }

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
        write("conf.d/20.conf", "port = 2\n");
        write("conf.d/.30.conf", "port = 3\n");
        write("more.conf", "work_mem = 1MB\ninclude 'more.conf'\n");
        write("interrex.conf", "port = 4\n");
        write("postgresql.auto.conf", "work_mem = '2MB'\n");
        let found = Configured::read(dir.path()).unwrap();
        assert!(found.is("wal_level", &["logical"]), "{found:?}");
        assert_eq!((found.get("port"), found.get("work_mem")), (Some("2"), Some("2MB")));
        assert!(!found.is("work_mem", &["2mb"]), "ALTER SYSTEM is asked for by `get` alone");
    }
}
