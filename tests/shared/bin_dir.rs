//! The PostgreSQL that every scene of this project runs on: the newest one of Debian's directories, or the one that
//! `INTERREX_TEST_BIN_DIR` names, so that one suite judges every major version (`make test-versions`).
//!
//! One file for several crates' tests, which take it in with `#[path]`. A variable that is set and wrong ends the
//! scene with the reason: scenes that quietly ran on another server would prove nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the directory of `postgres` and its tools.
pub(crate) const VARIABLE: &str = "INTERREX_TEST_BIN_DIR";

/// The least that scenes start themselves.
const NEEDED: [&str; 5] = ["postgres", "initdb", "psql", "pg_basebackup", "pg_rewind"];

/// Where the programs are.
pub(crate) fn bin_dir() -> PathBuf {
    let Some(named) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        let newest = newest_of(Path::new("/usr/lib/postgresql"));
        return newest.expect("these scenes need PostgreSQL's server packages: apt-get install postgresql");
    };
    if let Err(why) = usable(&named) {
        panic!(
            "{VARIABLE}={}: {why}; name the absolute bin directory of one PostgreSQL, or unset it",
            named.display()
        );
    }
    named
}

fn newest_of(debian: &Path) -> Option<PathBuf> {
    let entries = debian.read_dir().ok()?.flatten();
    let majors = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let bins = majors.map(|major| (major, debian.join(major.to_string()).join("bin")));
    bins.filter(|(_, bin)| bin.join("pg_rewind").is_file()).max().map(|(_, bin)| bin)
}

fn usable(dir: &Path) -> Result<(), String> {
    if !dir.is_absolute() {
        return Err("not an absolute path".to_owned());
    }
    let missing: Vec<&str> = NEEDED.into_iter().filter(|program| !dir.join(program).is_file()).collect();
    if !missing.is_empty() {
        return Err(format!("lacks {}", missing.join(", ")));
    }
    // PostgreSQL refuses root, hence scenes of root's run it as another user, who must reach it. A shell between the
    // two has lost root's capabilities by the time it looks the program up; setpriv itself has not.
    let mut asked = Command::new("sh");
    if rustix::process::geteuid().is_root() {
        asked = Command::new("setpriv");
        asked.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--", "sh"]);
    }
    asked.args(["-c", "exec \"$0\" --version"]).arg(dir.join("postgres")).current_dir("/");
    let told = asked.output().map_err(|why| format!("cannot be run: {why}"))?;
    match told.status.success() {
        true => Ok(()),
        false => Err(format!(
            "cannot be run as PostgreSQL's user: {}",
            String::from_utf8_lossy(&told.stderr).trim().replace('\n', ", ")
        )),
    }
}
