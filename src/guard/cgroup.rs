//! A control group (version 2) of PostgreSQL's own, where one may be made: `cgroup.kill` ends everything in it in one
//! write, whatever forks meanwhile. Where there is none (no cgroup v2, no permission, a kernel before 5.14) the guard
//! does without and says nothing: `descendants` gets to the same end.
//!
//! The group bears the socket's path in its name, so a guard finds and empties what a killed predecessor left behind.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

/// How long a predecessor's processes may take to vanish once killed.
const EMPTYING: Duration = Duration::from_secs(5);
/// How often a group that vanishes under our hands is made anew: whoever saw the predecessor die clears up once.
const TRIES: usize = 3;

/// An empty group, ready to take PostgreSQL.
pub(crate) struct Cgroup {
    dir: PathBuf,
    kill: OwnedFd,
}

impl Cgroup {
    /// Makes the group below our own. `Ok(None)`: not possible here. An error: a predecessor's processes do not die.
    pub(crate) fn create(socket: &Path) -> Result<Option<Self>, String> {
        let Some(dir) = group_of(socket) else { return Ok(None) };
        for _ in 0..TRIES {
            match fs::create_dir(&dir) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match empty(&dir)? {
                    Left::Empty => {}
                    Left::Removed => continue,
                },
                Err(_) => return Ok(None),
            }
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            match rustix::fs::open(dir.join("cgroup.kill"), flags, Mode::empty()) {
                Ok(kill) => return Ok(Some(Self { dir, kill })),
                Err(error) if is_removed(error) && !dir.exists() => {}
                Err(_) => {
                    let _ = fs::remove_dir(&dir);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// Takes a process in; false when the kernel does not allow it.
    pub(crate) fn take_in(&self, pid: Pid) -> bool {
        fs::write(self.dir.join("cgroup.procs"), pid.as_raw_nonzero().to_string()).is_ok()
    }

    /// SIGKILL to everything in the group. Failing is no disaster: the descendants are struck one by one as well.
    pub(crate) fn kill(&self) {
        let _ = rustix::io::write(&self.kill, b"1");
    }

    /// Removes the group, which must be empty by now.
    pub(crate) fn remove(self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Removes the group of a guard that was killed, should it be there and empty.
pub(crate) fn remove_abandoned(socket: &Path) {
    if let Some(dir) = group_of(socket) {
        let _ = fs::remove_dir(dir);
    }
}

/// Where the group of the guard with this socket is, or would be.
fn group_of(socket: &Path) -> Option<PathBuf> {
    Some(own_group()?.join(format!("interrex-{:016x}", fnv1a(socket.as_os_str().as_bytes()))))
}

/// What became of a predecessor's group.
enum Left {
    /// It is there, and nothing is in it.
    Empty,
    /// Somebody who saw the predecessor die removed it, which only an empty one can be.
    Removed,
}

/// Kills what a predecessor left in this group and waits until it is gone. The group's events file tells each change.
fn empty(dir: &Path) -> Result<Left, String> {
    let events = dir.join("cgroup.events");
    let until = std::time::Instant::now() + EMPTYING;
    let mut kill = fs::OpenOptions::new().write(true).open(dir.join("cgroup.kill")).ok();
    loop {
        let mut text = String::new();
        let read = fs::File::open(&events).and_then(|mut file| {
            file.read_to_string(&mut text)?;
            Ok(file)
        });
        let file = match read {
            Ok(file) => file,
            Err(error) if Errno::from_io_error(&error).is_some_and(is_removed) => return Ok(Left::Removed),
            Err(error) => return Err(format!("cannot read {}: {error}", events.display())),
        };
        if text.lines().any(|line| line == "populated 0") {
            return Ok(Left::Empty);
        }
        if let Some(kill) = &mut kill {
            let _ = kill.write_all(b"1");
        }
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Err(format!(
                "processes of an earlier PostgreSQL in {} do not die; look at its cgroup.procs",
                dir.display()
            ));
        }
        wait_for_change(&file, left);
    }
}

/// What the kernel says of a file whose group was removed: before it is opened, and once it is.
fn is_removed(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NODEV)
}

fn wait_for_change(file: &fs::File, at_most: Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(file, PollFlags::PRI)];
    let _ = poll(&mut fds, Timespec::try_from(at_most).ok().as_ref());
}

/// The directory of the version 2 group that we are in.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    directory(&groups, &mounts)
}

/// `/proc/self/cgroup` names the group from the hierarchy's root; `/proc/self/mountinfo` says where which part of the
/// hierarchy is mounted (in a container, only a part).
fn directory(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, mount_point) = (fields.next()?, fields.next()?);
        let below = kind.starts_with("cgroup2 ").then(|| group.strip_prefix(root).ok())??;
        Some(Path::new(mount_point).join(below))
    })
}

/// FNV-1a, 64 bit: a name that is the same in every build, which std's hashers do not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    const UNIFIED: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n\
                           30 23 0:27 / /sys rw - sysfs sysfs rw\n";

    #[test]
    fn the_group_of_a_service_is_found_below_the_mount() {
        let groups = "0::/system.slice/interrex.service\n";
        assert_eq!(
            directory(groups, UNIFIED),
            Some(PathBuf::from("/sys/fs/cgroup/system.slice/interrex.service"))
        );
    }

    #[test]
    fn a_container_that_sees_a_part_of_the_hierarchy_finds_itself_in_it() {
        let mounts = "29 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(directory("0::/docker/abc/x\n", mounts), Some(PathBuf::from("/sys/fs/cgroup/x")));
        assert_eq!(directory("0::/elsewhere\n", mounts), None);
    }

    #[test]
    fn a_machine_with_version_1_alone_has_none() {
        let mounts = "29 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(directory("2:cpu:/\n", mounts), None);
        assert_eq!(directory("0::/\n", mounts), None);
    }

    /// On a machine without version 2 of control groups there is nothing to race for.
    #[test]
    fn a_group_that_is_removed_and_made_all_the_time_stands_in_the_way_of_no_start() {
        let socket = PathBuf::from(format!("/nowhere/raced-for-{}", std::process::id()));
        let Some(dir) = group_of(&socket) else { return };
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let _ = fs::create_dir(&dir);
                    let _ = fs::remove_dir(&dir);
                }
            });
            let refused = (0..2_000).find_map(|_| Cgroup::create(&socket).err());
            over.store(true, Relaxed);
            assert_eq!(refused, None);
        });
        let _ = fs::remove_dir(&dir);
    }
}
