//! Killing what runs below us, found through /proc.
//!
//! The guard is a child subreaper: whoever loses its parent becomes the guard's own child. So it is enough to kill the
//! postmaster, its children and our own children, again and again, until `wait` says that there is no child left:
//! a process further down loses its parent by this and comes up. A process killed but not yet reaped keeps its
//! number, and the postmaster is killed first (so it reaps nobody any more): no number can go to a stranger between
//! reading and killing.

use std::ffi::CStr;
use std::fmt::Write;
use std::mem::MaybeUninit;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io;
use rustix::process::{Pid, Signal};

/// How the kernel lets us find children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// `/proc/PID/task/PID/children`: costs as much as there are children.
    Children,
    /// Every process of the machine is asked for its parent: for kernels without CONFIG_PROC_CHILDREN.
    Walk,
}

/// Kill, or go the same way without killing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// SIGKILL.
    Kill,
    /// Signal 0: proves at start that the way is open, and brings its pages into memory.
    Rehearse,
}

impl Lookup {
    /// What this kernel offers; an error when /proc cannot be read at all.
    pub(crate) fn available() -> io::Result<Self> {
        match open(c"/proc/self/task") {
            Ok(_) => Ok(if each_listed_child(rustix::process::getpid(), &mut |_| ()).is_ok() {
                Lookup::Children
            } else {
                Lookup::Walk
            }),
            Err(error) => Err(error),
        }
    }

    /// One round: the postmaster (unless it was reaped already), its children, our children. Returns how many were met.
    pub(crate) fn strike(self, postmaster: Option<Pid>, deed: Deed) -> usize {
        let mut met = 0;
        let mut hit = |pid: Pid| {
            met += 1;
            // Failing means that it is gone already; whether it is, `wait` decides, not this.
            let _ = match deed {
                Deed::Kill => rustix::process::kill_process(pid, Signal::KILL),
                Deed::Rehearse => rustix::process::test_kill_process(pid),
            };
        };
        if let Some(pid) = postmaster {
            hit(pid);
        }
        let parents = [postmaster, Some(rustix::process::getpid())];
        match self {
            Lookup::Children => {
                for parent in parents.into_iter().flatten() {
                    // A parent that is gone has no children: they are ours by now.
                    let _ = each_listed_child(parent, &mut hit);
                }
            }
            Lookup::Walk => {
                let _ = each_process(&mut |pid, parent| {
                    if parents.contains(&Some(parent)) {
                        hit(pid);
                    }
                });
            }
        }
        met
    }
}

fn open(path: &CStr) -> io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Calls `f` with every child of `parent`, as the kernel lists them.
fn each_listed_child(parent: Pid, f: &mut dyn FnMut(Pid)) -> io::Result<()> {
    let pid = parent.as_raw_nonzero();
    let path = Path::new(format_args!("/proc/{pid}/task/{pid}/children"));
    let file = open(path.as_c_str())?;
    let mut bytes = [0u8; 1024];
    let mut number = 0i32; // carried over from one read to the next: a number may lie across their border
    loop {
        let read = rustix::io::read(&file, &mut bytes)?;
        for byte in &bytes[..read] {
            if byte.is_ascii_digit() {
                number = number.wrapping_mul(10).wrapping_add(i32::from(byte - b'0'));
            } else if let Some(child) = Pid::from_raw(std::mem::take(&mut number)) {
                f(child);
            }
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// Calls `f` with every process of the machine and its parent.
fn each_process(f: &mut dyn FnMut(Pid, Pid)) -> io::Result<()> {
    let proc = open(c"/proc")?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut entries = RawDir::new(&proc, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or("");
        let Some(pid) = name.parse().ok().and_then(Pid::from_raw) else { continue };
        if let Some(parent) = parent_of(pid) {
            f(pid, parent);
        }
    }
    Ok(())
}

/// The fourth field of `/proc/PID/stat`; the second, the name, may itself hold spaces and brackets.
fn parent_of(pid: Pid) -> Option<Pid> {
    let path = Path::new(format_args!("/proc/{}/stat", pid.as_raw_nonzero()));
    let mut bytes = [0u8; 512];
    let read = rustix::io::read(open(path.as_c_str()).ok()?, &mut bytes).ok()?;
    let after_name = bytes[..read].iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(&bytes[after_name..read]).ok()?;
    Pid::from_raw(rest.split_ascii_whitespace().nth(1)?.parse().ok()?)
}

/// A short path on the stack, ended by a zero.
struct Path {
    bytes: [u8; 64],
    len: usize,
}

impl Path {
    fn new(text: std::fmt::Arguments<'_>) -> Self {
        let mut path = Path { bytes: [0; 64], len: 0 };
        // Every path made here has at most two numbers of ten digits, hence fits.
        let _ = path.write_fmt(text);
        path
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        if end >= self.bytes.len() {
            return Err(std::fmt::Error); // the last byte stays zero
        }
        self.bytes[self.len..end].copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_found_by_its_list_and_by_walking_proc() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let me = rustix::process::getpid();
        let mut walked = Vec::new();
        each_process(&mut |pid, parent| walked.push((pid, parent))).unwrap();
        // The list belongs to the thread that forked; the guard has one thread only, a test has several.
        let mut listed = Vec::new();
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let list = std::fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap();
        listed.extend(list.split_ascii_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(walked.contains(&(pid, me)));
        assert!(listed.contains(&pid.as_raw_nonzero().get()));
    }
}
