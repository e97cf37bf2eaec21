//! Clients that hold a session: they are let in once, and write to the same server for as long as its processes know them,
//! whatever the record says of it by then. And clients that cancel what they have waited for too long (F2): the commit is
//! there, they are told that it may not be anywhere else, and it counts for nothing.

use crate::plan::Plan;
use crate::postgres::Phase;
use crate::rng::Rng;
use crate::world::World;

/// The stream of a seed that says whether its clients do so: runs without them are what they would be anyway.
const STREAM: u64 = 11;

/// A session, as its client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) server: usize,
    life: u32,
    /// How often the clients of that server had been cut off when it began.
    cuts: u32,
}

impl Plan {
    /// Clients hold their sessions in so many runs of a hundred.
    pub(crate) fn may_hold_sessions(&mut self, percent: u64) {
        self.holds_sessions = Rng::new(self.seed, STREAM).percent(percent);
    }
}

impl World {
    /// A session with a server that lets clients in.
    pub(crate) fn begin_session(&mut self, client: usize, server: usize) {
        let life = self.own.servers[server].life;
        let cuts = self.own.servers[server].proc.as_ref().map_or(0, |proc| proc.cuts);
        self.own.clients[client].session = Some(Session { server, life, cuts });
    }

    /// Where a client's session still is. The death of a postmaster does not end it, nor a change of who is let in.
    pub(crate) fn held_by(&self, client: usize) -> Option<usize> {
        let session = self.own.clients[client].session.filter(|_| self.plan.holds_sessions)?;
        let server = &self.own.servers[session.server];
        let proc = server.proc.as_ref().filter(|_| server.life == session.life)?;
        let lives = proc.phase == Phase::Primary && !proc.stopping && proc.cuts == session.cuts;
        (lives && !self.stopped(session.server)).then_some(session.server)
    }

    /// Whoever gave up asks for an end of what it waits for, over another connection.
    pub(crate) fn cancel(&mut self, client: usize, turn: u32) {
        let Some(session) = self.own.clients[client].session.filter(|_| self.plan.holds_sessions) else {
            return;
        };
        if self.own.servers[session.server].life == session.life && !self.stopped(session.server) {
            self.cancel_wait_of(session.server, client, turn);
        }
    }
}
