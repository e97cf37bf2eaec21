//! Control groups: where this process's own lies, and those that a killed guard leaves behind, empty. A guard that ends
//! by itself removes its own, one that starts again on the same socket takes it over; after a sweep there is no next one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The group that a process is in, if a guard made it.
pub fn of(pid: i32) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    made_by_a_guard(&groups, &mounts)
}

/// Removes those that are still there. One in which somebody lives resists, and rightly so.
pub fn remove(groups: &BTreeSet<PathBuf>) {
    for group in groups {
        let _ = fs::remove_dir(group);
    }
}

/// Which of the kernel's hierarchies of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// Version 2, the unified one.
    Two,
    /// Version 1, the one with this controller.
    One(&'static str),
}

/// Where the group that this process is in lies in the file system; `None` where there is no such hierarchy.
pub fn own(hierarchy: Hierarchy) -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    directory(group_in(&groups, hierarchy)?, &mounts, hierarchy)
}

/// `NUMBER:CONTROLLERS:GROUP`; version 2 has the number 0 and no controllers.
fn group_in(groups: &str, hierarchy: Hierarchy) -> Option<&Path> {
    groups.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, group) = line.split_once(':')?;
        let here = match hierarchy {
            Hierarchy::Two => controllers.is_empty(),
            Hierarchy::One(name) => controllers.split(',').any(|controller| controller == name),
        };
        here.then_some(Path::new(group))
    })
}

/// `ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS… - TYPE SOURCE OPTIONS`
fn directory(group: &Path, mounts: &str, hierarchy: Hierarchy) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(3);
        let (root, mount) = (fields.next()?, fields.next()?);
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1).unwrap_or_default());
        let here = match hierarchy {
            Hierarchy::Two => kind == "cgroup2",
            Hierarchy::One(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        here.then(|| group.strip_prefix(root).ok().map(|below| Path::new(mount).join(below)))?
    })
}

/// A guard names its group `interrex-` and sixteen hex digits.
fn made_by_a_guard(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = group_in(groups, Hierarchy::Two)?;
    let digits = group.file_name()?.to_str()?.strip_prefix("interrex-")?;
    if digits.len() != 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    directory(group, mounts, Hierarchy::Two)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_guard_s_group_is_found_below_the_mount() {
        let groups = "0::/user.slice/interrex-0123456789abcdef\n";
        let expected = "/sys/fs/cgroup/user.slice/interrex-0123456789abcdef";
        assert_eq!(made_by_a_guard(groups, MOUNTS), Some(expected.into()));
    }

    #[test]
    fn a_group_is_found_in_its_own_hierarchy_alone() {
        let mounts = "31 23 0:27 / /cg/freezer rw - cgroup cgroup rw,freezer\n32 23 0:28 / /cg/v2 rw - cgroup2 none rw\n";
        let groups = "7:cpu,freezer:/a\n0::/b\n";
        let at = |hierarchy| directory(group_in(groups, hierarchy).unwrap(), mounts, hierarchy);
        assert_eq!(at(Hierarchy::One("freezer")), Some("/cg/freezer/a".into()));
        assert_eq!(at(Hierarchy::Two), Some("/cg/v2/b".into()));
        assert_eq!(at(Hierarchy::One("cpu")), None, "no mount has it");
        assert_eq!(group_in(groups, Hierarchy::One("pids")), None);
    }

    #[test]
    fn no_other_group_is_ever_touched() {
        for groups in [
            "0::/user.slice\n",
            "0::/interrex-demo.service\n",
            "1:cpu:/interrex-0123456789abcdef\n",
            "0::/\n",
        ] {
            assert_eq!(made_by_a_guard(groups, MOUNTS), None, "{groups}");
        }
        assert_eq!(
            made_by_a_guard("0::/interrex-0123456789abcdef", "1 1 0:1 / /proc rw - proc proc rw"),
            None
        );
    }
}
