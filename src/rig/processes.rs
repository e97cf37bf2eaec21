//! Which processes belong to a directory, and how to end them for certain.
//!
//! A process belongs to a directory when its command line names a path below it, or it works below it, and it is a
//! program of ours or of PostgreSQL; so do its descendants. The last condition keeps a person's shell or editor in a
//! kept directory alive. PostgreSQL's backends show no path on their command line, but they work in their data
//! directory. Signals go through a pidfd, so that a number that was given to somebody else meanwhile is never hit.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A living process that belongs to a directory.
#[derive(Debug)]
pub struct Process {
    /// Its number, which is its own as long as this value is held.
    pub pid: i32,
    /// Its program.
    pub exe: PathBuf,
    fd: OwnedFd,
}

impl Process {
    /// Its program's file name, also when that file was replaced by a newer build.
    pub fn program(&self) -> &str {
        let name = self.exe.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_suffix(" (deleted)").unwrap_or(name)
    }

    /// What it calls itself: of PostgreSQL's processes, what each is there for. Empty when it is gone.
    pub fn title(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()
    }

    /// Sends a signal; a process that is gone already does not mind.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => sent.map_err(io::Error::from),
        }
    }
}

/// Every process that belongs to `dir` and is not in `spared`.
///
/// # Errors
/// When /proc cannot be read.
pub fn of(dir: &Path, spared: &BTreeSet<i32>) -> io::Result<Vec<Process>> {
    let all = all()?;
    let mut ours: BTreeSet<i32> =
        all.iter().filter(|seen| seen.belongs_to(dir)).map(|seen| seen.pid).collect();
    ours.retain(|pid| !spared.contains(pid));
    loop {
        let child = |seen: &&Seen| {
            ours.contains(&seen.parent) && !ours.contains(&seen.pid) && !spared.contains(&seen.pid)
        };
        let children: Vec<i32> = all.iter().filter(child).map(|seen| seen.pid).collect();
        if children.is_empty() {
            break;
        }
        ours.extend(children);
    }
    Ok(all.into_iter().filter(|seen| ours.contains(&seen.pid)).filter_map(Seen::hold).collect())
}

/// This process and everyone above it.
pub fn self_and_ancestors() -> BTreeSet<i32> {
    let mut line = BTreeSet::new();
    let mut next = i32::try_from(std::process::id()).ok();
    while let Some(pid) = next.filter(|pid| *pid > 0 && line.insert(*pid)) {
        next = Seen::look(pid).map(|seen| seen.parent);
    }
    line
}

/// Waits until all of them are gone; false when some are still there after `at_most`.
pub fn wait_gone<'a>(processes: impl IntoIterator<Item = &'a Process>, at_most: Duration) -> bool {
    let until = Instant::now() + at_most;
    let mut left: Vec<&Process> = processes.into_iter().collect();
    while !left.is_empty() {
        let mut fds: Vec<_> = left.iter().map(|process| PollFd::new(&process.fd, PollFlags::IN)).collect();
        let patience = until.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            return false;
        }
        if poll(&mut fds, Timespec::try_from(patience).ok().as_ref()).is_ok() {
            let gone: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let mut gone = gone.into_iter();
            left.retain(|_| !gone.next().unwrap_or(false));
        }
    }
    true
}

/// A line of the process table.
struct Seen {
    pid: i32,
    parent: i32,
    /// Absent for the kernel's threads and for what we may not look at.
    exe: Option<PathBuf>,
    cwd: Option<PathBuf>,
    command_line: Vec<u8>,
}

fn all() -> io::Result<Vec<Seen>> {
    let entries = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(entries.filter_map(Seen::look).collect())
}

impl Seen {
    /// `None` when it is gone, or dead and not yet reaped.
    fn look(pid: i32) -> Option<Seen> {
        let at = PathBuf::from(format!("/proc/{pid}"));
        let stat = fs::read_to_string(at.join("stat")).ok()?;
        let (state, parent) = state_and_parent(&stat)?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        Some(Seen {
            pid,
            parent,
            exe: fs::read_link(at.join("exe")).ok(),
            cwd: fs::read_link(at.join("cwd")).ok(),
            command_line: fs::read(at.join("cmdline")).unwrap_or_default(),
        })
    }

    fn belongs_to(&self, dir: &Path) -> bool {
        let here =
            self.cwd.as_ref().is_some_and(|cwd| cwd.starts_with(dir)) || names(&self.command_line, dir);
        here && self.exe.as_deref().is_some_and(is_of_ours_or_postgresql)
    }

