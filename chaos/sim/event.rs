//! What can happen, and to whom. An event names the run of whoever it is for: what was meant for a process that was
//! killed meanwhile reaches nobody.

use crate::agent::Outgoing;
use crate::coordinator::Ask;
use crate::faults::Mend;
use crate::postgres::Part;
use crate::wal::Place;
use interrex_cluster::goal::StampedGoal;
use interrex_cluster::ids::{Epoch, Stamp};
use interrex_cluster::time::Instant;
use std::rc::Rc;

/// Whose event it is: what is stopped gets it later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    Coordinator(usize),
    Agent(usize),
    Server(usize),
}

/// Whom an update of the goals names as elected, and in which epoch.
pub(crate) type Elected = Option<(usize, Epoch)>;

#[derive(Debug)]
pub(crate) enum Event {
    // the world
    Strike { number: usize },
    Mend(Mend),
    Heal,
    Healed,
    Calm,
    Client { client: usize },
    Read,
    Route { state: usize },
    GivesUp { client: usize, turn: u32 },
    // coordinators
    RaftTick,
    Commit { c: usize, run: u32, id: u64 },
    Apply { c: usize, run: u32, upto: usize },
    Look { c: usize, run: u32, token: u32 },
    Confirmed { c: usize, run: u32, term: u64, ask: Ask },
    Grants { c: usize, run: u32, term: u64, ask: Ask },
    WatchOpen { c: usize, run: u32, i: usize },
    Report { c: usize, crun: u32, i: usize, serial: (u32, u64), sent: Instant, said: Rc<Outgoing> },
    // agents
    Register { i: usize, run: u32 },
    Welcome { i: usize, run: u32, floor: Stamp, goal: Rc<StampedGoal> },
    Goal { i: usize, run: u32, c: usize, crun: u32, goal: Option<Rc<StampedGoal>>, place: Elected },
    Granted { i: usize, run: u32, epoch: Epoch, sent: Instant },
    Wake { i: usize, run: u32, token: u32 },
    Act { i: usize, run: u32, token: u32 },
    Deed { i: usize, run: u32, deed: u32 },
    Side { i: usize, run: u32, deed: u32 },
    Line { i: usize, run: u32, c: usize },
    Heart { i: usize, run: u32, token: u32 },
    Beat { i: usize, run: u32, token: u32 },
    Beaten { i: usize, run: u32, beat: u64, good: bool },
    // servers
    Up { i: usize, life: u32 },
    Conf { i: usize, life: u32, part: Part },
    Receive { i: usize, life: u32 },
    Connect { i: usize, life: u32, link: u32 },
    Check { i: usize, life: u32, link: u32 },
    Wal { i: usize, life: u32, link: u32, to: Place },
    Ack { i: usize, life: u32, link: u32, flushed: u64 },
    Flush { i: usize, life: u32 },
    Promote { i: usize, life: u32 },
    Gone { i: usize, life: u32, exit: &'static str },
    Guard { i: usize, life: u32 },
}

impl Event {
    /// Who has to be awake for it.
    pub(crate) fn whose(&self) -> Option<Whose> {
        match self {
            Event::Commit { c, .. }
            | Event::Apply { c, .. }
            | Event::Look { c, .. }
            | Event::Confirmed { c, .. }
            | Event::Grants { c, .. }
            | Event::WatchOpen { c, .. }
            | Event::Report { c, .. } => Some(Whose::Coordinator(*c)),
            Event::Register { i, .. }
            | Event::Welcome { i, .. }
            | Event::Goal { i, .. }
            | Event::Granted { i, .. }
            | Event::Wake { i, .. }
            | Event::Act { i, .. }
            | Event::Deed { i, .. }
            | Event::Side { i, .. }
            | Event::Line { i, .. }
            | Event::Heart { i, .. }
            | Event::Beat { i, .. }
            | Event::Beaten { i, .. } => Some(Whose::Agent(*i)),
            Event::Up { i, .. }
            | Event::Conf { i, .. }
            | Event::Receive { i, .. }
            | Event::Connect { i, .. }
            | Event::Check { i, .. }
            | Event::Wal { i, .. }
            | Event::Ack { i, .. }
            | Event::Flush { i, .. }
            | Event::Promote { i, .. } => Some(Whose::Server(*i)),
            // What is killed is gone whether it was stopped or not; the guard's own pause is the machine's.
            Event::Gone { .. } | Event::Guard { .. } => None,
            Event::Strike { .. }
            | Event::Mend(_)
            | Event::Heal
            | Event::Healed
            | Event::Calm
            | Event::Client { .. }
            | Event::Read
            | Event::Route { .. }
            | Event::GivesUp { .. }
            | Event::RaftTick => None,
        }
    }
}
