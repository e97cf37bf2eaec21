//! A model of PostgreSQL with the traps that matter (docs/POSTGRES.md): what is on disk, what runs, and who knows what
//! when. It knows nothing of epochs or goals beyond the settings that an agent wrote.
//!
//! `synchronous_standby_names` exists in three copies that learn of a change at different times: the postmaster's (what
//! a fresh connection shows), the checkpointer's (whether commits wait at all, F7) and each walsender's (how many, and
//! who, F8).

mod commit;
mod replicate;
mod run;

pub(crate) use commit::{By, holds};

use crate::parameters::Parameters;
use crate::slowness::Slowness;
use crate::wal::Place;
use crate::world::Time;
use interrex_cluster::ids::{Epoch, Incarnation};
use interrex_cluster::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// One instance's server: its directory, and its processes if it runs.
#[derive(Debug, Default)]
pub(crate) struct Postgres {
    pub(crate) dir: Option<Dir>,
    pub(crate) proc: Option<Proc>,
    /// Counts starts, so that what was meant for an earlier process reaches nobody.
    pub(crate) life: u32,
    /// Stopped (SIGSTOP, stalled storage): nothing of it moves until then.
    pub(crate) hung_until: Time,
    /// Nobody new is let in until then; who is there goes on.
    pub(crate) deaf_until: Time,
    /// While it is slow, a flush of its disk takes longer.
    pub(crate) slow_disk: Slowness,
    /// Nothing more can be written to its disk.
    pub(crate) full: bool,
    /// Nothing that is written becomes durable before this.
    pub(crate) stalled_until: Time,
}

/// A data directory.
#[derive(Debug, Clone)]
pub(crate) struct Dir {
    pub(crate) incarnation: Incarnation,
    /// The epoch that its identity names.
    pub(crate) epoch: Epoch,
    /// `standby.signal` is there.
    pub(crate) signal: bool,
    pub(crate) role: Role,
    /// pg_hba.conf lets clients in.
    pub(crate) lets_in: bool,
    /// Durable end of WAL.
    pub(crate) end: Place,
    /// Timeline numbers that have a history file; a placeholder is false.
    pub(crate) histories: BTreeMap<u32, bool>,
    pub(crate) state: ControlState,
    /// Data are whole only once this was replayed.
    pub(crate) needs: Option<Place>,
    /// What its data need is not on the line that it was led to: it never comes up again.
    pub(crate) hopeless: bool,
    /// Slots of the other instances are there.
    pub(crate) slots: bool,
    /// Two stretches of WAL under one number were mixed here (F20): it is worth nothing.
    pub(crate) torn: bool,
    /// WAL that these standbys' copies have yet to receive was thrown away here (F35).
    pub(crate) lost: BTreeMap<usize, Incarnation>,
    /// It, or what it was copied from, was there before Interrex: whether it has the agents' roles is to be seen.
    pub(crate) adopted: bool,
    /// What is configured.
    pub(crate) parameters: Parameters,
    /// The control file is of the timeline before: no checkpoint since the promotion (F26).
    pub(crate) control_behind: bool,
}

impl Dir {
    /// It bears no identity of ours: whoever made it may start a server on it.
    pub(crate) fn is_foreign(&self) -> bool {
        self.incarnation == Incarnation(0)
    }
}

/// What pg_control says of the last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlState {
    InProduction,
    InRecovery,
    ShutDown,
    ShutDownInRecovery,
}

/// `synchronous_standby_names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sync {
    /// 0: the setting is empty.
    pub(crate) k: u32,
    /// Sorted.
    pub(crate) names: Rc<Vec<String>>,
}

/// What an agent wrote into the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Sealed,
    Standby { upstream: usize, name: Rc<str>, slot: Rc<str> },
    Primary(Sync),
}

impl Role {
    /// Whether commits are told to wait.
    pub(crate) fn waits(&self) -> bool {
        match self {
            Role::Primary(sync) => sync.k > 0,
            Role::Sealed | Role::Standby { .. } => true,
        }
    }

    /// How many of whom; nobody can satisfy it who is not primary.
    fn counts(&self, name: &str) -> (u32, bool) {
        match self {
            Role::Primary(sync) => (sync.k, sync.names.iter().any(|n| n == name)),
            Role::Sealed | Role::Standby { .. } => (1, false),
        }
    }
}

