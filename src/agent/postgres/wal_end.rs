//! The durable end of WAL (F16-F19): what a server holds, whatever its views say.
//!
//! `pg_last_wal_receive_lsn` is reset by a restart, replay lags and can be paused, and a standby acknowledges what it
//! has flushed and not yet replayed. So the WAL itself is read: from a point that is known to be in the data (the
//! replay LSN of a live standby, the redo point of a stopped server) to the last whole record. pg_waldump would do as
//! much within one timeline; it cannot cross from one to the next, nor say which of two files recovery would read, and
//! that is where acknowledged commits hide ([`super::wal_reader`]).
//!
//! Which timelines: the newest one whose history contains the starting point *and* on which the starting point is the
//! boundary of a record. A server that replayed past a fork thereby stays on its own timeline, whatever histories it
//! has fetched since.

use super::aside::HIDING;
use super::control_data::{ControlData, ControlState};
use super::error::{Error, Result};
use super::files::{blocking, rename, sync, sync_parent, with_suffix};
use super::history::{HistoryFile, cut_to, histories_in};
use super::server::Server;
use super::wal_reader::{Place, Reader, Segments, Shape, segments_in};
use interrex_cluster::wal::{History, Lsn, Position, TimelineId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

impl Server {
    /// The durable end of WAL; fsynced before it is told.
    ///
    /// `from` is the replay LSN of a live standby whose receiver is gone; absent, the server is down with all its
    /// children, or has replayed nothing yet. `line` helps out where a history file is missing.
    ///
    /// # Errors
    /// `Unknown` wherever the files do not tell: no WAL at the starting point, or an end before what the data need.
    pub async fn wal_end(&self, from: Option<Lsn>, line: Option<&History>) -> Result<Position> {
        let server = self.clone();
        let down = blocking(move || Ok(!server.is_running()?)).await?;
        self.find_wal_end(Held { replayed: from, received: None }, line, down).await
    }

    /// How far the data of a stopped copy reach: what decides whom it may follow, and proof of nothing.
    ///
    /// A copy that was just rewound holds less WAL than its data need: pg_rewind fetches the control file last, and
    /// the source wrote on meanwhile. The rest is streamed; until then `backup_label` says so, and the copy's data are
    /// on whatever line contains that point. The first start takes `backup_label` away: of a copy that was `rebuilt`
    /// and told nothing yet, or less than its data need, the same is believed without it.
    ///
    /// # Errors
    /// As [`Server::wal_end`].
    pub async fn data_end(
        &self,
        line: Option<&History>,
        rebuilt: bool,
        told: Option<Position>,
    ) -> Result<Position> {
        let label = self.layout().pgdata.join("backup_label");
        let just_made = blocking(move || Ok(label.exists())).await?;
        match self.control_data().await?.min_recovery {
            Some(needed) if just_made => Ok(needed),
            Some(needed) if rebuilt && told.is_none_or(|told| told < needed) => {
                match self.wal_end(None, line).await {
                    Err(Error::Unknown(_)) => Ok(needed),
                    told => told,
                }
            }
            Some(_) | None => self.wal_end(None, line).await,
        }
    }

    /// Whether all that the copy, whose WAL ends at `end`, lacks of what was `told` of it is the rest of one record.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn lacks_half_a_record(
        &self,
        end: Position,
        told: Position,
        line: Option<&History>,
    ) -> Result<bool> {
        if told.timeline != end.timeline {
            // It has nothing yet of the newer timeline: that has to begin right there.
            let history = self.history(told.timeline, line).await?;
            if history.and_then(|history| history.branch_end(end.timeline)) != Some(end.lsn) {
                return Ok(false);
            }
        }
        match self.find_wal_end(Held { replayed: None, received: Some(told.lsn) }, line, false).await {
            Ok(_) => Ok(true),
            Err(Error::Unknown(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// `mend`: nobody writes to `pg_wal` and nobody can begin to, so a file that hides WAL may be taken out of the way.
    pub(super) async fn find_wal_end(
        &self,
        held: Held,
        line: Option<&History>,
        mend: bool,
    ) -> Result<Position> {
        let control = self.control_data().await?;
        let wal = self.layout().pgdata.join("pg_wal");
        let line = line.cloned();
        blocking(move || find_end(&wal, &control, held, line.as_ref(), mend)).await
    }
}

fn find_end(
    wal: &Path,
    control: &ControlData,
    held: Held,
    line: Option<&History>,
    mend: bool,
) -> Result<Position> {
    let shape = Shape { system: control.system.0, segment: control.segment_size, block: control.wal_block };
    let segments = segments_in(wal, shape)?;
    let mut why_not = Vec::new();
    for candidate in lines(wal, control, &segments, line)? {
        match end_along(wal, shape, &segments, &candidate, control, held)? {
            Ok(end) => return settle(end, mend),
            Err(why) => why_not.push(format!("on timeline {}: {why}", candidate.timeline)),
        }
    }
    Err(Error::Unknown(format!("the end of WAL in {}: {}", wal.display(), why_not.join("; "))))
}

/// Every line that the data may be on, newest first: those that contain the redo point and the point that recovery
/// must reach.
fn lines(
    wal: &Path,
    control: &ControlData,
    segments: &Segments,
    line: Option<&History>,
) -> Result<Vec<History>> {
    let histories = histories_in(wal)?;
    let mut timelines: BTreeSet<TimelineId> = segments.values().flatten().copied().collect();
    timelines.extend(histories.keys());
    timelines.insert(control.timeline);
    let redo = Position { timeline: control.timeline, lsn: control.redo };
    let mut found = Vec::new();
    for timeline in timelines.into_iter().rev().filter(|&t| t >= control.timeline) {
        let history = match histories.get(&timeline) {
            Some(HistoryFile::Real(history)) => Some(history.clone()),
            Some(HistoryFile::Placeholder | HistoryFile::Damaged(_)) | None => {
                line.and_then(|line| cut_to(line, timeline))
            }
        };
        // The starting timeline needs no ancestry: nothing before the redo point is read.
        let own = (timeline == control.timeline).then(|| History { timeline, ancestors: Vec::new() });
        let Some(history) = history.or(own) else { continue };
        if history.contains(redo) && control.min_recovery.is_none_or(|min| history.contains(min)) {
            found.push(history);
        }
    }
    Ok(found)
}

/// What a live standby says that it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// End of replay: the boundary of a record.
    pub(super) replayed: Option<Lsn>,
    /// Flushed by the receiver: whatever came, also half a record (F18).
    pub(super) received: Option<Lsn>,
}

struct End {
    place: Place,
    hiding: BTreeSet<PathBuf>,
    read: BTreeSet<PathBuf>,
}

/// The end along one line, or why the data cannot be on it.
fn end_along(
    wal: &Path,
    shape: Shape,
    segments: &Segments,
    line: &History,
    control: &ControlData,
    held: Held,
) -> Result<Result<End, String>> {
    let from = held.replayed;
    // Once the data are known to be on the newest timeline of the line, replay can have gone nowhere else, and a
    // replay LSN may be trusted as the boundary of a record. Otherwise that is to be seen.
    let settled = control.timeline == line.timeline
        || control.min_recovery.is_some_and(|min| min.timeline == line.timeline);
    let start = match from {
        Some(replayed) if settled && replayed >= control.redo => replayed,
        _ => control.redo,
    };
    let mut reader = Reader::new(wal, shape, segments, line, start);
    let mut place = Place { end: start, last: None, timeline: line.owner_of(start) };
    let mut met_replay = from.is_none_or(|replayed| replayed <= start);
    while let Some(next) = reader.next()? {
        place = next;
        met_replay |= from == Some(place.end);
    }
    let needed = [
        from.filter(|_| !met_replay).map(|lsn| ("replay is at", lsn)),
        control.min_recovery.map(|min| ("consistency needs", min.lsn)),
        // The checkpoint's own record is there in any case.
        Some(("the latest checkpoint begins at", Lsn(control.checkpoint.0 + 1))),
    ];
    for (what, lsn) in needed.into_iter().flatten() {
        if place.end < lsn || (from == Some(lsn) && !met_replay) {
            return Ok(Err(format!("WAL from {start} ends at {}, but {what} {lsn}", place.end)));
        }
    }
    if let Some(received) = held.received.filter(|&received| received > place.end)
        && !reader.is_half_a_record(received)?
    {
        return Ok(Err(format!(
            "WAL ends at {}, but {received} was received and flushed, and it is no half record that lies between: it \
             is damaged there, and this copy does not count; clone this instance when another one has it all",
            place.end
        )));
    }
    Ok(Ok(End { place, hiding: reader.hiding, read: reader.read }))
}

/// Makes the WAL that was found last, and keeps recovery from missing any of it.
fn settle(end: End, mend: bool) -> Result<Position> {
    for file in &end.read {
        sync(file)?;
    }
    for file in end.hiding.iter().filter(|_| mend) {
        // Its contents are in the older file, too, which now is the one to be read.
        rename(file, &with_suffix(file, HIDING))?;
    }
    if let Some(any) = end.read.first() {
        sync_parent(any)?;
    }
    Ok(Position { timeline: end.place.timeline, lsn: end.place.end })
}

impl ControlState {
    /// True when it last was a standby.
    pub fn is_standby(self) -> bool {
        matches!(self, ControlState::InArchiveRecovery | ControlState::ShutDownInRecovery)
    }

    /// True when the server ended without a clean stop, or runs.
    pub fn is_unclean(self) -> bool {
        !matches!(self, ControlState::ShutDown | ControlState::ShutDownInRecovery)
    }
}
