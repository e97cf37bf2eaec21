//! A group made anew out of one surviving log, when a majority of its logs is gone for good: `coordinator recover`, on a
//! stopped node. The log is kept as it was in a copy beside it; then one frame is added to it, so that a crash leaves the
//! old group or the new one: a new group id (other logs of the old group are refused from now on), a membership of this
//! machine alone, and a vote in a term that no other log has seen.
//!
//! What the others had and this log has not is lost; nobody can tell how much. So a mark is left, by which the coordinator
//! decides nothing before it has heard every instance ([`crate::trust`]). Entries that are not known to be committed go,
//! too: another leader may have committed others in their place, with goals of the very same stamps, and then an agent
//! that obeyed those would seem to have obeyed these (docs/decisions/2026-11-23-recovered-records.md).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interrex_rt::{Rng, SystemRng};
use openraft::entry::RaftEntry as _;
use openraft::vote::RaftLeaderId as _;
use openraft::{EntryPayload, RaftLogReader as _};

use super::log::{Contents, LogDisk, LogError, LogStore, RealDisk, Record, Start, segments};
use super::mark::Mark;
use super::snapshot::SnapshotDir;
use super::types::{Entry, LogId, Membership, Peer, Vote};

/// What a log says, and what was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Term and index of the newest entry that the log holds; absent: none.
    pub last: Option<(u64, u64)>,
    /// Up to which entry it is known to be committed: what comes after that is not kept. Absent: nothing is.
    pub committed: Option<u64>,
    /// The other voters, whose logs are given up.
    pub others: Vec<String>,
    /// Where the directory's copy lies, as it was; absent: nothing was changed.
    pub copy: Option<PathBuf>,
}

/// Why no group was made anew. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The files.
    #[error("{what} {path}: {source}", path = path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It must not be done, with the way out.
    #[error("{0}")]
    Refused(String),
}

/// Looks at the log in `dir`, of `machine`, whose coordinator is reached at `addr`; and makes a group of that one out of it,
/// if `accept_loss`.
///
/// # Errors
/// See [`RecoverError`].
pub async fn recover(
    dir: &Path,
    machine: &str,
    addr: &str,
    accept_loss: bool,
) -> Result<Recovered, RecoverError> {
    let io_error = |what, path: &Path, source| RecoverError::Io { what, path: path.to_owned(), source };
    if segments(&RealDisk::look(dir)).unwrap_or_default().is_empty() {
        return Err(LogError::Absent { dir: dir.display().to_string() }.into());
    }
    let lock = RealDisk::lock(dir).map_err(|source| io_error("lock", dir, source))?;
    let disk: Arc<dyn LogDisk> = Arc::new(lock);
    let mut log = LogStore::open(disk.clone(), 1, u64::MAX)?;
    let done = async {
        let mut judged = judge(&mut log, &disk, machine).await?;
        if accept_loss {
            let copy = copy_aside(dir).map_err(|(path, source)| io_error("copy", &path, source))?;
            judged.found.copy = Some(copy);
            make_anew(&log, &disk, &judged, addr, &SystemRng).await?;
        }
        Ok(judged.found)
    };
    let done = done.await;
    log.close().await;
    done
}

/// The same for a log that is not in a directory (`Builder::disk`), at once, and without a copy: that is for the caller to
/// make. `rng` draws the new group's identity.
///
/// # Errors
/// See [`RecoverError`].
pub async fn recover_disk(
    disk: Arc<dyn LogDisk>,
    machine: &str,
    addr: &str,
    rng: &dyn Rng,
) -> Result<Recovered, RecoverError> {
    let mut log = LogStore::open(disk.clone(), 1, u64::MAX)?;
    let done = async {
        let judged = judge(&mut log, &disk, machine).await?;
        make_anew(&log, &disk, &judged, addr, rng).await?;
        Ok(judged.found)
    };
    let done = done.await;
    log.close().await;
    done
}

/// The doubt is ended by an operator's word. False: there was none.
///
/// # Errors
/// The file cannot be removed.
pub fn trust_record(dir: &Path) -> Result<bool, RecoverError> {
    let mark = Mark::within(dir);
    mark.remove().map_err(|source| RecoverError::Io { what: "remove", path: mark.place().into(), source })
}

/// What was read.
struct Judged {
    found: Recovered,
    machine: String,
    /// The id of this machine in the log.
    me: u64,
    /// The newest entry that is known to be committed, and stays.
    keep: Option<LogId>,
    /// Up to which entry the log has to be purged first; absent: it goes on from its snapshot as it is.
    purge: Option<LogId>,
}

