//! What an agent says of its instance. A report is testimony: it has an author, and whoever receives it adds its age
//! ([`crate::view`]). Reports live in memory and never enter the log; what must last is drawn from them into a command.
//!
//! Absence always means *unknown*, never zero and never "no".

use crate::ids::{DirectoryId, Epoch, Incarnation, InstanceName, Revision, RuleNumber, Stamp, SystemId};
use crate::receipt::Receipt;
use crate::spec::digest;
use crate::wal::{History, Lsn, Position, TimelineId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters that replay compares with the primary's: a standby that has less of one pauses its replay, cannot be
/// promoted, and does not start (F25).
pub const REPLAY_CHECKS: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// Everything that one agent says of one instance, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who speaks.
    pub instance: InstanceName,
    /// Which data directory speaks; another than the registered one counts for nothing.
    pub directory: DirectoryId,
    /// The highest goal obeyed, as it stands fsynced on the agent's disk.
    pub obeyed: Stamp,
    /// The incarnation of the copy on disk.
    pub incarnation: Incarnation,
    /// The server, as the agent sees it.
    pub server: Server,
    /// Things proved once and durable since; each names the epoch it belongs to.
    pub proofs: Proofs,
    /// The instance cannot follow with the copy it has and asks for leave to rebuild it.
    pub needs: Option<Need>,
    /// Why the copy counts for nothing, although its incarnation is the record's: it ends below what it told before, or
    /// what it says of itself and what its agent remembers do not fit (PROTOCOL.md clause 8). Absent: nothing is doubted.
    pub doubt: Option<String>,
    /// How its server keeps ending before it answers anything; absent while it does not.
    pub failing: Option<Failing>,
    /// The newest receipt that stands on its machine; absent: there is none.
    pub receipt: Option<Receipt>,
    /// What the agent found when it knocked at the primary's port: only fresh knocks are told. A primary's own agent tells of
    /// its own server, and only that it has let nobody new in for a while.
    pub knock: Option<Knock>,
    /// Why this instance must not be promoted at the moment; empty when nothing speaks against it.
    pub unfit: Vec<Unfit>,
    /// Parameters whose new values wait for a restart of the server.
    pub pending_restart: Vec<String>,
    /// Digest ([`crate::spec::digest`]) of the cluster's parameters that the server has read, which `pending_restart` is
    /// about; absent: none since its agent or it began.
    pub parameters: Option<u64>,
    /// What the agent is busy with, in a few words, with progress: for people.
    pub doing: Option<String>,
    /// Lease that is left to the agent, in milliseconds; absent when it holds none.
    pub lease_left_ms: Option<u64>,
    /// The data directory that was there before Interrex; absent: there is none, or it is not asked for.
    pub found: Option<Found>,
    /// What its machine's node file has wrong about the coordinators, a few words each: for people. Empty: nothing, or
    /// nothing that its agent knows.
    pub stale_coordinators: Vec<String>,
    /// Why nothing can be said of the data directory that may be adopted: it cannot be read, or holds something else.
    /// Absent: it was looked at, or is not asked for.
    pub unseen: Option<String>,
}

impl Report {
    /// Whether the server has read `parameters`, the cluster's, as they are; `None`: that is not told.
    pub fn has_read(&self, parameters: &BTreeMap<String, String>) -> Option<bool> {
        self.parameters.map(|read| read == digest(parameters))
    }

    /// Without what moves all the time (WAL positions, ages, progress in words): two that differ in what is left are
    /// news.
    pub fn lasting(&self) -> Report {
        let mut still = Report { doing: None, lease_left_ms: None, ..self.clone() };
        match &mut still.server {
            Server::Silent { for_ms, .. } => *for_ms = 0,
            Server::Standby(standby) => {
                standby.replayed = Default::default();
                if let Some(receiver) = &mut standby.receiver {
                    receiver.flushed = Default::default();
                    receiver.quiet_ms = 0;
                }
            }
            Server::Primary(primary) => {
                primary.flushed = Default::default();
                primary.beat_age_ms = None;
                for sender in &mut primary.senders {
                    sender.flushed = Default::default();
                    sender.replayed = Default::default();
                    sender.reply_age_ms = 0;
                    sender.behind_ms = 0;
                }
            }
            Server::NoData | Server::Stopped { .. } | Server::Starting { .. } => {}
        }
        if let Some(knock) = &mut still.knock {
            knock.for_ms = 0;
        }
        still
    }
}

