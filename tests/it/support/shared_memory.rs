//! Shared memory that a killed PostgreSQL leaves behind: a System V segment of a few bytes (its interlock) and files
//! in /dev/shm. One that starts again in the same directory clears them; one that never does, does not.

use super::processes::Process;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FILES: &str = "/dev/shm/PostgreSQL.";

/// What was seen in use.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory {
    segments: BTreeSet<u64>,
    files: BTreeSet<PathBuf>,
}

impl SharedMemory {
    /// Adds what these processes have mapped: `ADDRESSES PERMISSIONS OFFSET DEVICE INODE PATH`, where the inode of a
    /// System V segment is its id.
    pub(crate) fn note(&mut self, processes: &[Process]) {
        for process in processes {
            let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid)).unwrap_or_default();
            for line in maps.lines() {
                let mut fields = line.split_whitespace().skip(4);
                let (Some(inode), Some(path)) = (fields.next(), fields.next()) else { continue };
                if path.starts_with("/SYSV") {
                    self.segments.extend(inode.parse::<u64>());
                } else if path.starts_with(FILES) {
                    self.files.insert(path.into());
                }
            }
        }
    }

    /// Adds the segment that a `postmaster.pid` names: its seventh line is `KEY ID`.
    pub(crate) fn note_pid_file(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let id = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        self.segments.extend(id);
    }

    /// Removes what nobody is attached to any more. Files were mapped by processes of the town alone, and these are
    /// gone; a segment's number may have been given away meanwhile, hence the kernel is asked.
    pub(crate) fn remove(&self) {
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let unattached = table.lines().skip(1).filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(6) == Some(&"0")).then(|| fields.get(1)?.parse::<u64>().ok())?
        });
        for id in unattached.filter(|id| self.segments.contains(id)) {
            let _ = Command::new("ipcrm").args(["-m", &id.to_string()]).stderr(Stdio::null()).status();
        }
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}
