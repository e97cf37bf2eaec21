//! Shared memory that PostgreSQL leaves behind when it is killed: a System V segment of a few bytes (its interlock)
//! and files in /dev/shm. A PostgreSQL that starts again in the same directory clears them; one that never does, does
//! not. Noted while the processes live, removed once nobody is attached.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

const FILES: &str = "/dev/shm/PostgreSQL.";

/// What was seen mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedMemory {
    /// Ids of System V segments.
    pub(crate) segments: BTreeSet<u64>,
    /// Files in /dev/shm.
    pub(crate) files: BTreeSet<PathBuf>,
}

impl SharedMemory {
    /// Adds what a process has mapped; nothing when it is gone or not ours to look at.
    pub(crate) fn note_maps_of(&mut self, pid: i32) {
        if let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) {
            self.note_maps(&maps);
        }
    }

    /// Adds the segment that a `postmaster.pid` names: its seventh line is `KEY ID`.
    pub(crate) fn note_pid_file(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let id: Option<u64> =
            text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        self.segments.extend(id);
    }

    /// `ADDRESSES PERMISSIONS OFFSET DEVICE INODE PATH`; the inode of a System V segment is its id.
    fn note_maps(&mut self, maps: &str) {
        for line in maps.lines() {
            let mut fields = line.split_whitespace().skip(4);
            let (Some(inode), Some(path)) = (fields.next(), fields.next()) else { continue };
            if path.starts_with("/SYSV") {
                self.segments.extend(inode.parse::<u64>());
            } else if path.starts_with(FILES) && fields.next().is_none() {
                self.files.insert(path.into());
            }
        }
    }

    /// Removes what nobody is attached to; gives a line for each thing that resists.
    pub(crate) fn remove(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.segments.is_empty() {
            let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
            let idle = unattached(&table);
            problems.extend(self.segments.intersection(&idle).filter_map(|id| remove_segment(*id).err()));
        }
        let in_use = if self.files.is_empty() { SharedMemory::default() } else { mapped_by_anyone() };
        for file in self.files.difference(&in_use.files) {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    problems.push(format!("{} cannot be removed: {error}", file.display()));
                }
                _ => {}
            }
        }
        problems
    }
}

fn mapped_by_anyone() -> SharedMemory {
    let mut seen = SharedMemory::default();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).for_each(|pid| seen.note_maps_of(pid));
    seen
}

/// Segments of the kernel's table that no process has attached.
fn unattached(table: &str) -> BTreeSet<u64> {
    let mut lines = table.lines();
    let Some(header) = lines.next() else { return BTreeSet::new() };
    let column = |name| header.split_whitespace().position(|word| word == name);
    let (Some(id), Some(attached)) = (column("shmid"), column("nattch")) else { return BTreeSet::new() };
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (*fields.get(attached)? == "0").then(|| fields.get(id)?.parse().ok())?
    };
    lines.filter_map(read).collect()
}

fn remove_segment(id: u64) -> Result<(), String> {
    let ran = Command::new("ipcrm").args(["-m", &id.to_string()]).stdin(Stdio::null()).output();
    match ran {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("shared memory segment {id} cannot be removed: {}", said.trim()))
        }
        Err(error) => Err(format!("shared memory segment {id} cannot be removed: ipcrm: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_files_are_read_from_a_process_s_maps() {
        let mut seen = SharedMemory::default();
        seen.note_maps(
            "7f00-7f01 rw-s 00000000 00:01 2359356                    /SYSV00990022 (deleted)\n\
             7f01-7f02 rw-s 00000000 00:18 12                         /dev/shm/PostgreSQL.3414621376\n\
             7f02-7f03 rw-s 00000000 00:18 13                         /dev/shm/PostgreSQL.7 (deleted)\n\
             7f03-7f04 rw-s 00000000 00:01 1026                       /dev/zero (deleted)\n\
             7f04-7f05 rw-p 00000000 00:00 0 \n",
        );
        assert_eq!(seen.segments, [2_359_356].into());
        assert_eq!(seen.files, [PathBuf::from("/dev/shm/PostgreSQL.3414621376")].into());
    }

    #[test]
    fn the_kernel_s_table_tells_what_nobody_is_attached_to() {
        let table = "       key      shmid perms                  size  cpid  lpid nattch   uid\n\
                     10027026    2359356   600                    56  9462 10748      8   101\n\
                     10038018    2359358   600                    56  9846 10146      0   101\n";
        assert_eq!(unattached(table), [2_359_358].into());
        assert_eq!(unattached(""), BTreeSet::new());
    }

    #[test]
    fn a_pid_file_names_the_segment_that_a_killed_postmaster_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postmaster.pid");
        fs::write(&path, "71\n/pg\n1700000000\n5432\n/run\n127.0.0.1\n 10027026   2359356\nready   \n")
            .unwrap();
        let mut seen = SharedMemory::default();
        seen.note_pid_file(&path);
        seen.note_pid_file(&dir.path().join("none"));
        assert_eq!(seen.segments, [2_359_356].into());
    }

    #[test]
    fn a_file_that_nobody_maps_is_removed_and_one_that_is_gone_is_no_problem() {
        let file = PathBuf::from(format!("{FILES}interrex-demo-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        let seen = SharedMemory { files: [file.clone()].into(), ..SharedMemory::default() };
        assert_eq!(seen.remove(), Vec::<String>::new());
        assert!(!file.exists());
        assert_eq!(seen.remove(), Vec::<String>::new());
    }
}
