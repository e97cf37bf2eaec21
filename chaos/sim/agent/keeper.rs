//! The lease as it is kept, and the beats that renew it.

use crate::event::Event;
use crate::postgres::{By, Phase};
use crate::stage::{Keeping, Order};
use crate::world::{MS, Time, World};
use interrex_cluster::goal::{Goal, PrimaryGoal};
use interrex_cluster::ids::Epoch;
use interrex_cluster::time::Instant;

/// While there is nothing to beat for, or no beat comes back.
const AGAIN_AFTER: Time = 100 * MS;

impl World {
    /// A coordinator granted a lease.
    pub(crate) fn granted(&mut self, i: usize, run: u32, epoch: Epoch, sent: Instant) {
        let (ttl, margin) = (self.policy.lease, self.margin());
        let agent = &mut self.own.agents[i];
        if !agent.up || agent.run != run {
            return;
        }
        let first = agent.book.lease.epoch() < epoch;
        agent.book.lease.grant(epoch, sent, ttl, margin);
        self.renew(i);
        if first {
            self.poke(i);
        }
    }

    /// Hands a later deadline to the guard.
    fn renew(&mut self, i: usize) {
        let book = &mut self.own.agents[i].book;
        let Some(epoch) = book.armed else { return };
        let k = u32::from(!book.asynchronous);
        let Some(until) = book.lease.until(k).filter(|_| book.lease.epoch() == epoch) else { return };
        if book.deadline.is_some_and(|held| held >= until) {
            return;
        }
        book.deadline = Some(until);
        self.set_deadline(i, epoch, until);
    }

    /// Commits are about to stop waiting: only what coordinators granted counts from here. True: the answer comes later.
    pub(super) fn go_asynchronous(&mut self, i: usize) -> Result<bool, String> {
        if self.order(Order::Keep { i, what: Keeping::Asynchronous }) {
            return Ok(true);
        }
        let book = &mut self.own.agents[i].book;
        let Some(epoch) = book.armed else { return Ok(false) };
        let until = book.lease.until(0).ok_or_else(|| format!("no lease is held for epoch {epoch}"))?;
        book.asynchronous = true;
        book.deadline = Some(until);
        self.set_deadline(i, epoch, until);
        Ok(false)
    }

    pub(super) fn go_synchronous(&mut self, i: usize) {
        self.own.agents[i].book.asynchronous = false;
        self.order(Order::Keep { i, what: Keeping::Synchronous });
    }

    /// The server is about to be promoted, under the lease of `epoch`. True: the answer comes later.
    pub(super) fn arm(&mut self, i: usize, epoch: Epoch, k: u32) -> Result<bool, String> {
        let life = self.own.servers[i].life;
        if self.order(Order::Keep { i, what: Keeping::Arm { life, epoch, k } }) {
            return Ok(true);
        }
        let now = self.clock(i);
        let book = &mut self.own.agents[i].book;
        let until = book.lease.until(k).filter(|_| book.lease.covers(epoch, k, now));
        let until = until.ok_or_else(|| format!("no lease is held for epoch {epoch}"))?;
        book.asynchronous = k == 0;
        book.armed = Some(epoch);
        book.deadline = Some(until);
        self.set_deadline(i, epoch, until);
        Ok(false)
    }

    /// The server is gone, and its guard with it.
    pub(super) fn disarm(&mut self, i: usize) {
        let book = &mut self.own.agents[i].book;
        book.armed = None;
        book.deadline = None;
        book.asynchronous = true;
        self.order(Order::Keep { i, what: Keeping::Disarm });
    }

    /// A beat is to begin at once.
    pub(super) fn beat_now(&mut self, i: usize) {
        if self.order(Order::BeatNow { i }) {
            return;
        }
        let agent = &mut self.own.agents[i];
        agent.beats.token += 1;
        let (run, token) = (agent.run, agent.beats.token);
        self.after(MS / 5, Event::Beat { i, run, token });
    }

    fn beat_in(&mut self, i: usize, wait: Time) {
        let agent = &mut self.own.agents[i];
        agent.beats.token += 1;
        let (run, token) = (agent.run, agent.beats.token);
        self.after(wait, Event::Beat { i, run, token });
    }

