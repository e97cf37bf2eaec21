//! The sweeper: a process of its own that clears away whatever a demo leaves, however the demo ended.
//!
//! It holds the reading end of a pipe whose writing end only the demo has. When that closes, because the demo is done
//! or because it was killed with -9, the sweeper ends every process of the demo's directory, removes shared memory and
//! the directory itself. It is in a session of its own and deaf to signals from the terminal, and it is started before
//! anything that it might have to clear away.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::SweeperArgs;
use crate::processes::{self, Process};
use crate::traces::Traces;

/// What the demo writes into the pipe when the directory is to stay.
const KEEP: &[u8] = b"keep\n";
const READY: &[u8; 6] = b"ready\n";
/// How long nodes may take to stop their PostgreSQL in an orderly way.
const ORDERLY: Duration = Duration::from_secs(6);
/// How long killed processes may take to vanish.
const VANISHING: Duration = Duration::from_secs(10);

/// The demo's end of it.
pub(crate) struct Sweeper {
    child: Child,
}

impl Sweeper {
    /// Starts it for `dir` and returns once nothing can take it by surprise.
    pub(crate) async fn start(dir: &Path, keep: bool) -> anyhow::Result<Sweeper> {
        let exe = std::env::current_exe().context("find the program of this process")?;
        let mut command = Command::new(exe);
        command.arg("demo-sweeper").arg("--dir").arg(dir);
        if keep {
            command.arg("--keep");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir("/");
        let mut child = command.spawn().context("start the sweeper")?;
        let mut said = [0; READY.len()];
        let heard = match child.stdout.take() {
            Some(mut stdout) => stdout.read_exact(&mut said).await.is_ok(),
            None => false,
        };
        ensure!(heard && said == *READY, "the sweeper ended before it began; without it nothing is started");
        Ok(Sweeper { child })
    }

    /// Lets it sweep and waits for its end. `keep` leaves the directory in place.
    pub(crate) async fn sweep(mut self, keep: bool) -> anyhow::Result<()> {
        if let Some(mut pipe) = self.child.stdin.take()
            && keep
        {
            pipe.write_all(KEEP).await.context("tell the sweeper to keep the directory")?;
        }
        let status = self.child.wait().await.context("wait for the sweeper")?;
        ensure!(status.success(), "not everything could be cleared away; the lines above name what is left");
        Ok(())
    }
}

/// The sweeper's whole life. It exits with 1 when something resists, and says what on standard error.
pub fn sweep_main(args: SweeperArgs) -> ExitCode {
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone nobody is left to be told.
            let _ = writeln!(io::stderr(), "interrex demo-sweeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &SweeperArgs) -> anyhow::Result<()> {
    let spared = processes::self_and_ancestors();
    // Refused only to a leader of a group, whom no terminal's signal reaches through its starter either.
    let _ = rustix::process::setsid();
    turn_deaf()?;
    let mut stdout = io::stdout();
    stdout
        .write_all(READY)
        .and_then(|()| stdout.flush())
        .context("tell the demo that the sweeper is ready")?;
    let mut said = Vec::new();
    // A pipe that cannot be read is one that nobody holds.
    let _ = io::stdin().read_to_end(&mut said);
    sweep(&args.dir, &spared, args.keep || said == KEEP)
}

/// Handlers once installed stay for the life of the process, whether anybody listens or not.
fn turn_deaf() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _here = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()] {
        drop(signal(kind).context("ignore signals")?);
    }
    Ok(())
}

fn sweep(dir: &Path, spared: &BTreeSet<i32>, keep: bool) -> anyhow::Result<()> {
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

/// `MACHINE/pg/CLUSTER`, as the demo lays them out.
fn data_directories(dir: &Path) -> Vec<std::path::PathBuf> {
    let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    below(dir).flat_map(|machine| below(&machine.join("pg"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(dir: &Path, script: &str) -> std::process::Child {
        crate::testing::program(dir, "interrex", dir, script)
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
