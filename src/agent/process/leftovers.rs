//! The processes of a data directory, found without a guard: by working directory (the postmaster changes into its data
//! directory and every backend stays there) and by program (a person's shell may stand there too). They are compared
//! by device and inode, so neither links nor bind mounts nor a rename deceive.
//!
//! Only processes of our own PID namespace are seen (F32 is blind in the same way). `postmaster.pid` is read to know
//! whom to ask politely; it is never written or deleted (F32).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use interrex_guard::wire::DataDir;
use rustix::process::Signal;

use super::pidfd::Process;

/// A process of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its process id.
    pub pid: u32,
    /// `postmaster.pid` names it.
    pub postmaster: bool,
}

/// Why it cannot be said that nothing of a data directory runs.
#[derive(Debug, thiserror::Error)]
pub enum LeftoverError {
    /// The data directory itself is unreadable.
    #[error("cannot look at data directory {}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// /proc is unreadable.
    #[error("cannot read /proc; mount it, for without it no process can be seen")]
    Proc(#[source] io::Error),
    /// A server process hides its data directory from us.
    #[error(
        "cannot see which data directory process {pid} (postgres) works in; run the agent as that process's user, \
         or give it CAP_SYS_PTRACE"
    )]
    Hidden {
        /// The process.
        pid: u32,
    },
    /// Killed, and still there.
    #[error(
        "processes {pids:?} of data directory {} outlive SIGKILL for {} ms: they wait in the kernel, usually for a \
         disk that does not answer", path.display(), patience.as_millis()
    )]
    StillThere {
        /// The directory.
        path: PathBuf,
        /// Who is left.
        pids: Vec<u32>,
        /// How long was waited.
        patience: Duration,
    },
}

/// Every PostgreSQL process that works in `pgdata`, single-user mode and pg_rewind's child included.
pub fn leftovers(pgdata: &Path) -> Result<Vec<Leftover>, LeftoverError> {
    let postmaster = postmaster_pid(pgdata);
    let found = processes_of(identify(pgdata)?)?;
    Ok(found.iter().map(|p| Leftover { pid: p.pid, postmaster: Some(p.pid) == postmaster }).collect())
}

/// The one that speaks for all of them: the postmaster, or whichever is left without it.
pub fn foremost(found: &[Leftover]) -> Option<&Leftover> {
    found.iter().find(|process| process.postmaster).or(found.first())
}

/// Stops a PostgreSQL that has no guard: fast, then immediate, then every process killed; each way gets its share of
/// `patience` (a half, a quarter, a quarter), and every process counts, not only the postmaster. Does nothing when
/// nothing runs. Returns how many processes there were.
///
/// Not for a PostgreSQL whose guard lives: [`super::find`] that first.
pub async fn stop_unguarded(pgdata: &Path, patience: Duration) -> Result<usize, LeftoverError> {
    let dir = identify(pgdata)?;
    let found = processes_of(dir)?;
    let met = found.len();
    let postmaster = postmaster_pid(pgdata).and_then(|pid| found.iter().find(|p| p.pid == pid));
    // Without a postmaster nobody would hear a polite signal: what is left are orphaned backends.
    if let Some(postmaster) = postmaster {
        for (signal, share) in [(Signal::INT, patience / 2), (Signal::QUIT, patience / 4)] {
            let _ = postmaster.signal(signal);
            if tokio::time::timeout(share, all_gone(&found)).await.is_ok() {
                break;
            }
        }
    }
    match tokio::time::timeout(patience / 4, kill_all(dir)).await {
        Ok(result) => result.map(|()| met),
        Err(_) => {
            let pids: Vec<u32> = processes_of(dir)?.iter().map(|p| p.pid).collect();
            match pids.is_empty() {
                true => Ok(met),
                false => {
                    Err(LeftoverError::StillThere { path: pgdata.to_owned(), pids, patience: patience / 4 })
                }
            }
        }
    }
}

/// SIGKILL to every process of the directory, until a search finds none.
pub(super) async fn kill_all(dir: DataDir) -> Result<(), LeftoverError> {
    loop {
        let found = processes_of(dir)?;
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            let _ = process.signal(Signal::KILL); // fails only for one that is gone
        }
        all_gone(&found).await;
    }
}

async fn all_gone(processes: &[Process]) {
    for process in processes {
        // Waiting can fail only for want of descriptors; the search that follows decides anyway.
        let _ = process.gone().await;
    }
}

/// Whoever works in this directory as PostgreSQL right now.
pub(super) fn processes_of(dir: DataDir) -> Result<Vec<Process>, LeftoverError> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(LeftoverError::Proc)? {
        let entry = entry.map_err(LeftoverError::Proc)?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if works_in(pid, dir)? {
            // Looked at again once the handle is ours, for the first look may have been at a predecessor of that id.
            match Process::open(pid) {
                Ok(process) if works_in(pid, dir)? => found.push(process),
                _ => {} // gone meanwhile
            }
        }
    }
    Ok(found)
}

fn works_in(pid: u32, dir: DataDir) -> Result<bool, LeftoverError> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    // The kernel's own short name is readable for everybody and spares most processes the closer look.
    if !fs::read_to_string(proc.join("comm")).is_ok_and(|name| name.starts_with("postgres")) {
        return Ok(false);
    }
    let looked = fs::metadata(proc.join("cwd")).and_then(|cwd| Ok((cwd, fs::read_link(proc.join("exe"))?)));
    match looked {
        Ok((cwd, program)) => Ok((cwd.dev(), cwd.ino()) == (dir.dev, dir.ino) && is_postgres(&program)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let theirs = fs::metadata(&proc).is_ok_and(|meta| meta.uid() == dir.uid);
            if theirs { Err(LeftoverError::Hidden { pid }) } else { Ok(false) }
        }
        Err(_) => Ok(false), // gone meanwhile, or a zombie
    }
}

/// An upgraded package leaves the running program as `postgres (deleted)`.
fn is_postgres(program: &Path) -> bool {
    program.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("postgres"))
}

fn identify(pgdata: &Path) -> Result<DataDir, LeftoverError> {
    match fs::metadata(pgdata) {
        Ok(meta) => Ok(DataDir { dev: meta.dev(), ino: meta.ino(), uid: meta.uid() }),
        Err(source) => Err(LeftoverError::DataDir { path: pgdata.to_owned(), source }),
    }
}

/// The first line of `postmaster.pid`; negative in single-user mode.
fn postmaster_pid(pgdata: &Path) -> Option<u32> {
    let text = fs::read_to_string(pgdata.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().trim_start_matches('-').parse().ok()
}
