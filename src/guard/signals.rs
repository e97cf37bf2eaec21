//! Signals as data: everything is blocked and read from a signalfd, so no handler ever interrupts the one thread.
//! The child gets a clean mask back before it becomes PostgreSQL.
#![allow(
    unsafe_code,
    reason = "signal masks and signalfd have no safe wrapper in rustix; each site says why it is sound"
)]

use std::mem::MaybeUninit;

use rustix::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io;

/// What a signal asks of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A child changed its state.
    Child,
    /// SIGTERM or SIGINT: PostgreSQL is to shut down fast.
    StopFast,
    /// SIGQUIT: PostgreSQL is to shut down at once.
    StopImmediately,
    /// A signal without a meaning here.
    Nothing,
}

/// The blocked signals of this process, readable as a file descriptor.
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Blocks every signal and opens the descriptor. Before the fork, or an early SIGCHLD is lost.
    pub(crate) fn block_all() -> io::Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises the set it is given; the mask and the descriptor take a pointer to that
        // initialised set, which lives until the end of this function; the descriptor returned is owned by nobody else.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            if libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(last_error());
            }
            let fd = libc::signalfd(-1, all.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(last_error());
            }
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// The next signal that came in, if any.
    pub(crate) fn next(&self) -> Option<Heard> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        let read = rustix::io::read(&self.0, &mut info).ok()?;
        // `ssi_signo` is the first field, a u32 in native order.
        let number =
            info.first_chunk::<4>().filter(|_| read == info.len()).map(|b| u32::from_ne_bytes(*b))?;
        Some(match i32::try_from(number) {
            Ok(libc::SIGCHLD) => Heard::Child,
            Ok(libc::SIGTERM | libc::SIGINT) => Heard::StopFast,
            Ok(libc::SIGQUIT) => Heard::StopImmediately,
            _ => Heard::Nothing,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// In the child: nothing blocked, and SIGPIPE as PostgreSQL and its archive commands expect it (Rust ignores it,
/// and an ignored signal stays ignored across exec).
pub(crate) fn restore_in_child() {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set before it is read; both calls are async-signal-safe, and SIG_DFL is
    // no function of ours that could be called.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

fn last_error() -> io::Errno {
    io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(io::Errno::INVAL)
}
