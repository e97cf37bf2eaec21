//! What the agent itself sees: its own durable memory, the data directory, the server, its lease. First-hand and of
//! one moment; nothing here was told by others.
//!
//! Absence means *unknown* or *not there*, as each field says; it never means zero.

use super::lease::Lease;
use crate::goal::Goal;
use crate::ids::{Epoch, Incarnation, Stamp, SystemId};
use crate::record::Address;
use crate::report::{Found, Proofs, Rebuild};
use crate::time::Instant;
use crate::wal::{History, Lsn, Position, TimelineId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that the next step depends on, apart from the goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What stands fsynced in the agent's state file.
    pub memory: Memory,
    /// The data directory.
    pub data: Data,
    /// The server.
    pub server: Server,
    /// Where the copy ends and how it came there; absent while it was not read since the server last ran.
    pub end: Option<End>,
    /// What was proved in this run of the agent; a proof whose ground was left is taken out again.
    pub proofs: Proofs,
    /// The cluster's PostgreSQL parameters as this agent last wrote and reloaded them; absent: not in this run.
    pub parameters: Option<BTreeMap<String, String>>,
    /// Leave to serve as primary.
    pub lease: Lease,
    /// When the guard will kill the server: what is in force, also for a server that an earlier agent started.
    pub deadline: Option<Instant>,
    /// Since when the goal of the current epoch has had `k = 0` without a break; absent while it asks for standbys.
    pub async_since: Option<Instant>,
    /// WAL that this copy needs is gone: the upstream said so, in its words, or the copy's own WAL does not tell where
    /// it ends.
    pub wal_gone: Option<String>,
    /// How this copy keeps ending before it answers anything; absent while it has not.
    pub early_ends: Option<EarlyEnds>,
    /// The copy was made anew and never answered: no other one is asked for before this. Absent: it was not.
    pub patience: Option<Instant>,
    /// Where the server was told to receive from when it was last told anything; `Other` when that is not known.
    pub told_upstream: Upstream,
    /// The data directory that was there before Interrex; absent: there is none, or it was not looked at.
    pub found: Option<Found>,
    /// Why that directory could not be looked at; absent: it was, or is not asked for.
    pub unseen: Option<String>,
    /// The server runs in recovery with less than replay demands: it acknowledges, and a promotion would end it (F25).
    pub too_low: bool,
}

/// A server that ends by itself while it is starting, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlyEnds {
    /// The copy.
    pub incarnation: Incarnation,
    /// How often in a row.
    pub times: u32,
    /// The last FATAL or PANIC line of its log; absent when it left none.
    pub words: Option<String>,
}

/// The agent's durable memory of one instance. Written before acting, and read again at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The highest goal obeyed.
    pub obeyed: Stamp,
    /// The copy on disk; 0: there never was one.
    pub incarnation: Incarnation,
    /// Set before a directory is made, rewound or cloned, and removed when that is finished: while it stands the
    /// directory is never started and counts for nothing.
    pub sentinel: Option<Sentinel>,
    /// Set before `pg_promote` is called; taken away once the server was stopped and `standby.signal` is in place. A
    /// promotion in flight cannot be called back (F23).
    pub promoted: Option<Epoch>,
    /// The first directory of the cluster, made here.
    pub created: Option<(SystemId, Position)>,
    /// The copy was rebuilt under this incarnation.
    pub rebuilt: Option<Incarnation>,
    /// Highest end of WAL that was told of this incarnation, by a seal or while it streamed or reigned, as far as it
    /// lies on the line that it follows. A copy that ends below it, by more than half a record, was rolled back.
    pub told: Option<Position>,
    /// Counts how often `told` was raised. The data directory has the same number, or, after a crash, one less.
    #[serde(default)]
    pub serial: u64,
    /// Copies made one after the other, or taken in, of which none ever answered.
    #[serde(default)]
    pub in_vain: u32,
    /// The existing directory that was offered for adoption, and is not taken in yet.
    #[serde(default)]
    pub offered: Option<Offered>,
}

/// An existing data directory, as it was offered. Only this very one is taken in, and only under a goal that counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The incarnation that it becomes.
    pub incarnation: Incarnation,
    /// Its system identifier.
    pub system: SystemId,
    /// It was a standby's. A primary's is given the roles of Interrex before it is taken in.
    pub standby: bool,
    /// Where its WAL ended; absent: its files did not tell.
    pub end: Option<Position>,
    /// The roles of Interrex were made in it.
    #[serde(default)]
    pub roles: bool,
}

/// A deed that makes a directory unusable until it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sentinel {
    /// initdb.
    Create,
    /// A rebuild.
    Rebuild(Rebuild),
}

