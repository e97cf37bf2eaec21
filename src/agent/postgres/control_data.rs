//! What `pg_control` says: identity, how the server ended, where recovery starts. Read by `pg_controldata`, which
//! knows its version's layout; needs no server.

use interrex_cluster::ids::SystemId;
use interrex_cluster::wal::{Lsn, Position, TimelineId};
use std::collections::BTreeMap;

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
