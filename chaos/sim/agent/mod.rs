//! An agent, as the shipped one works (src/agent): the newest goal, a look, the goal written down as obeyed, the one
//! step that the rules name, and again. Beside that loop: reports to every coordinator, the lease's book, beats, knocks.
//!
//! What stands in [`Agent::memory`] is on its disk and survives a kill; all the rest is gone with the process. A deed is
//! a sequence of phases with time between them, so that a kill, a pause or a newer goal can come at any place.

mod adopt;
mod deeds;
mod elsewhere;
mod keeper;
mod lines;
mod look;
mod parameters;
mod rebuild;
mod reconcile;
mod seal;

use crate::postgres::Role;
use crate::world::Time;
use deeds::Deed;
use interrex_cluster::goal::StampedGoal;
use interrex_cluster::ids::{DirectoryId, Epoch, Incarnation, InstanceName, Stamp};
use interrex_cluster::instance::lease::Lease;
use interrex_cluster::instance::observed::{EarlyEnds, Memory, Observed};
use interrex_cluster::report::{Found, Knock, Need, Proofs, Report};
use interrex_cluster::time::Instant;
use interrex_cluster::wal::TimelineId;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What goes to every coordinator.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The cluster of who says it.
    pub(crate) of: usize,
    pub(crate) report: Report,
    /// The epoch to serve in.
    pub(crate) wants: Option<Epoch>,
    /// When the agent looked, by its own clock.
    pub(crate) seen: Instant,
}

/// A line to one coordinator: one report at a time, the newest next.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    busy_until: Time,
    waiting: bool,
}

/// What is known of the server since it was started.
#[derive(Debug, Clone, Default)]
struct Run {
    role: Option<Role>,
    upstream: Option<usize>,
    clients: Option<bool>,
    slots: BTreeSet<String>,
    roles_ready: bool,
    replaying: Option<TimelineId>,
    from_async: bool,
    promoted: bool,
    answered: Option<Time>,
    seen_since: Time,
    beaten: Option<(Epoch, Time)>,
    /// Its upstream has thrown away WAL that it needs.
    wal_gone: bool,
    /// The cluster's parameters, as written in this run.
    parameters: Option<BTreeMap<String, String>>,
    /// It was started with more than is configured, and is to be promoted with that.
    lowers: bool,
}

/// What is known beyond the server's run.
#[derive(Debug, Clone, Default)]
struct Known {
    end: Option<interrex_cluster::instance::observed::End>,
    endless: Option<String>,
    unrewindable: Option<(Incarnation, String)>,
    exit: Option<String>,
    /// Why a copy counts for nothing.
    doubt: Option<(Incarnation, String)>,
    early_ends: Option<EarlyEnds>,
    /// No further start before this.
    start_after: Time,
    proofs: Proofs,
    need: Option<Need>,
    doing: Option<String>,
    async_since: Option<Instant>,
    /// What lies in a directory that is to be adopted, and when that was looked at.
    found: Option<(Time, Found)>,
}

/// The lease's book.
#[derive(Debug, Clone, Default)]
struct Book {
    lease: Lease,
    /// Commits may be acknowledged without standbys, as far as is known.
    asynchronous: bool,
    armed: Option<Epoch>,
    deadline: Option<Instant>,
}

/// Knocks at the primary's port.
#[derive(Debug, Clone, Copy, Default)]
struct Knocks {
    epoch: Epoch,
    last: Time,
    /// Since when nobody answered.
    failing: Option<Time>,
    told: Option<bool>,
    since: Time,
}

/// The beat that is under way.
#[derive(Debug, Clone, Copy, Default)]
struct Beats {
    token: u32,
    number: u64,
    waiting: Option<(u64, Epoch, Instant)>,
}

/// One agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: InstanceName,
    pub(crate) directory: DirectoryId,
    pub(crate) up: bool,
    pub(crate) run: u32,
    pub(crate) paused_until: Time,
    /// On disk.
    pub(crate) memory: Memory,
    /// The floor that registration answered with; absent before.
    pub(crate) floor: Option<Stamp>,
    told: Option<Rc<StampedGoal>>,
    place: crate::event::Elected,
    /// The server's life that this agent knows to run.
    process: Option<u32>,
    /// How the server ended, as the guard told it.
    pub(crate) exit_words: &'static str,
    server: Run,
    known: Known,
    book: Book,
    knocks: Knocks,
    /// What knocks of a loop that is elsewhere found.
    found: Option<Knock>,
    beats: Beats,
    token: u32,
    /// A look whose step is due.
    looked: Option<(Option<Rc<StampedGoal>>, Observed)>,
    /// Something changed since the last look.
    again: bool,
    deed: Option<Deed>,
    deeds: u32,
    patience: Time,
    outgoing: Option<Rc<Outgoing>>,
    lines: Vec<Line>,
    words: u64,
}

impl Agent {
    /// An agent that never ran.
    pub(crate) fn new(name: InstanceName, coordinators: usize) -> Self {
        let directory = DirectoryId(format!("directory-of-{name}"));
        Self {
            name,
            directory,
            up: false,
            run: 0,
            paused_until: 0,
            memory: Memory::default(),
            floor: None,
            told: None,
            place: None,
            process: None,
            exit_words: "",
            server: Run::default(),
            known: Known::default(),
            book: Book::default(),
            knocks: Knocks::default(),
            found: None,
            beats: Beats::default(),
            token: 0,
            looked: None,
            again: false,
            deed: None,
            deeds: 0,
            patience: 0,
            outgoing: None,
            lines: vec![Line::default(); coordinators],
            words: 0,
        }
    }

    /// The server's log tells that WAL which it needs is gone.
    pub(crate) fn miss_wal(&mut self) {
        self.server.wal_gone = !crate::mutants::on(crate::mutants::Mutant::MissingWal);
    }

    /// Whether it is in the middle of a deed.
    pub(crate) fn is_busy(&self) -> bool {
        self.up && self.deed.is_some()
    }

    /// Where it stands, in a few words.
    pub(crate) fn tableau(&self, i: usize) -> String {
        let told = self.told.as_ref().map(|told| told.stamp.to_string());
        let deed = self.deed.as_ref().map(|deed| deed.step.to_string());
        format!(
            "n{}: up {} told {told:?} deed {deed:?} need {:?} memory {:?}",
            i + 1,
            self.up,
            self.known.need,
            self.memory
        )
    }
}
