//! Clients: each writes, waits for the answer, thinks, and writes again. They go to whatever server lets them in as a
//! primary, whether the record knows it or not: a client may have an old address. Whoever gets no answer does not know;
//! nothing is ever tried again.

use crate::danger::Danger;
use crate::event::Event;
use crate::postgres::By;
use crate::sessions::Session;
use crate::world::{MS, Time, World};

/// A client that waits for longer gives up.
const PATIENCE: Time = 700 * MS;

/// One client.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Its commit under way.
    pub(crate) waits: bool,
    /// Counts its commits.
    pub(crate) turn: u32,
    /// The session that it began last.
    pub(crate) session: Option<Session>,
}

impl World {
    /// A client's turn: to write, if somebody lets it.
    pub(crate) fn client(&mut self, client: usize) {
        if self.own.clients[client].waits {
            return;
        }
        if let Some(i) = self.held_by(client) {
            if !self.takes_clients(i) {
                self.reach.note(Danger::HeldSession);
            }
            return self.writes(client, i);
        }
        let open: Vec<usize> = (0..self.own.servers.len()).filter(|i| self.takes_clients(*i)).collect();
        if open.is_empty() {
            let wait = self.rng.range(20 * MS, 100 * MS);
            self.after(wait, Event::Client { client });
            return;
        }
        let i = open[self.rng.index(open.len())];
        self.begin_session(client, i);
        self.writes(client, i);
    }

    fn writes(&mut self, client: usize, i: usize) {
        let it = &mut self.own.clients[client];
        it.waits = true;
        it.turn += 1;
        let turn = it.turn;
        self.write(i, By::Client(client, turn));
        self.after(PATIENCE, Event::GivesUp { client, turn });
    }

    /// No answer came in time: it does not know, closes the connection, and goes on. Its backend waits on.
    pub(crate) fn gives_up(&mut self, client: usize, turn: u32) {
        if self.own.clients[client].turn == turn && self.own.clients[client].waits {
            self.cancel(client, turn);
            self.own.clients[client].waits = false;
            self.own.clients[client].turn += 1;
            self.own.clients[client].session = None;
            self.after(0, Event::Client { client });
        }
    }

    /// The answer, or the end of the connection.
    pub(crate) fn answer(&mut self, client: usize, turn: u32) {
        let it = &mut self.own.clients[client];
        if it.turn != turn || !it.waits {
            return;
        }
        it.waits = false;
        let idle = self.plan.opening_ms > 0 && !self.opens();
        let think = self.plan.think_ms * MS * if idle { 8 } else { 1 };
        let wait = self.rng.range(think / 2, think * 2);
        self.after(wait, Event::Client { client });
    }
}
