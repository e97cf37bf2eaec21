//! An endpoint, and those who read through it: it knows the route that coordinators tell (`interrex_cluster::route`), never
//! goes back to an older epoch, and sends its clients to nobody between two epochs. A reader sees what shows on the server
//! that it is sent to, and the properties keep it in mind.

use crate::event::Event;
use crate::wal::Place;
use crate::world::{MS, World};
use interrex_check::Fact;
use interrex_cluster::ids::Epoch;
use interrex_cluster::route::route;

/// Where an endpoint sends its clients.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    epoch: Epoch,
    /// How much of the log is behind its route.
    upto: usize,
    writer: Option<usize>,
}

impl Endpoint {
    /// Entries were lost: it goes on from the epoch that it knows.
    pub(crate) fn begins_anew(&mut self) {
        self.upto = 0;
    }
}

impl World {
    /// A coordinator has applied something: the endpoint is told in a moment, whatever became of it by then.
    pub(crate) fn tell_endpoint(&mut self, c: usize) {
        let state = self.coordinators[c].applied;
        let delay = self.rng.tail(MS / 10, 8 * MS);
        self.after(delay, Event::Route { state });
    }

    /// The endpoint hears of a route.
    pub(crate) fn route(&mut self, state: usize) {
        // What was told of a log that was cut off meanwhile is told anew.
        let Some(told) = self.log.states.get(state).map(|all| all[self.turn].clone()) else { return };
        let Some(record) = &told.record else { return };
        let route = route(record);
        if (route.epoch, state) <= (self.own.endpoint.epoch, self.own.endpoint.upto) {
            return;
        }
        let writer = route.writer.as_ref().map(|(name, _)| self.index(name));
        self.own.endpoint = Endpoint { epoch: route.epoch, upto: state, writer };
        if let Some((to, _)) = &route.writer {
            self.fact(&Fact::Routed { epoch: route.epoch, to, record });
        }
    }

    /// A reader's turn.
    pub(crate) fn read(&mut self) {
        let wait = self.rng.range(20 * MS, 200 * MS);
        self.after(wait, Event::Read);
        self.who_lets_in();
        let Some(i) = self.own.endpoint.writer.filter(|i| self.takes_clients(*i)) else { return };
        // It asks for a server that takes writes in the endpoint's epoch, and is sent away by any other.
        let server = &self.own.servers[i];
        let timeline = server.dir.as_ref().map(|dir| self.own.archive.timeline(dir.end.branch));
        let commit = server.proc.as_ref().and_then(|proc| proc.visible);
        if let Some(commit) = commit.filter(|_| timeline == Some(self.own.endpoint.epoch.0)) {
            let epoch = self.own.endpoint.epoch;
            self.fact(&Fact::Read { epoch, commit });
        }
    }

    /// Clients may have an old address: whoever lets them in serves.
    fn who_lets_in(&mut self) {
        for i in (0..self.own.servers.len()).filter(|i| self.takes_clients(*i)).collect::<Vec<_>>() {
            let (by, late_ms) = (self.own.names[i].clone(), self.past_its_lease(i));
            self.fact(&Fact::LetsIn { by: &by, late_ms });
        }
    }

    /// The newest commit that a server which lets clients in shows them: it has recovered all that it holds.
    pub(crate) fn shows(&self, end: Place) -> Option<u64> {
        let newest = self.own.commits.iter().rposition(|place| self.own.archive.includes(end, *place))?;
        u64::try_from(newest).ok()
    }
}
