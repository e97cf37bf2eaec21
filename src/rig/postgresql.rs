//! Whether this machine has what a cluster needs, asked before anything is made. The nodes ask again, more thoroughly;
//! here it is only about saying the one clear line that somebody who just cloned the project needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Where Debian and Ubuntu put each major version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Server and client packages apart, these are the programs that tell them all to be there.
const NEEDED: [&str; 4] = ["postgres", "initdb", "pg_basebackup", "pg_rewind"];

/// The account under which PostgreSQL will run, where that is not the one that started this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Of the user.
    pub uid: u32,
    /// Of its own group.
    pub gid: u32,
}

/// Looks for PostgreSQL and for somebody to run it; `None`: the user of this process runs it.
///
/// # Errors
/// One of the two is not there, with the way out.
pub fn check() -> anyhow::Result<Option<Account>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    if !is_there(Path::new(DEBIAN), &on_path) {
        bail!(
            "PostgreSQL's server programs are not on this machine; install them (Debian, Ubuntu: apt-get install \
             postgresql)"
        );
    }
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    Ok(Some(Account { uid: number_of("-u")?, gid: number_of("-g")? }))
}

fn is_there(debian: &Path, on_path: &[PathBuf]) -> bool {
    directory_of(&NEEDED, debian, on_path).is_some()
}

/// The directory of PostgreSQL's programs that has this one as well.
pub fn with_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    directory_of(&[program], Path::new(DEBIAN), &std::env::split_paths(&path).collect::<Vec<_>>())
}

fn directory_of(programs: &[&str], debian: &Path, on_path: &[PathBuf]) -> Option<PathBuf> {
    let versions =
        fs::read_dir(debian).into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let mut places = versions.chain(on_path.iter().cloned());
    places.find(|bin| programs.iter().all(|program| bin.join(program).is_file()))
}

/// PostgreSQL refuses root; as root the nodes run it as `postgres`.
fn number_of(what: &str) -> anyhow::Result<u32> {
    let output = Command::new("id").args([what, "postgres"]).output().context("run the program id")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().ok().context(
        "there is no user postgres, as whom root's nodes run PostgreSQL; make it (useradd --system postgres), or \
         run this as an ordinary user",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgresql_is_there_only_with_all_its_programs() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("15/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("pg_basebackup"), "").unwrap();
        assert!(!is_there(root.path(), &[]));
        assert!(!is_there(&root.path().join("none"), std::slice::from_ref(&bin)));
        NEEDED.iter().for_each(|program| fs::write(bin.join(program), "").unwrap());
        assert!(is_there(root.path(), &[]));
        assert!(is_there(&root.path().join("none"), &[bin]));
    }
}
