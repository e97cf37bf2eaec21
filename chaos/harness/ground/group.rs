//! A control group for each machine: everything that is started on it is in there, whatever it forks, and can be frozen
//! at once. Version 2 where this process's group lets us make one below it, else version 1's freezer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use interrex_rig::Patience;
use interrex_rig::control_group::{Hierarchy, own};

const FREEZER: Hierarchy = Hierarchy::One("freezer");
/// The kernel freezes at the next return to user space.
const FREEZING: Duration = Duration::from_secs(10);

/// The groups of a run.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    root: PathBuf,
    hierarchy: Hierarchy,
}

impl Groups {
    /// Makes the group that holds those of the machines.
    pub(crate) fn make(run: &str) -> anyhow::Result<Groups> {
        let mut refused = Vec::new();
        for hierarchy in [Hierarchy::Two, FREEZER] {
            let Some(groups) = Groups::of(run, hierarchy) else { continue };
            match fs::create_dir(&groups.root) {
                Ok(()) => return Ok(groups),
                Err(error) => refused.push(format!("{}: {error}", groups.root.display())),
            }
        }
        bail!(
            "no control group can be made ({}); mount cgroup2 writable, or version 1's freezer",
            if refused.is_empty() { "none is mounted".to_owned() } else { refused.join("; ") }
        )
    }

    fn of(run: &str, hierarchy: Hierarchy) -> Option<Groups> {
        Some(Groups { root: own(hierarchy)?.join(run), hierarchy })
    }

    /// Makes a machine's.
    pub(crate) fn add(&self, machine: &str) -> anyhow::Result<()> {
        let dir = self.root.join(machine);
        fs::create_dir(&dir).with_context(|| format!("make the control group {}", dir.display()))
    }

    /// A machine's.
    pub(crate) fn machine(&self, name: &str) -> Group {
        Group { dir: self.root.join(name), hierarchy: self.hierarchy }
    }
}

/// What a run may have left, in whichever hierarchy: lets everything run again, so that it can end.
pub(crate) fn thaw(run: &str) {
    for groups in [Hierarchy::Two, FREEZER].into_iter().filter_map(|hierarchy| Groups::of(run, hierarchy)) {
        for entry in fs::read_dir(&groups.root).into_iter().flatten().flatten() {
            // What is no group has no such file.
            let _ = Group { dir: entry.path(), hierarchy: groups.hierarchy }.thaw();
        }
    }
}

/// Removes what a run has left; a line for each group that resists.
pub(crate) fn remove(run: &str) -> Vec<String> {
    let all = [Hierarchy::Two, FREEZER].into_iter().filter_map(|hierarchy| Groups::of(run, hierarchy));
    all.filter_map(|groups| remove_below(&groups.root).err()).collect()
}

/// The innermost first: a guard makes one of its own below its machine's.
fn remove_below(dir: &Path) -> Result<(), String> {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("the control group {} cannot be removed: {error}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// One machine's.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    dir: PathBuf,
    hierarchy: Hierarchy,
}

impl Group {
    /// Who writes 0 here is in the group.
    pub(crate) fn procs(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Stops everything in it, and returns once all of it stands still.
    pub(crate) async fn freeze(&self) -> anyhow::Result<()> {
        self.order("1", "FROZEN")?;
        let patience = Patience::new(format!("{} to freeze", self.dir.display()), FREEZING);
        while !self.is_frozen()? {
            patience.pause("").await?;
        }
        Ok(())
    }

    /// Lets everything in it go on.
    pub(crate) fn thaw(&self) -> anyhow::Result<()> {
        self.order("0", "THAWED")
    }

    /// All of it stands still, says the kernel.
    pub(crate) fn is_frozen(&self) -> anyhow::Result<bool> {
        match self.hierarchy {
            Hierarchy::Two => self.says("cgroup.events", "frozen 1"),
            Hierarchy::One(_) => self.says("freezer.state", "FROZEN"),
        }
    }

    /// Nobody is in it.
    pub(crate) fn is_empty(&self) -> anyhow::Result<bool> {
        match self.hierarchy {
            Hierarchy::Two => self.says("cgroup.events", "populated 0"),
            Hierarchy::One(_) => Ok(self.read("cgroup.procs")?.is_empty()),
        }
    }

    fn order(&self, two: &str, one: &str) -> anyhow::Result<()> {
        let (file, word) = match self.hierarchy {
            Hierarchy::Two => ("cgroup.freeze", two),
            Hierarchy::One(_) => ("freezer.state", one),
        };
        let path = self.dir.join(file);
        fs::write(&path, word).with_context(|| format!("write {word} to {}", path.display()))
    }

    fn says(&self, file: &str, line: &str) -> anyhow::Result<bool> {
        Ok(self.read(file)?.lines().any(|said| said == line))
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = self.dir.join(file);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper(group: &Group) -> Child {
        let script = "echo 0 > \"$0\" && exec sleep 60";
        Command::new("sh").args(["-c", script]).arg(group.procs()).spawn().unwrap()
    }

    /// Wherever this machine lets us make groups; says so where it does not.
    #[tokio::test]
    async fn what_is_in_a_group_is_frozen_and_thawed_in_either_version() {
        for hierarchy in [Hierarchy::Two, FREEZER] {
            let run = format!("interrex-chaos-scene-{}-{}", std::process::id(), hierarchy == FREEZER);
            let Some(groups) = Groups::of(&run, hierarchy) else {
                eprintln!("skipped: {hierarchy:?} is not mounted here");
                continue;
            };
            if let Err(error) = fs::create_dir(&groups.root) {
                eprintln!("skipped: {}: {error}", groups.root.display());
                continue;
            }
            groups.add("n1").unwrap();
            let group = groups.machine("n1");
            assert!(group.is_empty().unwrap());
            let mut child = sleeper(&group);
            let patience = Patience::new("the sleeper to be in its group", FREEZING);
            while group.is_empty().unwrap() {
                patience.pause("").await.unwrap();
            }
            group.freeze().await.unwrap();
            assert!(group.is_frozen().unwrap());
            // What `clean` does to a run that was killed while it had frozen a machine.
            thaw(&run);
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(remove(&run), Vec::<String>::new());
            assert!(!groups.root.exists());
        }
    }
}