/// What the log holds.
async fn judge(log: &mut LogStore, disk: &Arc<dyn LogDisk>, machine: &str) -> Result<Judged, RecoverError> {
    let refused = |line: String| Err(RecoverError::Refused(line));
    let (start, last) = log.look(|c| (c.start.clone(), c.last()));
    let unread = |source| RecoverError::Io { what: "read", path: disk.place().into(), source };
    let (snapshot, _) = SnapshotDir::new(disk.clone()).newest().map_err(unread)?;
    let in_snapshot = snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id);
    if let Some(purged) = start.purged.filter(|purged| index_of(in_snapshot) < Some(purged.index())) {
        return refused(format!(
            "the log in {} begins after entry {}, and no snapshot that can be read reaches so far: take the log of another \
             machine",
            disk.place(),
            purged.index()
        ));
    }
    let (keep, purge) = log.look(|c| kept(c, in_snapshot));
    let entries = log.try_get_log_entries(..).await.map_err(unread)?;
    // Up to the snapshot's end the membership is the snapshot's: the log may end below it.
    let (above, end) = (index_of(in_snapshot), index_of(keep));
    let counts = |entry: &Entry| Some(entry.log_id.index()) > above && Some(entry.log_id.index()) <= end;
    let in_log = entries.into_iter().rev().filter(counts).find_map(|entry| match entry.payload {
        EntryPayload::Membership(membership) => Some(membership),
        _ => None,
    });
    let of_snapshot = || snapshot.map(|s| s.meta.last_membership.membership().clone());
    let membership = in_log.or_else(of_snapshot).unwrap_or_default();
    let me = start.raft_id;
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    if !voters.contains(&me) {
        return refused(format!(
            "{machine} never voted under this log: take the log of a machine that did; see: interrex raft-log {}",
            disk.place()
        ));
    }
    if voters.len() == 1 {
        return refused(format!("{machine} is a group of one already: start its node"));
    }
    let name =
        |id: &u64| membership.get_node(id).map_or_else(|| format!("{id:016x}"), |peer| peer.machine.clone());
    let mut others: Vec<String> = voters.iter().filter(|id| **id != me).map(name).collect();
    others.sort();
    let place = |id: LogId| (**id.committed_leader_id(), id.index());
    let committed = keep.map(|id| id.index());
    let found = Recovered { last: last.map(place), committed, others, copy: None };
    Ok(Judged { found, machine: machine.to_owned(), me, keep, purge })
}

fn index_of(id: Option<LogId>) -> Option<u64> {
    id.map(|id| id.index())
}

/// The newest entry that is known to be committed; and where the log has to be purged so that it goes on from the
/// snapshot: its coordinator died between putting a snapshot of its leader's on disk and purging what that covers, so the
/// log ends below the snapshot, or holds at its end what another leader committed nothing of.
fn kept(log: &Contents, in_snapshot: Option<LogId>) -> (Option<LogId>, Option<LogId>) {
    let Start { committed, purged, .. } = log.start;
    let later = |a: Option<LogId>, b: Option<LogId>| if index_of(b) > index_of(a) { b } else { a };
    // The note of what is committed is written without a flush: a snapshot, or a purge, may know of more.
    let noted = later(committed, purged);
    let held = if index_of(noted) > index_of(log.last()) { log.last() } else { noted };
    let covers = |id: &LogId| {
        let held = log.range(id.index()..=id.index());
        index_of(purged) < Some(id.index()) && held.first().is_none_or(|held| held.log_id != *id)
    };
    match in_snapshot.filter(covers) {
        Some(end) => (Some(end), Some(end)),
        None => (later(held, in_snapshot), None),
    }
}

/// Makes a group of this machine alone, at `addr`, out of what was read.
async fn make_anew(
    log: &LogStore,
    disk: &Arc<dyn LogDisk>,
    judged: &Judged,
    addr: &str,
    rng: &dyn Rng,
) -> Result<(), RecoverError> {
    let peer = Peer { machine: judged.machine.clone(), addr: addr.to_owned() };
    let made = rewrite(log, disk, judged, peer, rng).await;
    made.map_err(|source| {
        let (what, path) = ("write to the raft log in", disk.place().into());
        RecoverError::Io { what, path, source }
    })
}

/// The mark first: with it alone nothing is wrong, only cautious.
async fn rewrite(
    log: &LogStore,
    disk: &Arc<dyn LogDisk>,
    &Judged { me, keep, purge, .. }: &Judged,
    peer: Peer,
    rng: &dyn Rng,
) -> io::Result<()> {
    let (Start { vote, group_id: old, mut replaced, .. }, last) = log.look(|c| (c.start.clone(), c.last()));
    replaced.push(old);
    let voted = vote.map_or(0, |vote| vote.leader_id.term);
    let written = |id: Option<LogId>| id.map_or(0, |id| **id.committed_leader_id());
    let term = voted.max(written(last)).max(written(keep)) + 1;
    let group = rng.number()?.max(1);
    let membership = Membership::new(vec![BTreeSet::from([me])], BTreeMap::from([(me, peer)]))
        .map_err(|e| io::Error::other(e.to_string()))?;
    let leader = openraft::impls::leader_id_std::LeaderId::<u64, u64>::new(term, me);
    let id = LogId::new(leader.to_committed(), keep.map_or(0, |id| id.index() + 1));
    let entry = Entry::new(id, EntryPayload::Membership(membership));
    Mark::on(disk.clone()).put()?;
    let mut records = Vec::from_iter(purge.map(Record::Purged));
    records.extend([
        Record::TruncateAfter(keep),
        Record::Group { id: group, replaced },
        Record::Vote(Vote::new(term, me)),
        Record::Entry(entry),
        // In a group of one, what is on its disk is committed.
        Record::Committed(Some(id)),
    ]);
    log.rewrite(records).await
}

/// The directory's files, beside it under a name of their own.
fn copy_aside(dir: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    let named = |n: u32| PathBuf::from(format!("{}.before-recover-{n}", dir.display()));
    let free = (1..).map(named).find(|path| fs::symlink_metadata(path).is_err());
    // There are more numbers than a directory holds names.
    let copy = free.unwrap_or_else(|| named(0));
    let copied = || {
        DirBuilder::new().mode(0o700).create(&copy)?;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name() != "lock" {
                let to = copy.join(entry.file_name());
                fs::copy(entry.path(), &to)?;
                File::open(&to)?.sync_all()?;
            }
        }
        File::open(&copy)?.sync_all()?;
        File::open(copy.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    match copied() {
        Ok(()) => Ok(copy),
        Err(why) => Err((copy, why)),
    }
}
