//! What killed processes leave in the kernel: shared memory and control groups. The demo notes it before each kill in
//! a file of its directory, so that the sweeper knows of it even when the demo itself was killed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::control_group;
use crate::processes::Process;
use crate::shared_memory::SharedMemory;

const FILE: &str = "traces.json";

/// What to remove at the end.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    memory: SharedMemory,
    groups: BTreeSet<PathBuf>,
}

impl Traces {
    /// What was noted in the demo's directory; nothing when nothing was.
    pub fn load(dir: &Path) -> Traces {
        let text = fs::read(dir.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Replaces what stands in the demo's directory, in one step: a sweeper never reads half of it.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        let new = dir.join(format!("{FILE}.new"));
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, dir.join(FILE))
    }

    /// Adds what these living processes would leave if they were killed.
    pub fn note(&mut self, processes: &[Process]) {
        for process in processes.iter().filter(|process| process.program() == "postgres") {
            self.memory.note_maps_of(process.pid);
            self.groups.extend(control_group::of(process.pid));
        }
    }

    /// Adds the segment named by the `postmaster.pid` of a data directory whose PostgreSQL was killed before anybody
    /// looked.
    pub fn note_data_directory(&mut self, pgdata: &Path) {
        self.memory.note_pid_file(&pgdata.join("postmaster.pid"));
    }

    /// Removes all of it; gives a line for each thing that resists.
    pub fn remove(&self) -> Vec<String> {
        control_group::remove(&self.groups);
        self.memory.remove()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back_and_no_file_means_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Traces::load(dir.path()), Traces::default());
        let memory = SharedMemory { segments: [7].into(), files: ["/dev/shm/PostgreSQL.1".into()].into() };
        let traces = Traces { memory, groups: ["/sys/fs/cgroup/interrex-0".into()].into() };
        traces.save(dir.path()).unwrap();
        assert_eq!(Traces::load(dir.path()), traces);
    }
}
