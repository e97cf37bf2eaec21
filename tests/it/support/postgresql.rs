//! The PostgreSQL of this machine, used beside Interrex: as somebody who knows nothing of it would.

use super::tree::is_root;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The newest major version that is installed.
pub(crate) fn installed_major() -> u32 {
    let numbers = fs::read_dir("/usr/lib/postgresql").unwrap();
    let numbers = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.max().expect("PostgreSQL is installed")
}

/// Makes a data directory as somebody else would.
pub(crate) fn initdb(pgdata: &Path) {
    let program = format!("/usr/lib/postgresql/{}/bin/initdb", installed_major());
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let done =
        command.args(["--no-sync", "--auth=trust", "-D"]).arg(pgdata).current_dir("/").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