/// A data directory that was there before Interrex, as its agent found it. Told while its adoption is wanted, and nothing
/// in it is changed for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its system identifier.
    pub system: SystemId,
    /// It has `standby.signal` or `recovery.signal`: a standby's. Without one, a primary's.
    pub standby: bool,
    /// Process id of the postmaster that runs on it; absent: none does.
    pub running: Option<u32>,
    /// Where its WAL ends, and how it came there; absent while it runs, or where its files do not tell.
    pub end: Option<(Position, History)>,
    /// The highest timeline number that it knows of, on its line or not: none up to it is free any more.
    pub highest: TimelineId,
    /// Why it cannot be taken in as it is, and the way out; absent: it can.
    pub refused: Option<String>,
    /// What its operator should know, a sentence each.
    pub notes: Vec<String>,
    /// The timeline that its control file speaks of: known while it runs, too. Its WAL may be further. Absent: an agent
    /// that does not tell.
    pub timeline: Option<TimelineId>,
}

impl Report {
    /// A report that says nothing but who speaks and what the server is: everything else is unknown, or none.
    pub fn of(instance: InstanceName, directory: DirectoryId, server: Server) -> Self {
        Self {
            instance,
            directory,
            obeyed: Stamp::default(),
            incarnation: Incarnation(0),
            server,
            proofs: Proofs::default(),
            needs: None,
            knock: None,
            unfit: Vec::new(),
            pending_restart: Vec::new(),
            parameters: None,
            doing: None,
            receipt: None,
            doubt: None,
            failing: None,
            lease_left_ms: None,
            found: None,
            stale_coordinators: Vec::new(),
            unseen: None,
        }
    }
}

/// The PostgreSQL server of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Server {
    /// No data directory, or one that was never finished.
    NoData,
    /// A directory and no process: postmaster and all children are gone.
    Stopped {
        /// Its system identifier, from pg_control.
        system: SystemId,
        /// How it ended, as far as the agent saw it; absent when it was found so.
        exit: Option<String>,
    },
    /// The process is there and does not yet let anybody in (57P03).
    Starting {
        /// Its system identifier, from pg_control.
        system: SystemId,
    },
    /// The process is there and does not answer within the probe's deadline.
    Silent {
        /// For how long it has not answered, in milliseconds.
        for_ms: u64,
        /// What the agent met instead of an answer, in words.
        why: Option<String>,
    },
    /// Up, as a standby.
    Standby(Standby),
    /// Up, as a primary: not in recovery.
    Primary(Primary),
}

/// A server in recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// Its system identifier.
    pub system: SystemId,
    /// End of replay.
    pub replayed: Lsn,
    /// The walreceiver, when there is one.
    pub receiver: Option<Receiver>,
}

/// A walreceiver, first-hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Instance that it receives from, as the agent configured it; absent when it cannot tell.
    pub upstream: Option<InstanceName>,
    /// True in state `streaming`.
    pub streaming: bool,
    /// Timeline being received.
    pub timeline: TimelineId,
    /// Flushed up to here. Says nothing about what was durable before this receiver started (F16).
    pub flushed: Lsn,
    /// Milliseconds since WAL last moved or the primary last spoke, by the agent's clock.
    pub quiet_ms: u64,
}

/// A server that is not in recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Primary {
    /// Its system identifier.
    pub system: SystemId,
    /// Timeline being written.
    pub timeline: TimelineId,
    /// Flushed up to here.
    pub flushed: Lsn,
    /// Walsenders of our standbys, by name. A foreign walsender is not among them.
    pub senders: Vec<Sender>,
    /// True once clients are let in.
    pub open: bool,
    /// Milliseconds since a beat (a small synchronous commit) last came back; absent before the first.
    pub beat_age_ms: Option<u64>,
}

/// A walsender that serves an instance under its proper name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The instance served.
    pub instance: InstanceName,
    /// The incarnation that stands in the standby's name.
    pub incarnation: Incarnation,
    /// True in state `streaming`.
    pub streaming: bool,
    /// What the standby says it has flushed.
    pub flushed: Lsn,
    /// What it says it has replayed.
    pub replayed: Lsn,
    /// Milliseconds since it last answered.
    pub reply_age_ms: u64,
    /// Milliseconds since there has been WAL that it has not replayed, as far as the primary's agent has looked; 0: there is
    /// none. For people alone.
    pub behind_ms: u64,
}

