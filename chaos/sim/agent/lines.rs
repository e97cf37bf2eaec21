//! The lines to the coordinators: every one gets every report, one at a time, the newest next.

use super::Outgoing;
use crate::coordinator::Ask;
use crate::event::Event;
use crate::stage::Order;
use crate::world::{MS, Time, World};
use interrex_cluster::ids::Epoch;
use interrex_cluster::report::Report;
use std::rc::Rc;

/// A report that is not answered within this is given up.
const REPORT_WITHIN: Time = 600 * MS;

impl World {
    /// Something is to be told.
    pub(super) fn send(&mut self, i: usize, report: Report, wants: Option<Epoch>) {
        let seen = self.clock(i);
        let of = self.turn;
        self.own.agents[i].outgoing = Some(Rc::new(Outgoing { of, report, wants, seen }));
        self.send_on_all(i);
    }

    /// The outgoing report is amended and told at once.
    pub(super) fn amend(&mut self, i: usize, change: impl FnOnce(&mut Report)) {
        let Some(before) = self.own.agents[i].outgoing.clone() else { return };
        let mut report = before.report.clone();
        change(&mut report);
        let (of, wants, seen) = (before.of, before.wants, before.seen);
        self.own.agents[i].outgoing = Some(Rc::new(Outgoing { of, report, wants, seen }));
        self.send_on_all(i);
    }

    pub(super) fn send_on_all(&mut self, i: usize) {
        if self.is_stage() {
            let Some(said) = self.own.agents[i].outgoing.clone() else { return };
            let (report, wants_lease, seen) = (Box::new(said.report.clone()), said.wants, said.seen);
            self.order(Order::Report { i, report, wants_lease, seen });
            return;
        }
        for c in 0..self.coordinators.len() {
            self.send_on(i, c);
        }
    }

    fn send_on(&mut self, i: usize, c: usize) {
        let now = self.now;
        let run = self.own.agents[i].run;
        let line = &mut self.own.agents[i].lines[c];
        if line.busy_until > now {
            if !line.waiting {
                line.waiting = true;
                let at = line.busy_until;
                self.at(at, Event::Line { i, run, c });
            }
            return;
        }
        let Some(said) = self.own.agents[i].outgoing.clone() else { return };
        self.own.agents[i].words += 1;
        let serial = (run, self.own.agents[i].words);
        let sent = self.clock(i);
        let out = self.network.delay(&mut self.rng, i, c);
        let back = self.network.delay(&mut self.rng, c, i);
        let answers = self.network.talk(i, c) && self.coordinators[c].up;
        self.own.agents[i].lines[c].busy_until = now + if answers { out + back } else { REPORT_WITHIN };
        let crun = self.coordinators[c].run;
        if self.rng.percent(self.pace().replays) {
            let later = self.rng.range(500 * MS, 40_000 * MS);
            self.after(later, Event::Report { c, crun, i, serial, sent, said: said.clone() });
        }
        self.after(out, Event::Report { c, crun, i, serial, sent, said });
    }

    /// A line is free again, and something waits.
    pub(crate) fn line(&mut self, i: usize, run: u32, c: usize) {
        let agent = &mut self.own.agents[i];
        if agent.up && agent.run == run {
            agent.lines[c].waiting = false;
            self.send_on(i, c);
        }
    }

    pub(super) fn ask_to_register(&mut self, c: usize, i: usize, run: u32) {
        self.ask(c, Ask::Register { i, run });
    }
}
