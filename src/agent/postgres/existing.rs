//! A data directory that was there before Interrex: what it holds, and how far it is. What else its files have to say
//! about taking it in is [`super::fit`]. Reading it changes nothing in it.

use super::configured::Configured;
use super::control_data::ControlData;
use super::error::{Error, Result};
use super::files::blocking;
use super::history::{HistoryFile, history_name};
use super::server::Server;
use super::unlogged::{unlogged_in, unlogged_note};
use super::wal_end::Held;
use interrex_cluster::ids::SystemId;
use interrex_cluster::wal::{History, Position, TimelineId};
use std::collections::BTreeMap;
use std::path::Path;

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its system identifier.
    pub system: SystemId,
    /// It has `standby.signal` or `recovery.signal`.
    pub standby: bool,
    /// Where its WAL ends, and how it came there; or why that cannot be told. Absent while a server runs on it.
    pub end: Option<Result<(Position, History), String>>,
    /// The highest timeline number that it knows of.
    pub highest: TimelineId,
    /// Why it cannot be taken in, and the way out.
    pub refused: Option<String>,
    /// What its operator should know.
    pub notes: Vec<String>,
    /// The newest timeline that its control file speaks of; known while a server runs, too.
    pub timeline: TimelineId,
    unlogged: u64,
    control: ControlData,
    histories: BTreeMap<TimelineId, HistoryFile>,
}

impl Server {
    /// Looks at a directory that is not ours. `running`: a server works on it, so its end is not looked for. `before`: what
    /// was seen at the last look; while pg_control is the same no server has run, and WAL is not read once more.
    ///
    /// All that can be judged while a server runs is judged then: it is stopped only for what fits.
    ///
    /// # Errors
    /// It cannot be read, or is of another version.
    pub async fn existing(&self, running: bool, before: Option<Existing>) -> Result<Existing> {
        let control = self.control_data().await?;
        let histories = self.histories().await?;
        let before = before.filter(|before| before.control == control && before.histories == histories);
        let (server, state, counted) =
            (self.clone(), control.state, before.as_ref().map(|before| before.unlogged));
        let (standby, refused, unlogged, notes, configured, ours) = blocking(move || {
            let dir = &server.layout().pgdata;
            let standby = is_there(dir, "standby.signal")? || is_there(dir, "recovery.signal")?;
            let configured = Configured::read(dir)?;
            let refused = server.refusal(dir, standby, &configured)?;
            let crashed = !running && !standby && state.is_unclean();
            let unlogged = match counted {
                _ if standby => 0,
                Some(counted) => counted,
                None => unlogged_in(dir)?,
            };
            let notes = unlogged_note(unlogged).into_iter().chain(server.notes(dir, crashed, &configured)?);
            let notes = notes.collect();
            let ours = server.ours(&configured)?.into_iter().map(|(key, value)| (key.to_owned(), value));
            let ours: Vec<(String, String)> = ours.collect();
            Ok((standby, refused, unlogged, notes, configured, ours))
        })
        .await?;
        let refused = match refused {
            None => {
                self.unstartable(&configured, &ours).await.unwrap_or_else(|error| Some(error.to_string()))
            }
            refused => refused,
        };
        let timeline = control.data_timeline();
        let end = match (running, before.and_then(|before| before.end)) {
            (true, _) => None,
            (false, Some(end)) => Some(end),
            (false, None) => Some(self.existing_end(&control, &histories).await),
        };
        let unknown = ancestry(timeline, &histories).err();
        let unknown = unknown.or_else(|| end.as_ref().and_then(|end| end.as_ref().err()).cloned());
        let refused = refused.or(unknown.map(|why| match standby {
            true => format!("{why}, or move it away (it is cloned then): it may hold what the primary lacks"),
            false => why,
        }));
        let highest = histories.keys().chain([&control.timeline]).max().copied().unwrap_or_default();
        let system = control.system;
        Ok(Existing { system, standby, end, highest, refused, notes, timeline, unlogged, control, histories })
    }

    /// Where it ends; or why that cannot be told.
    async fn existing_end(
        &self,
        control: &ControlData,
        histories: &BTreeMap<TimelineId, HistoryFile>,
    ) -> Result<(Position, History), String> {
        let held = Held { replayed: None, received: None };
        let position = self
            .find_wal_end(held, None, false)
            .await
            .map_err(|error| format!("{error}; start it and stop it once, with what started it so far"))?;
        let timeline = position.timeline.max(control.timeline);
        Ok((Position { timeline, ..position }, ancestry(timeline, histories)?))
    }
}

/// Where a timeline came from, or what is missing to tell.
fn ancestry(timeline: TimelineId, histories: &BTreeMap<TimelineId, HistoryFile>) -> Result<History, String> {
    match histories.get(&timeline) {
        Some(HistoryFile::Real(line)) => Ok(line.clone()),
        None if timeline == TimelineId(1) => Ok(History { timeline, ancestors: Vec::new() }),
        Some(HistoryFile::Placeholder | HistoryFile::Damaged(_)) | None => Err(format!(
            "it is on timeline {timeline} and pg_wal has no whole {}, which tells where that branched off; restore the \
             file from the archive",
            history_name(timeline)
        )),
    }
}

/// Whether it is there; one that cannot be looked at is neither there nor missing.
fn is_there(dir: &Path, name: &str) -> Result<bool> {
    let path = dir.join(name);
    path.try_exists().map_err(|e| Error::io("look at", &path, &e))
}
