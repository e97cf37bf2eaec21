//! What the agent knows of its server since that was started, and nothing else could tell: which settings it wrote and
//! saw in force, what it made, when it last answered. Forgotten with the process, found out anew by idempotent steps.

use crate::postgres::{Clients, Role};
use crate::session::now;
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_cluster::instance::observed::{Data, End};
use interrex_cluster::report::{Need, Proofs, Unfit};
use interrex_cluster::time::Instant;
use interrex_cluster::wal::TimelineId;
use std::collections::BTreeSet;

/// Knowledge in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// Settings written and in force.
    pub(crate) role: Option<Role>,
    /// The upstream's name behind those settings.
    pub(crate) upstream: Option<InstanceName>,
    /// What pg_hba.conf says, and is in force.
    pub(crate) clients: Option<Clients>,
    /// Slots that were made.
    pub(crate) slots: BTreeSet<String>,
    /// Roles were made.
    pub(crate) roles_ready: bool,
    /// Timeline that a standby without a receiver replays.
    pub(crate) replaying: Option<TimelineId>,
    /// This process was once told that commits wait for nobody, or may have been, and no CHECKPOINT completed since a
    /// fresh connection showed otherwise: nobody knows whether its commits wait (F7). Unsaid by proof alone.
    pub(crate) from_async: bool,
    /// It is out of recovery: promoted since it was started. There is no way back for this process.
    pub(crate) promoted: bool,
    /// When it last answered; absent before it ever did.
    pub(crate) answered: Option<Instant>,
    /// When the process was first seen.
    pub(crate) seen_since: Option<Instant>,
    /// When a beat of this epoch last came back.
    pub(crate) beaten: Option<(Epoch, Instant)>,
    /// How far the server's log had come when it was last pointed at an upstream.
    pub(crate) log_from: u64,
}

/// Knowledge that outlives the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The data directory; absent: look again.
    pub(crate) data: Option<Data>,
    /// Where the copy ends.
    pub(crate) end: Option<End>,
    /// Why its WAL does not tell where it ends: damaged, or not all there. Void as soon as `end` is.
    pub(crate) endless: Option<String>,
    /// How often in a row the server ended before it answered anything.
    pub(crate) early_ends: u32,
    /// No further start before this.
    pub(crate) start_after: Option<Instant>,
    /// How the server ended, when it was not stopped on purpose.
    pub(crate) exit: Option<String>,
    /// What was proved.
    pub(crate) proofs: Proofs,
    /// What is asked for at the moment.
    pub(crate) need: Option<Need>,
    /// What the agent is busy with.
    pub(crate) doing: Option<String>,
    /// Parameters that are lower than on the primary.
    pub(crate) too_low: Vec<Unfit>,
    /// Since when the goal has had `k = 0`.
    pub(crate) async_since: Option<Instant>,
}

impl Run {
    /// Of a process that was just started or found.
    pub(crate) fn begun() -> Self {
        Self { seen_since: Some(now()), ..Self::default() }
    }

    /// Milliseconds since a beat of `epoch` came back.
    pub(crate) fn beat_age_ms(&self, epoch: Epoch) -> Option<u64> {
        let (of, at) = self.beaten?;
        (of == epoch).then(|| u64::try_from(now().since(at).as_millis()).unwrap_or(u64::MAX))
    }
}
