//! What `pg_control` says: identity, how the server ended, where recovery starts. Read by `pg_controldata`, which
//! knows its version's layout; needs no server.

use super::error::{Error, Result};
use super::server::{Server, TOOL_PATIENCE};
use super::tool::Tool;
use interrex_cluster::ids::SystemId;
use interrex_cluster::report::REPLAY_CHECKS;
use interrex_cluster::wal::{Lsn, Position, TimelineId};
use std::collections::BTreeMap;
use std::path::Path;

/// The contents of `pg_control` that matter to failover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlData {
    /// The same in every copy of one cluster (F38).
    pub system: SystemId,
    /// How it ended, or that it did not.
    pub state: ControlState,
    /// Start of the latest checkpoint record; after a clean stop the last record of all (F30).
    pub checkpoint: Lsn,
    /// Where recovery would start.
    pub redo: Lsn,
    /// Timeline of that checkpoint. Lags a promotion until its first checkpoint (F26).
    pub timeline: TimelineId,
    /// Recovery must reach this before the copy is consistent; absent on a primary.
    pub min_recovery: Option<Position>,
    /// Bytes of one WAL segment.
    pub segment_size: u64,
    /// Bytes of one WAL page.
    pub wal_block: u64,
    /// True when data pages carry checksums.
    pub checksums: bool,
    /// True when hint bits are logged; this or checksums is needed for a rewind (F36).
    pub log_hints: bool,
    /// What the primary last ran with, as replay learned it: standbys must not have less (F25). By setting name.
    pub parameters: BTreeMap<String, u64>,
}

/// The `Database cluster state` of pg_control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlState {
    /// A primary that ended cleanly, or a fresh initdb.
    ShutDown,
    /// A standby that ended cleanly.
    ShutDownInRecovery,
    /// A stop was begun.
    ShuttingDown,
    /// A primary's crash recovery was begun.
    InCrashRecovery,
    /// A standby, running or crashed.
    InArchiveRecovery,
    /// A primary, running or crashed.
    InProduction,
    /// Never started.
    StartingUp,
}

impl ControlData {
    /// The newest timeline that it speaks of: the data are on it, whatever WAL is there.
    pub fn data_timeline(&self) -> TimelineId {
        self.min_recovery.map_or(self.timeline, |min| min.timeline.max(self.timeline))
    }
}

impl Server {
    /// What pg_control says; needs no server. Milliseconds.
    ///
    /// # Errors
    /// No data directory, a damaged pg_control, or one that this version's tool cannot read.
    pub async fn control_data(&self) -> Result<ControlData> {
        self.control_data_of(&self.layout().pgdata).await
    }

    pub(super) async fn control_data_of(&self, dir: &Path) -> Result<ControlData> {
        let said =
            Tool::new(self.layout(), "pg_controldata").arg("-D").arg(dir).output(TOOL_PATIENCE).await?;
        parse(&said).map_err(|what| Error::Unknown(format!("pg_controldata of {}: {what}", dir.display())))
    }
}

fn parse(said: &str) -> Result<ControlData, String> {
    if said.contains("WARNING") {
        return Err("pg_control is damaged or of another version".to_owned());
    }
    let fields: BTreeMap<&str, &str> = said
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let text = |key: &str| fields.get(key).copied().ok_or_else(|| format!("it does not tell '{key}'"));
    let number = |key: &str| text(key)?.parse::<u64>().map_err(|_| format!("'{key}' is no number"));
    let lsn = |key: &str| text(key)?.parse::<Lsn>().map_err(|e| format!("'{key}': {e}"));
    let timeline =
        |key: &str| text(key)?.parse().map(TimelineId).map_err(|_| format!("'{key}' is no number"));
    let min = Position {
        timeline: timeline("Min recovery ending loc's timeline")?,
        lsn: lsn("Minimum recovery ending location")?,
    };
    Ok(ControlData {
        system: SystemId(number("Database system identifier")?),
        state: state(text("Database cluster state")?)?,
        checkpoint: lsn("Latest checkpoint location")?,
        redo: lsn("Latest checkpoint's REDO location")?,
        timeline: timeline("Latest checkpoint's TimeLineID")?,
        min_recovery: (min.lsn.0 != 0).then_some(min),
        segment_size: number("Bytes per WAL segment")?,
        wal_block: number("WAL block size")?,
        checksums: number("Data page checksum version")? != 0,
        log_hints: text("wal_log_hints setting")? == "on",
        parameters: REPLAY_CHECKS
            .iter()
            .map(|setting| Ok(((*setting).to_owned(), number(&line_of(setting))?)))
            .collect::<Result<_, String>>()?,
    })
}

fn state(text: &str) -> Result<ControlState, String> {
    Ok(match text {
        "shut down" => ControlState::ShutDown,
        "shut down in recovery" => ControlState::ShutDownInRecovery,
        "shutting down" => ControlState::ShuttingDown,
        "in crash recovery" => ControlState::InCrashRecovery,
        "in archive recovery" => ControlState::InArchiveRecovery,
        "in production" => ControlState::InProduction,
        "starting up" => ControlState::StartingUp,
        other => return Err(format!("the state '{other}' is unknown")),
    })
}

/// The line of pg_controldata that has the primary's value of a parameter that replay checks.
fn line_of(parameter: &str) -> String {
    format!("{} setting", parameter.replace("transaction", "xact"))
}
