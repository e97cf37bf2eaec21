//! Clearing away whatever a cluster leaves, however it ended: processes, shared memory, control groups, its directory.
//! Needs nothing but the directory, so that anybody can do it for whoever was killed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;

use crate::processes::{self, Process};
use crate::traces::Traces;

/// How long nodes may take to stop their PostgreSQL in an orderly way.
const ORDERLY: Duration = Duration::from_secs(6);
/// How long killed processes may take to vanish.
const VANISHING: Duration = Duration::from_secs(10);

/// Ends everything that belongs to `dir` and is not in `spared`, nodes in an orderly way first; removes what it left in the
/// kernel, and the directory unless it is to stay.
///
/// # Errors
/// A line for each thing that resists.
pub fn sweep(dir: &Path, spared: &BTreeSet<i32>, keep: bool) -> anyhow::Result<()> {
    let mut traces = Traces::load(dir);
    for pgdata in data_directories(dir) {
        traces.note_data_directory(&pgdata);
    }
    stop_nodes(dir, spared, &mut traces)?;
    kill_the_rest(dir, spared, &mut traces)?;
    let mut left = traces.remove();
    if !keep
        && let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        left.push(format!("{} cannot be removed: {error}", dir.display()));
    }
    if left.is_empty() { Ok(()) } else { bail!("{}", left.join("\n")) }
}

/// Asks the nodes to stop, and with them the writer; they take PostgreSQL along.
fn stop_nodes(dir: &Path, spared: &BTreeSet<i32>, traces: &mut Traces) -> anyhow::Result<()> {
    let found = processes::of(dir, spared).context("read /proc")?;
    traces.note(&found);
    let nodes: Vec<&Process> = found.iter().filter(|process| process.program() == "interrex").collect();
    for node in &nodes {
        node.signal(Signal::TERM).with_context(|| format!("stop process {}", node.pid))?;
    }
    processes::wait_gone(nodes, ORDERLY);
    Ok(())
}

fn kill_the_rest(dir: &Path, spared: &BTreeSet<i32>, traces: &mut Traces) -> anyhow::Result<()> {
    let until = Instant::now() + VANISHING;
    loop {
        let found = processes::of(dir, spared).context("read /proc")?;
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            let left: Vec<String> =
                found.iter().map(|process| format!("{} ({})", process.pid, process.program())).collect();
            bail!("processes of {} do not die: {}", dir.display(), left.join(", "));
        }
        traces.note(&found);
        for process in &found {
            process.signal(Signal::KILL).with_context(|| format!("kill process {}", process.pid))?;
        }
        processes::wait_gone(&found, Duration::from_millis(200));
    }
}

/// `MACHINE/pg/CLUSTER`, as machines lay them out.
fn data_directories(dir: &Path) -> Vec<PathBuf> {
    let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    below(dir).flat_map(|machine| below(&machine.join("pg"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(dir: &Path, script: &str) -> std::process::Child {
        crate::program::program(dir, "interrex", dir, script)
    }

    #[test]
    fn a_node_is_asked_first_and_the_directory_goes() {
        let dir = tempfile::tempdir().unwrap().keep();
        let proof = tempfile::NamedTempFile::new().unwrap();
        let script = format!(
            "trap 'echo asked > {}; exit 0' TERM; touch {}; while :; do sleep 0.01; done",
            proof.path().display(),
            dir.join("ready").display()
        );
        let mut node = node(&dir, &script);
        let until = Instant::now() + Duration::from_secs(10);
        while !dir.join("ready").exists() {
            assert!(Instant::now() < until);
            std::thread::yield_now();
        }
        sweep(&dir, &processes::self_and_ancestors(), false).unwrap();
        assert_eq!(fs::read_to_string(proof.path()).unwrap(), "asked\n");
        assert!(!dir.exists());
        node.wait().unwrap();
    }

    #[test]
    fn a_kept_directory_stays_and_is_empty_of_processes() {
        let dir = tempfile::tempdir().unwrap();
        let mut node = node(dir.path(), "sleep 60; :");
        fs::write(dir.path().join("log"), "told").unwrap();
        sweep(dir.path(), &processes::self_and_ancestors(), true).unwrap();
        assert!(dir.path().join("log").exists());
        assert!(processes::of(dir.path(), &processes::self_and_ancestors()).unwrap().is_empty());
        node.wait().unwrap();
    }
}
