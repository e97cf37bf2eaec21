//! The walreceiver as a process. Its view can be empty while the process lives on (F40), so both are looked at.

use super::error::{Error, Result};
use super::files::text;
use super::server::{PATIENCE, Server};
use rustix::process::{Pid, Signal};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a condition is looked at that nobody announces.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Server {
    /// Process id of the postmaster, by its pid file. It may be gone already.
    pub(super) fn postmaster(&self) -> Result<Option<Pid>> {
        let file = text(&self.layout().pgdata.join("postmaster.pid"))?;
        let number =
            file.as_deref().and_then(|file| file.lines().next()).and_then(|line| line.trim().parse().ok());
        Ok(number.and_then(Pid::from_raw))
    }

    /// True when a walreceiver process of this server exists.
    ///
    /// # Errors
    /// The process table cannot be read.
    pub fn has_receiver_process(&self) -> Result<bool> {
        Ok(self.receiver_process()?.is_some())
    }

    fn receiver_process(&self) -> Result<Option<Pid>> {
        let Some(postmaster) = self.postmaster()? else { return Ok(None) };
        let is_receiver = |pid: &u32| title(*pid).is_some_and(|title| title.contains("walreceiver"));
        let found = children(postmaster)?.into_iter().find(is_receiver);
        Ok(found.and_then(|pid| Pid::from_raw(pid.cast_signed())))
    }

    /// Ends the walreceiver, as PostgreSQL would. A reload alone does not where replay is paused or busy: the startup
    /// process ends an outdated receiver only when it next waits for WAL (tried). It flushes what it has. True when
    /// there was one.
    pub(super) fn end_receiver(&self) -> Result<bool> {
        let Some(receiver) = self.receiver_process()? else { return Ok(false) };
        match rustix::process::kill_process(receiver, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(true),
            Err(e) => {
                Err(Error::Refused(format!("may not end walreceiver {}: {e}", receiver.as_raw_nonzero())))
            }
        }
    }

    /// Waits until there is neither a walreceiver process nor a row in `pg_stat_wal_receiver`.
    ///
    /// # Errors
    /// `Silent` when one is still there at the deadline.
    pub async fn receiver_gone(&self, deadline: Duration) -> Result<()> {
        let until = Instant::now() + deadline;
        loop {
            let shown = self.ask("select count(*)::text from pg_stat_wal_receiver", PATIENCE).await?;
            let none_shown = shown.first().and_then(|row| row.first()?.as_deref()) == Some("0");
            if none_shown && !self.has_receiver_process()? {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Error::Silent { what: "the walreceiver to end".to_owned(), within: deadline });
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

fn children(parent: Pid) -> Result<Vec<u32>> {
    let parent = parent.as_raw_nonzero().get().unsigned_abs();
    if let Some(listed) = text(Path::new(&format!("/proc/{parent}/task/{parent}/children")))? {
        return Ok(listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect());
    }
    if !Path::new(&format!("/proc/{parent}")).exists() {
        return Ok(Vec::new());
    }
    // A kernel without that file.
    let proc = Path::new("/proc");
    let entries = fs::read_dir(proc).map_err(|e| Error::io("list", proc, &e))?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter(|&pid| parent_of(pid) == Some(parent)).collect())
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; state and parent follow it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// What the process calls itself; a zombie calls itself nothing.
fn title(pid: u32) -> Option<String> {
    let title = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&title).into_owned())
}
