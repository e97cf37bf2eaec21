//! Which coordinators there are: those that the node file names, and those that coordinators told of. So agents go on when
//! coordinators are added or replaced, and nobody has to edit their files first.
//!
//! What was told is kept in `coordinators` beside the agent's other files, and holds after a restart. What the operator
//! wrote is never dropped, only added to; where the two differ, the operator is told.
//!
//! A group that was made anew out of one log (`coordinator recover`) takes the place of the one that it came from, for good:
//! a majority that starts with the old logs leads that one again, and its goals bear the same stamps as the new ones. So a
//! list names the groups that its own replaced, and the way back to them is closed, also to who never knew them.

use crate::instance::lock;
use crate::shelf::Shelf;
use interrex_api::dial::Target;
use interrex_api::session::{Roster, RosterId};
use interrex_cluster::ids::MachineName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
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
    /// Groups that were replaced. The first builds knew none.
    #[serde(default)]
    left: BTreeSet<String>,
}

/// The coordinators of one agent, shared by all of its instances.
#[derive(Debug)]
pub(crate) struct Coordinators {
    written: Vec<String>,
    shelf: Arc<dyn Shelf>,
    told: watch::Sender<Option<Roster>>,
    /// Groups that were replaced: nothing that they say counts any more.
    left: Mutex<BTreeSet<u64>>,
}

