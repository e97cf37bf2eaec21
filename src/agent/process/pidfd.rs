//! Handles on processes that no reuse of a process id can turn to a stranger.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;

/// One process, for good. Whether it is the right one is to be checked *after* opening.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    fd: OwnedFd,
}

impl Process {
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a process id"))?;
        Ok(Self { pid, fd: rustix::process::pidfd_open(raw, PidfdFlags::empty())? })
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(self.fd.as_fd(), signal)?)
    }

    /// Returns when the process has ended.
    pub(super) async fn gone(&self) -> io::Result<()> {
        // A duplicate, for one descriptor cannot be registered twice and several may wait for one process.
        let fd = watched(self.fd.try_clone()?)?;
        fd.readable().await.map(|_| ())
    }
}

/// Has the runtime watch a descriptor.
#[allow(
    deprecated,
    reason = "what replaces it is unsafe for types whose descriptor may change; an OwnedFd's does not"
)]
pub(super) fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}
