//! What can be done to the world: strikes, each with its moment and its end. A strike aims at a role and finds who bears
//! it when it falls (`strike.rs`); what it did to whom is undone by a [`Mend`], and all of it in the end (`heal.rs`).

use crate::coordinator::Wish;
use crate::world::Time;

/// Whom a strike is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The elected, promoted or not; in a failover, whoever was elected last.
    Primary,
    /// The n-th of the others.
    Standby(usize),
    /// The machine of the coordinator that leads.
    Leader,
    /// The n-th of all.
    Any(usize),
}

/// Something bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// A machine loses power and gets it back.
    Power {
        target: Target,
        ms: u64,
    },
    /// A server dies with all its processes.
    KillServer {
        target: Target,
    },
    /// Its postmaster dies; backends live on for a while.
    KillPostmaster {
        target: Target,
        orphans_ms: u64,
    },
    KillAgent {
        target: Target,
        ms: u64,
    },
    PauseMachine {
        target: Target,
        ms: u64,
    },
    PauseAgent {
        target: Target,
        ms: u64,
    },
    /// A server stops in the middle of everything.
    Hang {
        target: Target,
        ms: u64,
    },
    /// It lets nobody new in; who is there goes on.
    Deaf {
        target: Target,
        ms: u64,
    },
    Isolate {
        target: Target,
        ms: u64,
    },
    CutOneWay {
        target: Target,
        inward: bool,
        ms: u64,
    },
    CutPair {
        target: Target,
        other: usize,
        ms: u64,
    },
    KillCoordinator {
        target: Target,
        ms: u64,
    },
    PauseCoordinator {
        target: Target,
        ms: u64,
    },
    /// A coordinator loses its disk: it is taken out of the group, and comes back as a new one that knows nothing.
    LoseLog {
        target: Target,
        ms: u64,
    },
    /// A majority of the logs is lost, and an operator makes a group out of one that lacks the last entries.
    Recover {
        target: Target,
        back: usize,
        ms: u64,
    },
    /// An operator adds a coordinator to the group; it is started a while later.
    Admit {
        target: Target,
        ms: u64,
    },
    /// An operator removes a coordinator from the group. Its process goes on.
    Dismiss {
        target: Target,
    },
    /// Another coordinator wins an election though the leader is well.
    Dispute,
    SlowDisk {
        target: Target,
        times: u64,
        ms: u64,
    },
    SlowMachine {
        target: Target,
        times: u64,
        ms: u64,
    },
    /// Somebody calls `pg_ctl promote`.
    PromoteByHand {
        target: Target,
    },
    /// All machines lose power.
    Everything {
        ms: u64,
    },
    /// A service starts the server that is to be taken in, at the wrong moment.
    StartsFound {
        target: Target,
    },
    /// Whoever started the server that is to be taken in stops it.
    StopsFound {
        target: Target,
    },
    /// What keeps a PostgreSQL from being taken in is put right.
    PutsRight,
    /// An operator asks for something.
    Asks(Wish),
    /// The primary's agent dies, and a failover is asked for while its server serves on.
    Coup {
        to: usize,
        ms: u64,
    },
    /// The coordinator on that machine wins an election.
    Lead {
        target: Target,
    },
    /// Nothing reaches it but from itself and from one other machine.
    HearsOnly {
        target: Target,
        from: usize,
        ms: u64,
    },
    /// A goal that was told earlier in this epoch comes once more.
    Echo {
        target: Target,
    },
    /// Somebody cancels what waits for standbys (F2).
    CancelWaits {
        target: Target,
    },
    /// Nothing can be written to its disk any more (F35).
    FullDisk {
        target: Target,
        ms: u64,
    },
    /// Nothing that is written to its disk becomes durable for a while.
    StalledDisk {
        target: Target,
        ms: u64,
    },
    /// The primary throws WAL away that a standby has yet to receive (F35).
    LoseSlot {
        target: Target,
    },
}

/// A moment in the life of the cluster that a strike can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Begun,
    Sealed,
    Elected,
    Promoting,
    Promoted,
    Confirmed,
    Opened,
    RuleChanging,
    RuleProved,
    Rebuilding,
    Rebuilt,
    HandedOver,
    Registered,
}

impl Moment {
    pub(crate) const ALL: &[Moment] = &[
        Moment::Begun,
        Moment::Sealed,
        Moment::Elected,
        Moment::Promoting,
        Moment::Promoted,
        Moment::Confirmed,
        Moment::Opened,
        Moment::RuleChanging,
        Moment::RuleProved,
        Moment::Rebuilding,
        Moment::Rebuilt,
        Moment::HandedOver,
        Moment::Registered,
    ];
}

/// When a strike falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    At {
        ms: u64,
    },
    /// So long after a moment came for the n-th time.
    On {
        moment: Moment,
        nth: u32,
        after_ms: u64,
    },
}

/// A strike with its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// The number of the cluster that it is aimed at; whatever machines and coordinators it meets are everybody's.
    pub(crate) of: usize,
    pub(crate) when: When,
    pub(crate) strike: Strike,
}

/// The end of a strike.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mend {
    Power {
        machine: usize,
    },
    Agent {
        i: usize,
        run: u32,
    },
    Coordinator {
        c: usize,
        run: u32,
    },
    Link {
        a: usize,
        b: usize,
    },
    FullDisk {
        i: usize,
    },
    Orphans {
        i: usize,
        life: u32,
    },
    /// A server that a service started is noticed.
    Behind {
        i: usize,
        life: u32,
    },
    Resume,
}

/// What is known of strikes while they fall.
#[derive(Debug)]
pub(crate) struct Faults {
    links: u32,
    /// Faults are over: what was planned for later does not fall.
    pub(crate) over: bool,
    pub(crate) whole_since: Option<Time>,
    pub(crate) healing_since: Time,
    pub(crate) fallen: Vec<bool>,
    /// Somebody promoted a server behind everybody's back.
    pub(crate) by_hand: bool,
    /// Machines that are never switched on again.
    pub(crate) dead: Vec<bool>,
}

impl Faults {
    pub(crate) fn new(strikes: usize, machines: usize) -> Self {
        Self {
            links: 0,
            over: false,
            whole_since: None,
            healing_since: 0,
            fallen: vec![false; strikes],
            by_hand: false,
            dead: vec![false; machines],
        }
    }

    /// A number for a connection.
    pub(crate) fn next_link(&mut self) -> u32 {
        self.links += 1;
        self.links
    }
}