    /// With a pidfd in hand the process is looked at once more: it is the one that was seen, or none.
    fn hold(self) -> Option<Process> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        let again = Seen::look(self.pid)?;
        let exe = self.exe?;
        (again.exe.as_ref() == Some(&exe)).then_some(Process { pid: self.pid, exe, fd })
    }
}

/// `PID (NAME) STATE PARENT …`; the name may hold anything, parentheses included.
fn state_and_parent(stat: &str) -> Option<(&str, i32)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?, fields.next()?.parse().ok()?))
}

/// True when `dir` or a path below it stands in a command line.
fn names(command_line: &[u8], dir: &Path) -> bool {
    let dir = dir.as_os_str().as_bytes();
    let ends_there = |end: usize| matches!(command_line.get(end), None | Some(0 | b'/'));
    let at = |begin: usize| command_line[begin..].starts_with(dir) && ends_there(begin + dir.len());
    !dir.is_empty() && (0..command_line.len()).any(at)
}

fn is_of_ours_or_postgresql(exe: &Path) -> bool {
    let named = |name: &std::ffi::OsStr| name.as_bytes().starts_with(b"interrex");
    exe.file_name().is_some_and(named) || exe.parent().is_some_and(|bin| bin.join("postgres").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A program that counts as ours and sleeps, with a child that does not count by itself.
    fn program(dir: &Path, name: &str) -> Child {
        crate::program::program(dir, name, Path::new("/"), "sleep 60; :")
    }

    fn found(dir: &Path, wanted: impl Fn(&[Process]) -> bool) -> Vec<Process> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let found = of(dir, &self_and_ancestors()).unwrap();
            if wanted(&found) {
                return found;
            }
            assert!(Instant::now() < until, "found {found:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_program_of_ours_is_found_by_its_command_line_with_its_children_and_dies() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = program(dir.path(), "interrex-sh");
        let both =
            found(dir.path(), |found| found.iter().any(|p| p.program() == "sleep") && found.len() == 2);
        assert!(both.iter().any(|process| process.program() == "interrex-sh"));
        assert!(both.iter().any(|process| process.title() == "sleep 60"), "{both:?}");
        assert!(!wait_gone(&both, Duration::from_millis(1)));
        both.iter().for_each(|process| process.signal(Signal::KILL).unwrap());
        assert!(wait_gone(&both, Duration::from_secs(10)));
        // Dead and not reaped: it counts no more.
        found(dir.path(), <[Process]>::is_empty);
        child.wait().unwrap();
        both[0].signal(Signal::KILL).unwrap();
    }

    #[test]
    fn a_stranger_in_the_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut stranger = Command::new("sleep").arg("60").current_dir(dir.path()).spawn().unwrap();
        let mut ours = program(dir.path(), "interrex");
        let both = found(dir.path(), |found| found.len() == 2);
        assert!(both.iter().all(|process| Some(process.pid) != i32::try_from(stranger.id()).ok()));
        both.iter().for_each(|process| process.signal(Signal::KILL).unwrap());
        ours.wait().unwrap();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn who_is_spared_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = program(dir.path(), "interrex");
        let both = found(dir.path(), |found| found.len() == 2);
        let spared = both.iter().map(|process| process.pid).collect();
        assert!(of(dir.path(), &spared).unwrap().is_empty());
        both.iter().for_each(|process| process.signal(Signal::KILL).unwrap());
        child.wait().unwrap();
    }

    #[test]
    fn a_directory_is_not_taken_for_one_whose_name_begins_alike() {
        let dir = Path::new("/tmp/demo/n1");
        for (line, expected) in [
            ("node\0-c\0/tmp/demo/n1/node.toml\0", true),
            ("x\0--dir=/tmp/demo/n1\0", true),
            ("x\0/tmp/demo/n11/node.toml\0", false),
            ("x\0/tmp/demo\0", false),
            ("", false),
        ] {
            assert_eq!(names(line.as_bytes(), dir), expected, "{line:?}");
        }
    }

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_parent() {
        assert_eq!(state_and_parent("12 (a) b) S 7 12 12 0 -1"), Some(("S", 7)));
        assert_eq!(state_and_parent("nonsense"), None);
    }

    #[test]
    fn the_line_of_ancestors_begins_with_this_process_and_reaches_the_first() {
        let line = self_and_ancestors();
        assert!(line.contains(&i32::try_from(std::process::id()).unwrap()));
        assert!(line.len() >= 2);
    }
}
