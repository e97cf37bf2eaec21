//! Programs that must not outlive whoever started them.

#![allow(
    unsafe_code,
    reason = "a step between fork and exec has no safe wrapper; the site says why it is sound"
)]

use rustix::io::Errno;
use rustix::process::Signal;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the kernel kill `command` with SIGKILL when the *thread* that starts it ends, hence with its process at the
/// latest. The signal is asked for after the change of user, which would take it away again, and a parent that died
/// meanwhile is found out.
pub fn die_with_starter(command: &mut Command) {
    let starter = rustix::process::getpid();
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(starter) {
            return Err(Errno::SRCH.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only two system calls are made; nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(bind) };
}
