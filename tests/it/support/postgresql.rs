//! The PostgreSQL of these scenes, used beside Interrex: as somebody who knows nothing of it would.

use super::tree::is_root;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../shared/bin_dir.rs"]
mod named;

/// Where the programs are that every node of a scene is told to run.
pub(crate) fn bin_dir() -> PathBuf {
    named::bin_dir()
}

/// Their major version.
pub(crate) fn major() -> u32 {
    let told = Command::new(bin_dir().join("postgres")).arg("--version").output().unwrap();
    // `postgres (PostgreSQL) 15.18 (Debian …)`
    let text = String::from_utf8(told.stdout).unwrap();
    let number =
        text.trim().strip_prefix("postgres (PostgreSQL) ").and_then(|rest| rest.split(['.', ' ']).next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("a version in '{text}'"))
}

/// Makes a data directory as somebody else would.
pub(crate) fn initdb(pgdata: &Path) {
    as_postgres("initdb", |command| command.args(["--no-sync", "--auth=trust", "-D"]).arg(pgdata));
}

/// Runs one of PostgreSQL's programs to its end, as PostgreSQL's user.
pub(crate) fn as_postgres(program: &str, with: impl FnOnce(&mut Command) -> &mut Command) {
    let path = bin_dir().join(program);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    let done = with(&mut command).current_dir("/").output().unwrap();
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}
