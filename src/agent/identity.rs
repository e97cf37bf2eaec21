//! Who a data directory is: `interrex.identity` in PGDATA, beside the agent's own memory of the same (PROTOCOL.md
//! clause 8).
//!
//! Where the two disagree, a volume was rolled back, another copy was put in place, or the agent's state was lost: the
//! instance then counts for nothing. The epoch is written here *before* it is in the state, so that a crash between the
//! two leaves the directory ahead, never behind: ahead by epoch is harmless, behind is not. The serial of the highest
//! position ([`crate::highest`]) is written *after* the state, so that one behind is a crash, and anything else a
//! rollback: of the directory when it is further behind, of the agent's memory when it is ahead.

use crate::instance::lock;
use crate::state::{State, StateError, replace};
use interrex_cluster::ids::{ClusterId, ClusterName, Epoch, Incarnation, Stamp};
use interrex_cluster::instance::observed::Memory;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const FILE: &str = "interrex.identity";
const HEAD: &str = "interrex-identity 1";
/// Opens the last line, which tells people, and a node before it asks anybody; no build relies on it.
const NAME: &str = "name ";

/// What a data directory says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The copy.
    pub incarnation: Incarnation,
    /// The newest epoch that it obeyed.
    pub epoch: Epoch,
    /// How often the highest position of the copy was raised.
    pub serial: u64,
}

impl Identity {
    /// True when it is that copy's, of that cluster.
    pub(crate) fn is_of(&self, cluster: ClusterId, incarnation: Incarnation) -> bool {
        self.cluster == cluster && self.incarnation == incarnation
    }
}

/// Why a data directory is not served in `cluster`, with the way out: Interrex made it for another one. None: it did not, or
/// cannot tell before coordinators are asked (it made the directory before it wrote names down; it cannot be read).
pub fn of_another_cluster(pgdata: &Path, cluster: &ClusterName) -> Option<String> {
    let text = fs::read_to_string(path(pgdata)).ok()?;
    let other = text.lines().find_map(|line| line.strip_prefix(NAME))?;
    (other != cluster.as_str()).then(|| {
        let (shown, other) = (pgdata.display(), other.escape_default());
        format!(
            "\"{shown}\" belongs to cluster '{other}', this instance is of '{cluster}'; correct 'cluster', name another \
             directory, or remove {FILE} from this one if '{other}' is gone"
        )
    })
}

/// Where the identity of a data directory stands.
pub(crate) fn path(pgdata: &Path) -> PathBuf {
    pgdata.join(FILE)
}

/// The identity of a data directory; none when it was never given one.
///
/// # Errors
/// It cannot be read, or not understood.
pub(crate) fn read(pgdata: &Path) -> Result<Option<Identity>, StateError> {
    let path = path(pgdata);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Io { what: "read", path, source }),
    };
    parse(&text)
        .map(Some)
        .ok_or_else(|| StateError::Damaged { path, why: format!("got '{}'", text.escape_default()) })
}

fn parse(text: &str) -> Option<Identity> {
    let mut lines = text.lines();
    if lines.next()? != HEAD {
        return None;
    }
    let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
    let cluster = ClusterId(u32::from_str_radix(value("cluster")?, 16).ok()?);
    let incarnation = Incarnation(value("incarnation")?.parse().ok()?);
    let epoch = Epoch(value("epoch")?.parse().ok()?);
    // Not written by the first builds.
    let serial = value("serial").map_or(Some(0), |serial| serial.parse().ok())?;
    Some(Identity { cluster, incarnation, epoch, serial })
}

/// Gives a data directory its identity, in the cluster of that name. `owner`: user and group of PostgreSQL, who copies the
/// file into clones.
///
/// # Errors
/// The system refused.
pub(crate) fn write(
    pgdata: &Path,
    name: &ClusterName,
    identity: Identity,
    owner: Option<(u32, u32)>,
) -> Result<(), StateError> {
    let Identity { cluster, incarnation, epoch, serial } = identity;
    let text = format!(
        "{HEAD}\ncluster {cluster}\nincarnation {incarnation}\nepoch {epoch}\nserial {serial}\n{NAME}{name}\n"
    );
    replace(&path(pgdata), text.as_bytes(), owner)
}