/// How far a server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Recovering what it holds; lets nobody in.
    Starting,
    Standby,
    Primary,
}

/// A part of a server that reads the configuration by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Postmaster,
    Checkpointer,
    Startup,
    Sender(u32),
}

/// A server's processes.
#[derive(Debug)]
pub(crate) struct Proc {
    pub(crate) phase: Phase,
    /// Somebody else started it: it has no guard, and no agent looks into it.
    pub(crate) foreign: bool,
    /// A fast shutdown is under way: no commit begins any more.
    pub(crate) stopping: bool,
    /// The postmaster is dead and backends live on (F31).
    pub(crate) orphans: bool,
    /// The postmaster's copy of the settings.
    pub(crate) role: Role,
    /// The startup process's.
    pub(crate) startup: Role,
    /// The checkpointer's flag: commits wait (F7).
    pub(crate) waits: bool,
    /// It has not read the newest setting yet.
    pub(crate) checkpointer_behind: bool,
    pub(crate) lets_in: bool,
    /// End of what was written, durable or not.
    pub(crate) insert: u64,
    pub(crate) flushing: bool,
    /// What waits for the flush, then for standbys.
    pub(crate) unflushed: VecDeque<commit::Waiter>,
    pub(crate) waiters: VecDeque<commit::Waiter>,
    /// Released up to here.
    pub(crate) released: u64,
    /// The newest commit that shows.
    pub(crate) visible: Option<u64>,
    pub(crate) receiver: Option<Receiver>,
    /// What `pg_last_wal_receive_lsn` tells, and of which timeline: nothing before this process received anything (F16).
    pub(crate) received: Option<(u32, u64)>,
    pub(crate) tries: bool,
    pub(crate) senders: Vec<Sender>,
    /// Told to promote, in which epoch; it cannot be called back (F23).
    pub(crate) promoting: Option<Epoch>,
    /// The guard's deadline.
    pub(crate) deadline: Option<(Epoch, Instant)>,
    pub(crate) guard_set: bool,
    /// What replay checks, as it was when this server started.
    pub(crate) runs_with: u32,
    /// False of one that was started only to be promoted, with less than replay demands.
    pub(crate) asked: bool,
    /// How often its clients were cut off.
    pub(crate) cuts: u32,
}

/// A walreceiver.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) link: u32,
    pub(crate) upstream: usize,
    pub(crate) upstream_life: u32,
    pub(crate) streaming: bool,
    /// Timeline being received.
    pub(crate) timeline: u32,
    /// When its upstream last spoke.
    pub(crate) heard: Time,
    pub(crate) name: Rc<str>,
}

/// A walsender.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) link: u32,
    /// The instance that is served.
    pub(crate) to: usize,
    pub(crate) to_life: u32,
    pub(crate) name: Rc<str>,
    pub(crate) streaming: bool,
    pub(crate) sent: u64,
    /// What the receiver says; its *replay* position when it began (F17).
    pub(crate) flushed: u64,
    pub(crate) heard: Time,
    /// Its own copy of the setting: how many, and whether this standby is among them (F8).
    pub(crate) k: u32,
    pub(crate) counts: bool,
    /// It has not read the newest setting yet.
    pub(crate) behind: bool,
    /// It serves a timeline that was left: up to the fork, and then it says that this is the end.
    pub(crate) historic: bool,
}

impl Postgres {
    pub(crate) fn proc(&mut self, life: u32) -> Option<&mut Proc> {
        if self.life == life { self.proc.as_mut() } else { None }
    }

    /// Whether it answers a fresh connection.
    pub(crate) fn answers(&self) -> bool {
        self.proc
            .as_ref()
            .is_some_and(|proc| proc.phase != Phase::Starting && !proc.orphans && !proc.stopping)
    }

    /// Whether it is stopped in the middle of everything.
    pub(crate) fn hangs(&self, now: Time) -> bool {
        self.hung_until > now
    }

    /// Whether a server runs that somebody else started.
    pub(crate) fn runs_foreign(&self) -> bool {
        self.proc.as_ref().is_some_and(|proc| proc.foreign)
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.proc.as_ref().is_some_and(|proc| proc.phase == Phase::Primary)
    }
}