    /// The beat's loop.
    pub(crate) fn beat(&mut self, i: usize, run: u32, token: u32) {
        let agent = &self.own.agents[i];
        if !agent.up || agent.run != run || (token != 0 && agent.beats.token != token) {
            return;
        }
        if agent.beats.waiting.is_some() {
            // Its deadline: unknown.
            self.give_up_beat(i);
            return self.beat_in(i, AGAIN_AFTER);
        }
        let Some(goal) = self.reigns_by(i) else { return self.beat_in(i, AGAIN_AFTER) };
        let Goal::Primary(goal) = &goal.goal else { return };
        if !self.waits_for_standbys(i, goal) {
            return self.beat_in(i, AGAIN_AFTER);
        }
        if !self.begin_beat(i, goal.epoch) {
            return self.beat_in(i, AGAIN_AFTER);
        }
        let lease = Time::try_from(self.policy.lease.as_micros()).unwrap_or(Time::MAX);
        self.beat_in(i, lease);
    }

    /// The backend left waiting is ended before the next beat.
    pub(super) fn give_up_beat(&mut self, i: usize) {
        let agent = &mut self.own.agents[i];
        let run = agent.run;
        if let Some((beat, ..)) = agent.beats.waiting.take() {
            self.strand(i, run, beat);
        }
    }

    /// A beat is on its way; false: nobody takes it.
    pub(super) fn begin_beat(&mut self, i: usize, epoch: Epoch) -> bool {
        let serves = |phase: Phase| phase == Phase::Primary;
        let server = &self.own.servers[i];
        let up = server.proc.as_ref().is_some_and(|p| serves(p.phase) && !p.stopping && !p.orphans);
        if !up || self.stopped(i) || server.deaf_until > self.now {
            return false;
        }
        let sent = self.clock(i);
        let agent = &mut self.own.agents[i];
        agent.beats.number += 1;
        let beat = agent.beats.number;
        agent.beats.waiting = Some((beat, epoch, sent));
        let run = agent.run;
        self.write(i, By::Beat { run, beat });
        true
    }

    /// Where commits once waited for nobody, a beat proves something only once the checkpointer has heard (F7).
    pub(super) fn waits_for_standbys(&mut self, i: usize, goal: &PrimaryGoal) -> bool {
        let agent = &self.own.agents[i];
        let beaten = agent.server.beaten.is_some_and(|(epoch, _)| epoch == goal.epoch);
        if !agent.server.from_async || beaten || goal.sync.k == 0 {
            return true;
        }
        let proved = self.own.servers[i]
            .proc
            .as_ref()
            .is_some_and(|proc| !proc.checkpointer_behind && proc.role.waits());
        if proved {
            self.own.agents[i].server.from_async = false;
        }
        proved
    }

    /// A beat came back, or its connection ended.
    pub(crate) fn beaten(&mut self, i: usize, run: u32, beat: u64, good: bool) {
        let (ttl, margin, now) = (self.policy.lease, self.margin(), self.now);
        let agent = &mut self.own.agents[i];
        if !agent.up || agent.run != run {
            return;
        }
        let Some((waiting, epoch, sent)) = agent.beats.waiting.filter(|(waiting, ..)| *waiting == beat)
        else {
            return;
        };
        debug_assert_eq!(waiting, beat);
        agent.beats.waiting = None;
        let beaten = &mut agent.server.beaten;
        let first = good.then(|| beaten.replace((epoch, now)).is_none_or(|(before, _)| before != epoch));
        if self.order(Order::BeatOver { i, first }) {
            return;
        }
        let Some(first) = first else { return self.beat_in(i, AGAIN_AFTER) };
        let agent = &mut self.own.agents[i];
        if !agent.book.asynchronous {
            agent.book.lease.beat(epoch, sent, ttl, margin);
            self.renew(i);
        }
        if first {
            self.poke(i);
        }
        let lease = Time::try_from(self.policy.lease.as_micros()).unwrap_or(Time::MAX);
        self.beat_in(i, lease / 3);
    }
}
