//! Which coordinators there are: those that the node file names, and those that coordinators told of. So agents go on when
//! coordinators are added or replaced, and nobody has to edit their files first.
//!
//! What was told is kept in `coordinators` beside the agent's other files, and holds after a restart. What the operator
//! wrote is never dropped, only added to; where the two differ, the operator is told.
//!
//! A group that was made anew out of one log (`coordinator recover`) takes the place of the one that it came from, for good:
//! a majority that starts with the old logs leads that one again, and its goals bear the same stamps as the new ones. So a
//! list names the groups that its own replaced, and the way back to them is closed, also to who never knew them.
//!
//! Nobody who asks waits for the disk: one task writes, and what it holds meanwhile is said at [`Coordinators::take`].

use crate::instance::lock;
use crate::shelf::Shelf;
use interrex_api::session::{Roster, RosterId};
use interrex_cluster::ids::MachineName;
use interrex_cluster::mutants::{self, Mutant};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod file;

/// The coordinators of one agent, shared by all of its instances.
#[derive(Debug)]
pub(crate) struct Coordinators {
    written: Vec<String>,
    shelf: Arc<dyn Shelf>,
    told: watch::Sender<Option<Roster>>,
    /// Groups that were replaced: nothing that they say counts any more.
    left: Mutex<BTreeSet<u64>>,
    due: Mutex<Due>,
}

/// What is yet to be put on disk.
#[derive(Debug, Default)]
struct Due {
    list: Option<Roster>,
    /// Somebody is at it.
    writing: bool,
    /// What kept the last attempt from it: logged once, not with each report.
    failed: String,
}

impl Coordinators {
    /// Those of the node file, and those that were told before.
    pub(crate) fn begin(shelf: Arc<dyn Shelf>, written: Vec<String>) -> Self {
        let read = file::read(&*shelf).unwrap_or_else(|why| {
            // It comes again with the first answer.
            let path = shelf.path(file::FILE);
            tracing::warn!("{}: {why}; only the coordinators of the node file are asked", path.display());
            None
        });
        let (told, left) = read.unzip();
        let left = Mutex::new(left.unwrap_or_default());
        Self { written, shelf, told: watch::Sender::new(told), left, due: Mutex::default() }
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

    /// Whether the word of a coordinator of that group counts: of the group whose list is known, unless that was replaced.
    /// One that names none is of an older build, and is believed.
    pub(crate) fn counts(&self, group: Option<u64>) -> bool {
        let known = || group.zip(self.knows()).is_none_or(|(group, known)| group == known.group);
        mutants::on(Mutant::ReplacedGroup) || (known() && !self.left(group))
    }

    /// Whether that group was replaced by another one.
    pub(crate) fn left(&self, group: Option<u64>) -> bool {
        group.is_some_and(|group| lock(&self.left).contains(&group)) && !mutants::on(Mutant::ReplacedGroup)
    }

    /// Takes note of a list: a newer one of the same group, or that of another one, whose leader tells it: the group
    /// known so far is left for good, and so is each that the list's own replaced.
    ///
    /// Waits for no disk. Of another group nothing counts before its list is on disk: whoever obeyed the new one and then
    /// forgot that would obey the old one again. The old one counts for nothing from now on. A newer list of the same group
    /// holds at once. Gives the writing that this began, if any.
    pub(crate) fn take(self: &Arc<Self>, roster: Roster) -> Option<JoinHandle<()>> {
        self.note(roster);
        self.settle()
    }

    fn note(&self, roster: Roster) {
        let mut left = lock(&self.left);
        let (new, known) = (roster.id, self.knows());
        let same = known.is_none_or(|known| known.group == new.group);
        if left.contains(&new.group) || (same && known.is_some_and(|known| known.index > new.index)) {
            return;
        }
        let before = left.len();
        left.extend(known.filter(|_| !same).map(|known| known.group));
        // A list that names its own group would close the way to itself.
        left.extend(roster.replaced.iter().filter(|group| **group != new.group));
        if known == Some(new) && left.len() == before {
            return; // kept, or due already
        }
        if same {
            self.enter(&roster, &left);
        }
        lock(&self.due).list = Some(roster);
    }

    /// Sees to it that what is due gets on disk, also where an attempt failed. To be asked again and again. Gives the
    /// writing that this began: one at a time, for an older list must not end up over a newer one.
    pub(crate) fn settle(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        let mut due = lock(&self.due);
        if due.list.is_none() || due.writing {
            return None;
        }
        due.writing = true;
        drop(due);
        let own = self.clone();
        // Whoever asks may be gone before the disk answers.
        Some(tokio::spawn(async move {
            let mut next = lock(&own.due).list.clone();
            while let Some(list) = next {
                let written = own.write(&list).await;
                next = own.written(&list, written);
            }
        }))
    }

    async fn write(&self, list: &Roster) -> io::Result<()> {
        let text = {
            let mut left = lock(&self.left);
            if left.contains(&list.id.group) {
                return Ok(()); // replaced while it was due
            }
            let known = self.knows().filter(|known| known.group != list.id.group);
            left.extend(known.map(|known| known.group));
            file::render(list, &left)?
        };
        self.shelf.replace_aside(file::FILE, text).await
    }

    /// Takes in how a writing ended; gives what is to be written next. After a failure that is for [`Self::settle`].
    fn written(&self, list: &Roster, how: io::Result<()>) -> Option<Roster> {
        if how.is_ok() {
            self.enter(list, &lock(&self.left));
        }
        let mut due = lock(&self.due);
        match how {
            Ok(()) => {
                due.failed.clear();
                // Another one may have come meanwhile.
                due.list.take_if(|due| due == list);
            }
            Err(error) => {
                let line = error.to_string();
                if due.failed != line {
                    let path = self.shelf.path(file::FILE);
                    tracing::warn!(
                        "{}: the list of coordinators is not kept over a restart yet, and another group's does not \
                         count before: {line}; tried again with each report",
                        path.display()
                    );
                    due.failed = line;
                }
                due.writing = false;
                return None;
            }
        }
        due.writing = due.list.is_some();
        due.list.clone()
    }

    /// From here on the list holds, unless a newer one does.
    fn enter(&self, list: &Roster, left: &BTreeSet<u64>) {
        self.told.send_if_modified(|told| {
            let newer = |known: &Roster| known.id.group == list.id.group && known.id.index >= list.id.index;
            if left.contains(&list.id.group) || told.as_ref().is_some_and(newer) {
                return false;
            }
            let names = list.coordinators.keys().map(MachineName::as_str).collect::<Vec<_>>().join(", ");
            tracing::info!("the coordinators are {names}");
            *told = Some(list.clone());
            for line in self.differing(told.as_ref()) {
                tracing::warn!("the node file's list of coordinators {line}; correct it at leisure");
            }
            true
        });
    }

    /// The same of a leader whose record may not have the instance: that one's group is gone over to only where it replaced
    /// the one that is known.
    pub(crate) fn hear(self: &Arc<Self>, roster: Roster) -> Option<JoinHandle<()>> {
        let follows = |id: RosterId| id.group == roster.id.group || roster.replaced.contains(&id.group);
        if self.knows().is_none_or(follows) { self.take(roster) } else { None }
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

#[cfg(test)]
mod tests;