/// A data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// There is none, or an empty one.
    Missing,
    /// A deed on it was begun and not finished.
    Unfinished(Sentinel),
    /// Whole as far as the agent knows, and what it says of itself agrees with the state file.
    Ours(SystemId),
    /// It was there before Interrex and was offered for adoption ([`Memory::offered`]); it is not taken in yet.
    Offered(SystemId),
    /// It does not agree with the state file: another copy was put here, a volume was rolled back, or state was lost.
    /// It counts for nothing, but it is the cluster's.
    Doubtful {
        /// Its system identifier.
        system: SystemId,
        /// What does not agree.
        why: String,
    },
    /// Not made by this agent, or not to be read: never touched.
    Strange {
        /// Why.
        why: String,
    },
}

/// The server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// Postmaster and all children are gone.
    Gone,
    /// The process is there and lets nobody in yet.
    Starting,
    /// The process is there and does not answer.
    Silent {
        /// For how long.
        since: Duration,
    },
    /// In recovery.
    Standby(Standby),
    /// Not in recovery.
    Primary(Primary),
}

/// A server in recovery, as a fresh connection shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standby {
    /// Where it is told to receive from.
    pub upstream: Upstream,
    /// The walreceiver; absent: its process is gone.
    pub receiver: Option<Receiver>,
    /// End of replay, with the timeline being replayed.
    pub replayed: Position,
    /// Ancestry of that timeline, from the copy's own file; absent when it cannot be read.
    pub history: Option<History>,
    /// `synchronous_standby_names` as shown.
    pub sync: SyncShown,
    /// False while pg_hba.conf keeps clients out and none is connected.
    pub clients_in: bool,
    /// Physical slots that exist, as far as this run of the agent knows.
    pub slots: BTreeSet<String>,
    /// Every timeline number below the goal's epoch has its history file, so that a promotion lands on that number.
    pub histories_complete: bool,
}

/// Where a standby is told to receive from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// From nobody: no conninfo, no restore command, and no password with which an old conninfo could still connect.
    Nobody,
    /// From an instance.
    Of(UpstreamSetting),
    /// Something else, or it is not known.
    Other,
}

/// What a standby's configuration says of its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSetting {
    /// Where it listens.
    pub address: Address,
    /// `application_name`.
    pub name: String,
    /// `primary_slot_name`.
    pub slot: String,
}

/// A walreceiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receiver {
    /// True in state `streaming`.
    pub streaming: bool,
    /// Timeline being received.
    pub timeline: TimelineId,
    /// Flushed up to here; says nothing of what was durable before this receiver started (F16).
    pub flushed: Lsn,
}

/// A server that is not in recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Timeline being written.
    pub timeline: TimelineId,
    /// True when `standby.signal` is in place, so that the server comes up as a standby whatever happens to it.
    pub signal_back: bool,
    /// `synchronous_standby_names` as shown.
    pub sync: SyncShown,
    /// False while pg_hba.conf keeps clients out.
    pub clients_in: bool,
    /// Physical slots that exist, as far as this run of the agent knows.
    pub slots: BTreeSet<String>,
    /// The roles of Interrex are there with their present passwords, as far as this run of the agent knows.
    pub roles_ready: bool,
    /// A beat of this epoch came back, by this run's knowledge.
    pub beaten: bool,
}

/// `synchronous_standby_names`, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncShown {
    /// Empty: no commit waits.
    Async,
    /// `ANY k (names)`; sorted names. Nobody but a standby of that name can acknowledge.
    Any {
        /// How many.
        k: u32,
        /// Who.
        names: Vec<String>,
    },
    /// Something else.
    Other,
}

/// Durable end of WAL, with the ancestry of its timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// End of the last valid record.
    pub position: Position,
    /// Ancestry of its timeline.
    pub history: History,
}

impl Observed {
    /// True when the server may have been told to promote since it was started.
    pub fn promotion_marked(&self) -> bool {
        self.memory.promoted.is_some()
    }

    /// Why an elected instance whose server is gone is not going to be promoted in this epoch any more: it was told to
    /// be, and a timeline number is never used twice. To be reported as the server's end where nobody saw that, or a
    /// machine that rebooted in the middle would be waited for in vain.
    pub fn ended_in(&self, goal: &Goal) -> Option<String> {
        let Goal::Primary(goal) = goal else { return None };
        let gone = self.server == Server::Gone && self.memory.promoted == Some(goal.epoch);
        gone.then(|| format!("it ended after it was told to promote in epoch {}", goal.epoch))
    }

    /// True when a seal of `epoch` was proved and its ground still stands.
    pub fn sealed_in(&self, epoch: Epoch) -> bool {
        self.proofs.sealed.is_some_and(|seal| seal.epoch == epoch)
    }

    /// True when the server was gone before the position of a seal of `epoch` was read.
    pub fn stopped_in(&self, epoch: Epoch) -> bool {
        self.proofs.sealed.is_some_and(|seal| seal.epoch == epoch && seal.stopped)
    }
}
