//! The sweeper: a process of its own that clears away whatever a demo leaves, however the demo ended.
//!
//! It holds the reading end of a pipe whose writing end only the demo has. When that closes, because the demo is done
//! or because it was killed with -9, the sweeper ends every process of the demo's directory, removes shared memory and
//! the directory itself. It is in a session of its own and deaf to signals from the terminal, and it is started before
//! anything that it might have to clear away.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, ensure};
use interrex_rig::{processes, sweep};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::SweeperArgs;

/// What the demo writes into the pipe when the directory is to stay.
const KEEP: &[u8] = b"keep\n";
/// What it writes when nothing was made, and what is there is somebody else's.
const NOTHING: &[u8] = b"nothing\n";
const READY: &[u8; 6] = b"ready\n";

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
    pub(crate) async fn sweep(self, keep: bool) -> anyhow::Result<()> {
        self.told(if keep { KEEP } else { b"" }).await
    }

    /// Lets it go without sweeping: nothing was made.
    pub(crate) async fn dismiss(self) -> anyhow::Result<()> {
        self.told(NOTHING).await
    }

    /// Says the last word and waits for its end.
    async fn told(mut self, word: &[u8]) -> anyhow::Result<()> {
        if let Some(mut pipe) = self.child.stdin.take() {
            pipe.write_all(word).await.context("tell the sweeper what to leave in place")?;
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
    match said == NOTHING {
        true => Ok(()),
        false => sweep::sweep(&args.dir, &spared, args.keep || said == KEEP),
    }
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