/// What does not agree between a directory and the memory of it; none when they agree.
pub(crate) fn disagreement(
    found: Option<Identity>,
    cluster: ClusterId,
    memory: &Memory,
) -> Option<Disagreement> {
    let doubtful = |why: String| Some(Disagreement::Doubtful(why));
    match found {
        None => Some(Disagreement::Strange(format!(
            "there is data that Interrex did not make ({FILE} is missing); move it away to let this instance clone"
        ))),
        Some(found) if found.cluster != cluster => Some(Disagreement::Strange(format!(
            "the data directory belongs to cluster {}, this is {cluster}; move it away to let this instance clone",
            found.cluster
        ))),
        Some(found) if found.incarnation != memory.incarnation => doubtful(format!(
            "the data directory holds incarnation {}, the agent remembers {}",
            found.incarnation, memory.incarnation
        )),
        Some(found) if found.epoch < memory.obeyed.epoch => doubtful(format!(
            "the data directory last obeyed epoch {}, the agent {}: it was rolled back",
            found.epoch, memory.obeyed.epoch
        )),
        Some(found) if found.serial > memory.serial => doubtful(format!(
            "the data directory knows of {} positions told, the agent of {}: the agent's own memory was rolled back",
            found.serial, memory.serial
        )),
        Some(found) if found.serial + 1 < memory.serial => doubtful(format!(
            "the data directory knows of {} positions told, the agent of {}: it was rolled back",
            found.serial, memory.serial
        )),
        Some(_) => None,
    }
}

/// What may be said of the highest goal obeyed before anybody has said which cluster this is. A memory that the directory
/// shows to be an old one does not know: none, or the epoch alone, where the directory has a later one.
pub(crate) fn surely_obeyed(found: Option<Identity>, memory: &Memory) -> Option<Stamp> {
    let Some(found) = found else { return Some(memory.obeyed) };
    if found.epoch > memory.obeyed.epoch {
        return Some(of_epoch(found.epoch));
    }
    let rolled_back = found.incarnation > memory.incarnation || found.serial > memory.serial;
    (!rolled_back).then_some(memory.obeyed)
}

/// What a directory of the cluster shows to have been obeyed, and the memory does not know: it was put back, or a crash
/// came between the two. Either way nothing below that epoch is obeyed any more.
fn ahead(found: Option<Identity>, cluster: ClusterId, memory: &Memory) -> Option<Stamp> {
    let found = found.filter(|found| found.is_of(cluster, memory.incarnation))?;
    (found.epoch > memory.obeyed.epoch).then(|| of_epoch(found.epoch))
}

/// What the data directory shows to have been obeyed is obeyed, although the memory does not know it (any more).
///
/// # Errors
/// The memory cannot be written.
pub(crate) fn obeyed_elsewhere(
    state: &Mutex<State>,
    pgdata: &Path,
    cluster: ClusterId,
) -> Result<(), StateError> {
    // One that cannot be read is told in the reports.
    let found = read(pgdata).ok().flatten();
    let mut state = lock(state);
    match ahead(found, cluster, state.memory()) {
        Some(stamp) => state.update(|memory| memory.obeyed = stamp),
        None => Ok(()),
    }
}

/// Below every goal of the epoch, and above every one before it.
fn of_epoch(epoch: Epoch) -> Stamp {
    Stamp { epoch, ..Stamp::default() }
}

