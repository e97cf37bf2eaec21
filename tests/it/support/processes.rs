//! Processes that work below a directory: whatever has it in its command line or as its working directory. That is
//! every process of a machine: node, guard, postmaster with all backends, and PostgreSQL's tools.
//!
//! A process is held by its pidfd, so that a signal never reaches another one that was given the same number.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A process that was alive when it was looked at.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Its arguments, blanks between; of PostgreSQL's children the title that they give themselves.
    pub(crate) command: String,
    fd: OwnedFd,
}

impl Process {
    /// Sends a signal; a process that has ended meanwhile hears nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(why) => panic!("signal {signal:?} to {} ({}): {why}", self.pid, self.command),
        }
    }

    /// True until it ends; a zombie has ended.
    pub(crate) fn alive(&self) -> bool {
        let at_once = rustix::event::Timespec::default();
        // A pidfd becomes readable when its process ends.
        let ended = poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&at_once));
        ended.unwrap() == 0
    }

    /// Whether a SIGTERM waits for it that it has not taken: it is stopped.
    pub(crate) fn is_told_to_end(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let masks = status.lines().filter(|line| line.starts_with("SigPnd") || line.starts_with("ShdPnd"));
        let bits = masks.filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok());
        // SIGTERM is 15.
        bits.fold(0, |all, mask| all | mask) & (1 << 14) != 0
    }
}

/// Every living process that works below `dir`, but never this one.
pub(crate) fn below(dir: &Path) -> Vec<Process> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let own = i32::try_from(std::process::id()).unwrap();
    pids.filter(|pid| *pid != own).filter_map(|pid| hold(pid, dir)).collect()
}

/// Its pidfd is opened before it is looked at, so what was seen is what is held.
fn hold(pid: i32, dir: &Path) -> Option<Process> {
    if !look(pid)?.is_below(dir) {
        return None;
    }
    let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let seen = look(pid).filter(|seen| seen.is_below(dir))?;
    let command = String::from_utf8_lossy(&seen.command).replace('\0', " ").trim().to_owned();
    Some(Process { pid, command, fd })
}

struct Seen {
    command: Vec<u8>,
    cwd: Option<PathBuf>,
}

/// `None` when it is gone, or dead and not yet reaped.
fn look(pid: i32) -> Option<Seen> {
    let at = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(at.join("stat")).ok()?;
    // The name stands in parentheses and may hold some itself.
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    Some(Seen { command: fs::read(at.join("cmdline")).ok()?, cwd: fs::read_link(at.join("cwd")).ok() })
}

impl Seen {
    fn is_below(&self, dir: &Path) -> bool {
        let (name, command) = (dir.as_os_str().as_bytes(), &self.command);
        let ends = |end: usize| matches!(command.get(end), None | Some(0 | b'/'));
        let named = (0..command.len()).any(|at| command[at..].starts_with(name) && ends(at + name.len()));
        named || self.cwd.as_ref().is_some_and(|cwd| cwd.starts_with(dir))
    }
}