impl Coordinators {
    /// Those of the node file, and those that were told before.
    pub(crate) fn begin(shelf: Arc<dyn Shelf>, written: Vec<String>) -> Self {
        let read = read(&*shelf).unwrap_or_else(|why| {
            // It comes again with the first answer.
            let path = shelf.path(FILE);
            tracing::warn!("{}: {why}; only the coordinators of the node file are asked", path.display());
            None
        });
        let (told, left) = read.unzip();
        Self { written, shelf, told: watch::Sender::new(told), left: Mutex::new(left.unwrap_or_default()) }
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

    /// Whether the word of a coordinator of that group counts: of the group whose list is known. One that names none is of
    /// an older build, and is believed.
    pub(crate) fn counts(&self, group: Option<u64>) -> bool {
        group.zip(self.knows()).is_none_or(|(group, known)| group == known.group)
    }

    /// Whether that group was replaced by another one.
    pub(crate) fn left(&self, group: Option<u64>) -> bool {
        group.is_some_and(|group| lock(&self.left).contains(&group))
    }

    /// Takes note of a list: a newer one of the same group, or that of another one, whose leader tells it: the group
    /// known so far is left for good, and so is each that the list's own replaced.
    pub(crate) fn take(&self, roster: Roster) {
        self.told.send_if_modified(|told| {
            let known = told.as_ref().map(|known| known.id);
            let mut left = lock(&self.left);
            match known {
                _ if left.contains(&roster.id.group) => return false,
                Some(known) if known.group != roster.id.group => drop(left.insert(known.group)),
                Some(known) if known.index >= roster.id.index => return false,
                Some(_) | None => {}
            }
            left.extend(&roster.replaced);
            if let Err(error) = self.keep(&roster, &left) {
                tracing::warn!("the list of coordinators is not kept over a restart: {error}");
            }
            drop(left);
            let names = roster.coordinators.keys().map(MachineName::as_str).collect::<Vec<_>>().join(", ");
            tracing::info!("the coordinators are {names}");
            *told = Some(roster);
            for line in self.differing(told.as_ref()) {
                tracing::warn!("the node file's list of coordinators {line}; correct it at leisure");
            }
            true
        });
    }

    /// The same of a leader whose record may not have the instance: that one's group is gone over to only where it replaced
    /// the one that is known.
    pub(crate) fn hear(&self, roster: Roster) {
        let follows = |id: RosterId| id.group == roster.id.group || roster.replaced.contains(&id.group);
        if self.knows().is_none_or(follows) {
            self.take(roster);
        }
    }

    fn keep(&self, roster: &Roster, left: &BTreeSet<u64>) -> io::Result<()> {
        let kept = Kept {
            format: FORMAT,
            group: hex(roster.id.group),
            index: roster.id.index,
            coordinators: roster.coordinators.clone(),
            left: left.iter().map(|group| hex(*group)).collect(),
        };
        let mut text = serde_json::to_vec_pretty(&kept)?;
        text.push(b'\n');
        self.shelf.replace(FILE, &text)
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

fn hex(group: u64) -> String {
    format!("{group:016x}")
}

fn group(hex: &str) -> Result<u64, String> {
    u64::from_str_radix(hex, 16).map_err(|why| format!("group '{hex}': {why}"))
}

fn read(shelf: &dyn Shelf) -> Result<Option<(Roster, BTreeSet<u64>)>, String> {
    let Some(text) = shelf.read(FILE).map_err(|error| error.to_string())? else { return Ok(None) };
    let kept: Kept = serde_json::from_slice(&text).map_err(|why| format!("cannot be read: {why}"))?;
    if kept.format > FORMAT {
        return Err(format!("has format {}, this version knows up to {FORMAT}", kept.format));
    }
    let left = kept.left.iter().map(|left| group(left)).collect::<Result<_, _>>()?;
    let group = group(&kept.group)?;
    let bad = kept.coordinators.iter().find(|(name, at)| Target::of(at, Some(name.as_str())).is_err());
    if let Some((name, at)) = bad {
        return Err(format!("'{at}' of {name} is no host:port"));
    }
    let id = RosterId { group, index: kept.index };
    Ok(Some((Roster { id, coordinators: kept.coordinators, replaced: BTreeSet::new() }, left)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shelf::MemoryShelf;

    fn begin(shelf: &MemoryShelf) -> Coordinators {
        Coordinators::begin(Arc::new(shelf.clone()), written())
    }

    fn roster(group: u64, index: u64, all: &[(&str, &str)]) -> Roster {
        let coordinators = all.iter().map(|(name, at)| (name.parse().unwrap(), (*at).to_owned())).collect();
        Roster { id: RosterId { group, index }, coordinators, replaced: BTreeSet::new() }
    }

    fn written() -> Vec<String> {
        vec!["10.0.0.1:7400".to_owned(), "n2=10.0.0.2:7400".to_owned()]
    }

    #[test]
    fn what_was_told_is_added_kept_and_held_against_the_file() {
        let shelf = MemoryShelf::default();
        let coordinators = begin(&shelf);
        assert_eq!((coordinators.addresses(), coordinators.stale()), (written(), Vec::new()));
        let all = [("n2", "10.0.0.2:7400"), ("n4", "10.0.0.4:7400")];
        coordinators.take(roster(7, 30, &all));
        let addresses = ["10.0.0.1:7400", "n2=10.0.0.2:7400", "n4=10.0.0.4:7400"];
        assert_eq!(coordinators.addresses(), addresses);
        let stale = ["names 10.0.0.1:7400, which is none any more", "lacks n4=10.0.0.4:7400"];
        assert_eq!(coordinators.stale(), stale);
        let again = begin(&shelf);
        assert_eq!((again.addresses(), again.knows()), (coordinators.addresses(), coordinators.knows()));
    }

    #[test]
    fn an_older_list_of_the_same_group_is_not_taken_and_another_group_s_is() {
        let shelf = MemoryShelf::default();
        let coordinators = begin(&shelf);
        coordinators.take(roster(7, 30, &[("n4", "10.0.0.4:7400")]));
        coordinators.take(roster(7, 29, &[("n3", "10.0.0.3:7400")]));
        assert!(coordinators.addresses().contains(&"n4=10.0.0.4:7400".to_owned()));
        coordinators.take(roster(8, 12, &[("n3", "10.0.0.3:7400")]));
        assert_eq!(coordinators.addresses().last().map(String::as_str), Some("n3=10.0.0.3:7400"));
    }

    #[test]
    fn the_group_that_was_replaced_counts_for_nothing_any_more_not_even_after_a_restart() {
        let shelf = MemoryShelf::default();
        let coordinators = begin(&shelf);
        assert!(coordinators.counts(Some(7)) && coordinators.counts(None), "nothing is known yet");
        coordinators.take(roster(7, 30, &[("n2", "10.0.0.2:7400")]));
        assert!(coordinators.counts(Some(7)) && !coordinators.counts(Some(8)) && coordinators.counts(None));
        assert!(!coordinators.left(Some(8)), "its leader has yet to tell of it");
        coordinators.take(roster(8, 2, &[("n2", "10.0.0.2:7400")]));
        // Whoever has the old logs leads again.
        coordinators.take(roster(7, 31, &[("n3", "10.0.0.3:7400")]));
        for coordinators in [coordinators, begin(&shelf)] {
            assert_eq!(coordinators.knows(), Some(RosterId { group: 8, index: 2 }));
            assert!(
                coordinators.left(Some(7)) && !coordinators.counts(Some(7)) && coordinators.counts(Some(8))
            );
        }
    }

    #[test]
    fn a_list_closes_the_way_to_the_groups_that_its_own_replaced_also_to_who_never_knew_them() {
        let shelf = MemoryShelf::default();
        let coordinators = begin(&shelf);
        let newest = || Roster { replaced: [7, 8].into(), ..roster(9, 2, &[("n2", "10.0.0.2:7400")]) };
        coordinators.take(newest());
        coordinators.take(roster(8, 40, &[("n3", "10.0.0.3:7400")]));
        coordinators.take(roster(7, 50, &[("n4", "10.0.0.4:7400")]));
        for coordinators in [coordinators, begin(&shelf)] {
            assert_eq!(coordinators.knows(), Some(newest().id));
            assert!(coordinators.left(Some(7)) && coordinators.left(Some(8)) && !coordinators.left(Some(9)));
        }
    }

    #[test]
    fn who_lets_an_instance_wait_is_gone_over_to_only_where_its_group_replaced_the_known_one() {
        let shelf = MemoryShelf::default();
        let coordinators = begin(&shelf);
        let at_n2 = [("n2", "10.0.0.2:7400")];
        coordinators.hear(roster(7, 30, &at_n2));
        coordinators.hear(roster(5, 40, &at_n2));
        assert_eq!(coordinators.knows(), Some(RosterId { group: 7, index: 30 }), "a stranger");
        coordinators.hear(Roster { replaced: [7].into(), ..roster(8, 2, &at_n2) });
        assert_eq!(coordinators.knows(), Some(RosterId { group: 8, index: 2 }));
        assert!(coordinators.left(Some(7)));
    }

    #[test]
    fn the_list_of_an_older_build_is_read() {
        let shelf = MemoryShelf::default();
        let text =
            r#"{"format":1,"group":"0000000000000007","index":3,"coordinators":{"n2":"10.0.0.2:7400"}}"#;
        shelf.replace(FILE, text.as_bytes()).unwrap();
        let coordinators = begin(&shelf);
        assert_eq!(coordinators.knows(), Some(RosterId { group: 7, index: 3 }));
    }

    #[test]
    fn a_list_that_is_damaged_or_newer_keeps_nobody_from_starting() {
        let shelf = MemoryShelf::default();
        for text in ["{", r#"{"format":2,"group":"7","index":1,"coordinators":{}}"#] {
            shelf.replace(FILE, text.as_bytes()).unwrap();
            let coordinators = begin(&shelf);
            assert_eq!((coordinators.addresses(), coordinators.knows()), (written(), None), "{text}");
        }
    }
}