/// What was proved, and for which epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs {
    /// initdb is done: the system identifier and the end of WAL of the new, stopped directory.
    pub created: Option<(SystemId, Position)>,
    /// Sealed: refuses every epoch below this one, receives from nobody, and holds WAL up to here.
    pub sealed: Option<Seal>,
    /// Promoted in this epoch.
    pub promoted: Option<Promotion>,
    /// Ancestry of the promoted timeline, as its history file tells it: goes with `promoted`.
    pub promoted_line: Option<History>,
    /// The epoch whose first synchronous commit came back, clients let in after it.
    pub opened: Option<Epoch>,
    /// The commit rule of this number is in force on the primary: setting shown, every walsender works by it, and
    /// `k` of `S` have flushed the primary's LSN as taken after that (PROTOCOL.md, the three-part barrier).
    pub rule: Option<(Epoch, RuleNumber)>,
    /// The rebuild granted with this incarnation is finished, the copy verified.
    pub rebuilt: Option<Incarnation>,
    /// The checkpoint that was asked for under this number is done.
    pub checkpoint: Option<Revision>,
    /// The server was started anew since the restart of this number was asked for.
    pub restarted: Option<Revision>,
    /// PostgreSQL's judgement of the parameters proposed under this number: refused and why, or taken.
    pub judged: Option<(Revision, Option<String>)>,
    /// What the operator should know of how the directory was taken in, a sentence each: goes with `promoted`.
    pub noted: Vec<String>,
}

/// A proof of sealing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The epoch it is sealed for.
    pub epoch: Epoch,
    /// Durable end of WAL, read after the receiver was gone.
    pub position: Position,
    /// True when the postmaster and all its children were gone before the position was read. Only such a seal of the
    /// old primary proves that it can acknowledge nothing any more.
    pub stopped: bool,
    /// Where the timeline of `position` branched off, from its history file; absent for timeline 1. Needed when that
    /// timeline was opened by a promotion that never came to be confirmed.
    pub fork: Option<Promotion>,
}

/// A promotion that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The epoch, and the number of the new timeline.
    pub epoch: Epoch,
    /// The timeline it branched off.
    pub parent: TimelineId,
    /// Where it branched off: the end of the last common record.
    pub begin: Lsn,
}

impl Promotion {
    /// By which a timeline came to be; `None` for the first, and one whose history does not tell.
    pub fn of(line: &History) -> Option<Self> {
        let parent = line.ancestors.last()?;
        Some(Self { epoch: Epoch(line.timeline.0), parent: parent.timeline, begin: parent.end })
    }
}

/// Why the copy on disk cannot follow as it is, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// How it can be brought back.
    pub rebuild: Rebuild,
    /// The incarnation of the copy that cannot follow; a need of an older copy is void.
    pub incarnation: Incarnation,
    /// In words: "wrote 48 kB past the fork at 0/3000060", "no data directory".
    pub why: String,
}

/// A server that ends by itself while it is starting, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// How often in a row with the present copy.
    pub times: u32,
    /// Copies made one after the other, of which none ever answered.
    pub clones: u32,
    /// The last lines that it wrote to its log, oldest first.
    pub lines: Vec<String>,
}

/// How a copy is brought back onto the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rebuild {
    /// pg_rewind: the copy shares an ancestor with the primary.
    Rewind,
    /// pg_basebackup into a new directory.
    Clone,
}

/// What a knock at the primary's port found: a TCP connection and an answer to SSLRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock {
    /// The epoch whose primary was knocked at.
    pub epoch: Epoch,
    /// True when it answered within the deadline.
    pub answered: bool,
    /// For how long the same has been found without a break, in milliseconds.
    pub for_ms: u64,
}

/// A reason why an instance must not be promoted as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfit {
    /// A parameter that replay checks is lower than on the primary: promotion would kill the server (F25).
    ParameterTooLow {
        /// The parameter.
        name: String,
    },
    /// Replay is paused (F25), and will not go on by itself.
    ReplayPaused,
    /// Too little room on the data volume.
    DiskNearlyFull {
        /// Bytes free.
        free: u64,
    },
    /// Durability is switched off: `fsync` or `full_page_writes`.
    NotDurable {
        /// The setting that is off.
        setting: String,
    },
}