/// How a directory and the memory of it disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disagreement {
    /// The cluster's, but it counts for nothing.
    Doubtful(String),
    /// Not to be touched.
    Strange(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::Revision;

    const CLUSTER: ClusterId = ClusterId(0xabcd_0001);

    fn identity() -> Identity {
        Identity { cluster: CLUSTER, incarnation: Incarnation(2), epoch: Epoch(7), serial: 30 }
    }

    fn memory() -> Memory {
        Memory {
            obeyed: Stamp { epoch: Epoch(7), revision: Revision(40) },
            incarnation: Incarnation(2),
            serial: 30,
            ..Memory::default()
        }
    }

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let orders = "orders".parse().unwrap();
        write(dir.path(), &orders, identity(), None).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(identity()));
        assert_eq!(of_another_cluster(dir.path(), &orders), None);
        let other = of_another_cluster(dir.path(), &"bills".parse().unwrap()).unwrap();
        assert!(other.contains("belongs to cluster 'orders', this instance is of 'bills'"), "{other}");
        let first_builds = "interrex-identity 1\ncluster abcd0001\nincarnation 2\nepoch 7\n";
        fs::write(path(dir.path()), first_builds).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(Identity { serial: 0, ..identity() }));
        fs::write(path(dir.path()), "interrex-identity 2\n").unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("is damaged"));
    }

    #[test]
    fn a_directory_that_agrees_or_is_ahead_by_a_crash_counts() {
        assert_eq!(disagreement(Some(identity()), CLUSTER, &memory()), None);
        let ahead = Identity { epoch: Epoch(8), ..identity() };
        assert_eq!(disagreement(Some(ahead), CLUSTER, &memory()), None);
        let crashed = Identity { serial: 29, ..identity() };
        assert_eq!(disagreement(Some(crashed), CLUSTER, &memory()), None);
    }

    #[test]
    fn a_directory_that_is_behind_or_another_copy_counts_for_nothing() {
        for other in [
            Identity { epoch: Epoch(6), ..identity() },
            Identity { incarnation: Incarnation(1), ..identity() },
            Identity { incarnation: Incarnation(3), ..identity() },
            Identity { serial: 28, ..identity() },
            Identity { serial: 31, ..identity() },
        ] {
            let found = disagreement(Some(other), CLUSTER, &memory());
            assert!(matches!(found, Some(Disagreement::Doubtful(_))), "{other:?}: {found:?}");
        }
    }

    #[test]
    fn a_stranger_s_directory_is_not_touched() {
        let other = Identity { cluster: ClusterId(1), ..identity() };
        assert!(matches!(disagreement(Some(other), CLUSTER, &memory()), Some(Disagreement::Strange(_))));
        assert!(matches!(disagreement(None, CLUSTER, &memory()), Some(Disagreement::Strange(_))));
    }

    #[test]
    fn a_memory_that_its_directory_is_ahead_of_does_not_know_what_it_obeyed() {
        let remembered = Some(memory().obeyed);
        assert_eq!(surely_obeyed(None, &memory()), remembered);
        assert_eq!(surely_obeyed(Some(identity()), &memory()), remembered);
        assert_eq!(ahead(Some(identity()), CLUSTER, &memory()), None);
        let behind = Identity { epoch: Epoch(6), serial: 20, incarnation: Incarnation(1), ..identity() };
        assert_eq!(surely_obeyed(Some(behind), &memory()), remembered, "what was put back is the directory");
        for newer in
            [Identity { incarnation: Incarnation(3), ..identity() }, Identity { serial: 31, ..identity() }]
        {
            assert_eq!(surely_obeyed(Some(newer), &memory()), None, "{newer:?}");
        }
        let later = Identity { epoch: Epoch(8), ..identity() };
        let in_epoch_8 = Some(Stamp { epoch: Epoch(8), revision: Revision(0) });
        assert_eq!(surely_obeyed(Some(later), &memory()), in_epoch_8);
        assert_eq!(ahead(Some(later), CLUSTER, &memory()), in_epoch_8);
        assert_eq!(ahead(Some(later), ClusterId(1), &memory()), None, "a stranger's says nothing");
        let other_copy = Identity { incarnation: Incarnation(3), ..later };
        assert_eq!(ahead(Some(other_copy), CLUSTER, &memory()), None);
    }
}
