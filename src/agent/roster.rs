//! Which coordinators there are: those that the node file names, and those that coordinators told of. So agents go on when
//! coordinators are added or replaced, and nobody has to edit their files first.
//!
//! What was told is kept in `coordinators` beside the agent's other files, and holds after a restart. What the operator
//! wrote is never dropped, only added to; where the two differ, the operator is told.

use crate::state::replace;
use interrex_api::dial::Target;
use interrex_api::session::{Roster, RosterId};
use interrex_cluster::ids::MachineName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};
use tokio::sync::watch;

const FILE: &str = "coordinators";
const FORMAT: u32 = 1;

/// The file: one JSON object.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// As hexadecimal digits: most readers of JSON would round the number.
    group: String,
    index: u64,
    coordinators: BTreeMap<MachineName, String>,
}

/// The coordinators of one agent, shared by all of its instances.
#[derive(Debug)]
pub(crate) struct Coordinators {
    written: Vec<String>,
    path: PathBuf,
    told: watch::Sender<Option<Roster>>,
}

impl Coordinators {
    /// Those of the node file, and those that were told before.
    pub(crate) fn begin(data_dir: &Path, written: Vec<String>) -> Self {
        let path = data_dir.join(FILE);
        let told = read(&path).unwrap_or_else(|why| {
            // It comes again with the first answer.
            tracing::warn!("{}: {why}; only the coordinators of the node file are asked", path.display());
            None
        });
        Self { written, path, told: watch::Sender::new(told) }
    }

    /// Whom to speak to, as a client takes it.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let mut all = self.written.clone();
        if let Some(told) = &*self.told.borrow() {
            let unknown = told.coordinators.iter().filter(|(_, address)| !names(&self.written, address));
            all.extend(unknown.map(|(machine, address)| format!("{machine}={address}")));
        }
        all
    }

    /// Follows changes.
    pub(crate) fn follow(&self) -> watch::Receiver<Option<Roster>> {
        self.told.subscribe()
    }

    /// The newest list that was told.
    pub(crate) fn knows(&self) -> Option<RosterId> {
        self.told.borrow().as_ref().map(|roster| roster.id)
    }

    /// Takes note of a list: a newer one of the same group, or another group's, whose leader tells it.
    pub(crate) fn take(&self, roster: Roster) {
        self.told.send_if_modified(|told| {
            let newer = told
                .as_ref()
                .is_none_or(|known| known.id.group != roster.id.group || known.id.index < roster.id.index);
            if !newer {
                return false;
            }
            if let Err(error) = self.keep(&roster) {
                tracing::warn!("the list of coordinators is not kept over a restart: {error}");
            }
            let names = roster.coordinators.keys().map(MachineName::as_str).collect::<Vec<_>>().join(", ");
            tracing::info!("the coordinators are {names}");
            *told = Some(roster);
            for line in self.differing(told.as_ref()) {
                tracing::warn!("the node file's list of coordinators {line}; correct it at leisure");
            }
            true
        });
    }

    fn keep(&self, roster: &Roster) -> io::Result<()> {
        let kept = Kept {
            format: FORMAT,
            group: format!("{:016x}", roster.id.group),
            index: roster.id.index,
            coordinators: roster.coordinators.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&kept)?;
        text.push(b'\n');
        replace(&self.path, &text, None).map_err(io::Error::other)
    }

    /// What the node file has wrong about the coordinators, a few words each; empty while nothing was told.
    pub(crate) fn stale(&self) -> Vec<String> {
        self.differing(self.told.borrow().as_ref())
    }

    fn differing(&self, told: Option<&Roster>) -> Vec<String> {
        let Some(told) = told else { return Vec::new() };
        let gone = self.written.iter().filter(|written| {
            !told.coordinators.values().any(|address| names(std::slice::from_ref(written), address))
        });
        let lacking = told.coordinators.iter().filter(|(_, address)| !names(&self.written, address));
        let gone = gone.map(|written| format!("names {written}, which is none any more"));
        gone.chain(lacking.map(|(machine, address)| format!("lacks {machine}={address}"))).collect()
    }
}

/// Whether one of the targets is at the address.
fn names(targets: &[String], address: &str) -> bool {
    let at = |target: &String| target.rsplit_once('=').map_or(target.as_str(), |(_, at)| at) == address;
    targets.iter().any(at)
}

fn read(path: &Path) -> Result<Option<Roster>, String> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let kept: Kept = serde_json::from_slice(&text).map_err(|why| format!("cannot be read: {why}"))?;
    if kept.format > FORMAT {
        return Err(format!("has format {}, this version knows up to {FORMAT}", kept.format));
    }
    let group = u64::from_str_radix(&kept.group, 16).map_err(|why| format!("group: {why}"))?;
    let bad = kept.coordinators.iter().find(|(name, at)| Target::of(at, Some(name.as_str())).is_err());
    if let Some((name, at)) = bad {
        return Err(format!("'{at}' of {name} is no host:port"));
    }
    Ok(Some(Roster { id: RosterId { group, index: kept.index }, coordinators: kept.coordinators }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(group: u64, index: u64, all: &[(&str, &str)]) -> Roster {
        let coordinators = all.iter().map(|(name, at)| (name.parse().unwrap(), (*at).to_owned())).collect();
        Roster { id: RosterId { group, index }, coordinators }
    }

    fn written() -> Vec<String> {
        vec!["10.0.0.1:7400".to_owned(), "n2=10.0.0.2:7400".to_owned()]
    }

    #[test]
    fn what_was_told_is_added_kept_and_held_against_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let coordinators = Coordinators::begin(dir.path(), written());
        assert_eq!((coordinators.addresses(), coordinators.stale()), (written(), Vec::new()));
        let all = [("n2", "10.0.0.2:7400"), ("n4", "10.0.0.4:7400")];
        coordinators.take(roster(7, 30, &all));
        let addresses = ["10.0.0.1:7400", "n2=10.0.0.2:7400", "n4=10.0.0.4:7400"];
        assert_eq!(coordinators.addresses(), addresses);
        let stale = ["names 10.0.0.1:7400, which is none any more", "lacks n4=10.0.0.4:7400"];
        assert_eq!(coordinators.stale(), stale);
        let again = Coordinators::begin(dir.path(), written());
        assert_eq!((again.addresses(), again.knows()), (coordinators.addresses(), coordinators.knows()));
    }

    #[test]
    fn an_older_list_of_the_same_group_is_not_taken_and_another_group_s_is() {
        let dir = tempfile::tempdir().unwrap();
        let coordinators = Coordinators::begin(dir.path(), written());
        coordinators.take(roster(7, 30, &[("n4", "10.0.0.4:7400")]));
        coordinators.take(roster(7, 29, &[("n3", "10.0.0.3:7400")]));
        assert!(coordinators.addresses().contains(&"n4=10.0.0.4:7400".to_owned()));
        coordinators.take(roster(8, 12, &[("n3", "10.0.0.3:7400")]));
        assert_eq!(coordinators.addresses().last().map(String::as_str), Some("n3=10.0.0.3:7400"));
    }

    #[test]
    fn a_list_that_is_damaged_or_newer_keeps_nobody_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["{", r#"{"format":2,"group":"7","index":1,"coordinators":{}}"#] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let coordinators = Coordinators::begin(dir.path(), written());
            assert_eq!((coordinators.addresses(), coordinators.knows()), (written(), None), "{text}");
        }
    }
}
