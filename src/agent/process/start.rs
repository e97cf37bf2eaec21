//! Starting PostgreSQL under a new guard. The guard gets one end of a socket pair as standard input, so it has a client
//! from its first moment on, and nothing that happens to it or to PostgreSQL can be missed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::exit::Exit;
use super::find::{Met, meet};
use super::link::Link;
use super::running::Running;

/// Emptying the control group of a killed predecessor is all that may take the guard time.
const STARTED_WITHIN: Duration = Duration::from_secs(15);

/// What is to be started, and how. Nothing here is checked before the guard does it.
#[derive(Clone, Debug)]
pub struct StartSpec {
    /// The `interrex-guard` program.
    pub guard_bin: PathBuf,
    /// Where this guard is to be found later; at most 107 bytes.
    pub socket: PathBuf,
    /// User and group id that PostgreSQL runs as; its other groups are looked up. `None`: the agent's own user.
    pub run_as: Option<(u32, u32)>,
    /// Takes PostgreSQL's standard output and error; appended to.
    pub log: PathBuf,
    /// The `postgres` program.
    pub program: PathBuf,
    /// Its arguments; `-D` with the data directory must be among them.
    pub args: Vec<OsString>,
}

/// Why PostgreSQL does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The guard itself could not be started.
    #[error("cannot start the guard {}; is it installed next to interrex?", guard_bin.display())]
    Guard {
        /// The program.
        guard_bin: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The guard refused; PostgreSQL was not started.
    #[error("{line}")]
    Refused {
        /// The guard's own line.
        line: String,
    },
    /// PostgreSQL was started and is gone again, with everything.
    #[error("postgres {exit} right after its start; its reason stands in {}", log.display())]
    Exited {
        /// How.
        exit: Exit,
        /// Where PostgreSQL wrote its reason.
        log: PathBuf,
    },
    /// The guard says nothing. It was killed, and its PostgreSQL by that.
    #[error("the guard said nothing within {} s of its start and was killed", STARTED_WITHIN.as_secs())]
    NoAnswer,
    /// Talking to the guard failed.
    #[error("cannot talk to the guard just started")]
    Talk(#[source] io::Error),
}

/// Starts a guard and PostgreSQL below it, and returns when the `postgres` program runs (not: when it accepts
/// connections). Both outlive the agent. There is no deadline until [`Running::set_deadline`] sets one.
pub async fn start(spec: StartSpec) -> Result<Running, StartError> {
    let (link, theirs) = Link::pair().map_err(StartError::Talk)?;
    let mut child = spawn(&spec, theirs).await?;
    match tokio::time::timeout(STARTED_WITHIN, meet(link, &spec.socket)).await {
        Ok(Ok(Met::Running(running))) => {
            // Somebody has to take note of the guard's end, or it stays as a zombie. If this task ends with the
            // runtime, init takes over.
            tokio::spawn(async move { child.wait().await });
            Ok(running)
        }
        Ok(Ok(Met::Exited(exit))) => {
            let _ = child.wait().await;
            Err(StartError::Exited { exit, log: spec.log })
        }
        Ok(Ok(Met::Lost)) => Err(StartError::Refused { line: last_line(child).await }),
        Ok(Err(error)) => {
            let _ = child.kill().await;
            Err(StartError::Talk(error))
        }
        Err(_) => {
            let _ = child.kill().await;
            Err(StartError::NoAnswer)
        }
    }
}

async fn spawn(spec: &StartSpec, theirs: OwnedFd) -> Result<Child, StartError> {
    let mut command = Command::new(&spec.guard_bin);
    command.arg("--socket").arg(&spec.socket).arg("--log").arg(&spec.log);
    if let Some((uid, gid)) = spec.run_as {
        let groups: Vec<String> = groups_of(uid, gid).await.iter().map(u32::to_string).collect();
        command.arg("--run-as").arg(format!("{uid}:{}", groups.join(",")));
        for of_another_user in ["HOME", "USER", "LOGNAME", "MAIL"] {
            command.env_remove(of_another_user);
        }
    }
    // libpq, which a standby receives with, lets them override what the agent wrote into its settings: with a
    // PGPASSWORD of the shell that started the node no standby would stream.
    let of_clients =
        |name: &OsStr| name.as_bytes().starts_with(b"PG") && !name.as_bytes().starts_with(b"PG_");
    for (of_a_client, _) in std::env::vars_os().filter(|(name, _)| of_clients(name)) {
        command.env_remove(of_a_client);
    }
    // A PostgreSQL built for systemd would report itself to the agent's own supervisor.
    for of_the_agent in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        command.env_remove(of_the_agent);
    }
    command.arg("--").arg(&spec.program).args(&spec.args);
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
    // The command goes out of scope here, and with it our copy of the guard's end: the link's end is the guard's end.
    command.spawn().map_err(|source| StartError::Guard { guard_bin: spec.guard_bin.clone(), source })
}

/// The user's groups, its own first: a server key readable by group `ssl-cert` must stay readable. `id` knows every
/// source of groups the machine has; without it the user's own group has to do.
async fn groups_of(uid: u32, gid: u32) -> Vec<u32> {
    let mut groups = vec![gid];
    let told = Command::new("id").arg("-G").arg(uid.to_string()).stdin(Stdio::null()).output().await;
    if let Some(told) = told.ok().filter(|told| told.status.success()) {
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let all = text.split_ascii_whitespace().filter_map(|id| id.parse::<u32>().ok());
        groups.extend(all.filter(|id| *id != gid));
    }
    groups
}

/// What a guard that refused wrote before it ended.
async fn last_line(mut child: Child) -> String {
    let mut text = Vec::new();
    if let Some(stderr) = child.stderr.as_mut() {
        let _ = stderr.read_to_end(&mut text).await;
    }
    let status = child.wait().await;
    match String::from_utf8_lossy(&text).lines().last() {
        Some(line) => line.to_owned(),
        None => match status {
            Ok(status) => format!("interrex-guard ended without a word ({status})"),
            Err(error) => format!("interrex-guard ended without a word ({error})"),
        },
    }
}
