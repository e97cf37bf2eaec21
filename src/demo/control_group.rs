//! Control groups that a killed guard leaves behind, empty. A guard that ends by itself removes its own, one that
//! starts again on the same socket takes it over; after a sweep there is no next one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The group that a process is in, if a guard made it.
pub(crate) fn of(pid: i32) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    made_by_a_guard(&groups, &mounts)
}

/// Removes those that are still there. One in which somebody lives resists, and rightly so.
pub(crate) fn remove(groups: &BTreeSet<PathBuf>) {
    for group in groups {
        let _ = fs::remove_dir(group);
    }
}

/// A guard names its group `interrex-` and sixteen hex digits.
fn made_by_a_guard(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
    let digits = group.file_name()?.to_str()?.strip_prefix("interrex-")?;
    if digits.len() != 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    // `ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS… - TYPE …`
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(3);
        let (root, mount) = (fields.next()?, fields.next()?);
        if !right.starts_with("cgroup2 ") {
            return None;
        }
        Some(Path::new(mount).join(group.strip_prefix(root).ok()?))
    })
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
