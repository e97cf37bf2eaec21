//! PostgreSQL's programs: where they are, whether all are there, and how old they are.
//!
//! Every program that the agent starts is asked for here, so that none is missed in the middle of a
//! failover. `pg_rewind` and `pg_waldump` come with the server package, not with the client's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest major version that works: 14 lets recovery settings change without a restart and reports
/// why replay is paused.
pub const MIN_MAJOR: u32 = 14;

pub(super) const NEEDED: [&str; 7] =
    ["postgres", "initdb", "pg_basebackup", "pg_controldata", "pg_rewind", "pg_verifybackup", "pg_waldump"];

const INSTALL: &str = "install the server package (Debian, Ubuntu: apt-get install postgresql)";

/// A directory with everything needed, and its major version.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) bin_dir: PathBuf,
    pub(super) major: u32,
}

/// The programs in `bin_dir`; where none is named, the newest of Debian's directories, else `PATH`.
pub(super) fn find(bin_dir: Option<&Path>) -> Result<Programs, String> {
    let bin_dir = match bin_dir {
        Some(named) => named.to_owned(),
        None => found()?,
    };
    let missing: Vec<_> = NEEDED.into_iter().filter(|program| !bin_dir.join(program).is_file()).collect();
    let shown = bin_dir.display();
    if missing.len() == NEEDED.len() {
        return Err(format!("\"{shown}\" holds no PostgreSQL; correct the path, or {INSTALL}"));
    }
    if !missing.is_empty() {
        return Err(format!("\"{shown}\" lacks {}; {INSTALL}", missing.join(", ")));
    }
    let major = major(&bin_dir)?;
    if major < MIN_MAJOR {
        return Err(format!(
            "\"{shown}\" holds PostgreSQL {major}, at least {MIN_MAJOR} is needed; {INSTALL}"
        ));
    }
    Ok(Programs { bin_dir, major })
}

fn found() -> Result<PathBuf, String> {
    newest_below(Path::new("/usr/lib/postgresql")).or_else(on_path).ok_or_else(|| {
        format!("no PostgreSQL in /usr/lib/postgresql/*/bin nor on PATH; {INSTALL}, or name its directory")
    })
}

/// Debian keeps each major version in a directory of its number.
fn newest_below(root: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(root).ok()?.flatten();
    let numbered = entries.filter_map(|e| Some((e.file_name().to_str()?.parse::<u32>().ok()?, e.path())));
    let complete =
        numbered.map(|(n, path)| (n, path.join("bin"))).filter(|(_, bin)| bin.join("postgres").is_file());
    complete.max().map(|(_, bin)| bin)
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|dir| dir.is_absolute() && dir.join("postgres").is_file())
}

/// Asks the program itself: `postgres (PostgreSQL) 15.18 (Debian 15.18-1)`.
fn major(bin_dir: &Path) -> Result<u32, String> {
    let program = bin_dir.join("postgres");
    let asked = format!("{} --version", program.display());
    let output = Command::new(&program)
        .arg("--version")
        .env("LC_ALL", "C")
        .output()
        .map_err(|e| format!("{asked} cannot be run: {e}; {INSTALL}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    major_of(&text).ok_or_else(|| {
        format!(
            "{asked} answered \"{}\", not a version of PostgreSQL; {INSTALL}",
            text.trim().escape_default()
        )
    })
}

/// The major version in the program's answer; a pre-release says `18beta1`.
fn major_of(answer: &str) -> Option<u32> {
    let version = answer.trim().strip_prefix("postgres (PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_releases_and_pre_releases() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_of("MariaDB 11\n"), None);
    }

    #[test]
    fn the_newest_directory_is_found_by_number_not_by_letter() {
        let root = tempfile::tempdir().unwrap();
        for major in ["9", "14", "15", "extra"] {
            fs::create_dir_all(root.path().join(major).join("bin")).unwrap();
        }
        for major in ["9", "14"] {
            fs::write(root.path().join(major).join("bin/postgres"), "").unwrap();
        }
        assert_eq!(newest_below(root.path()), Some(root.path().join("14/bin")));
    }
}
