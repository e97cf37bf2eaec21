//! Streaming: a receiver here, a sender there, and what they tell each other.
//!
//! F17 a receiver that begins reports its *replay* position as flushed, on whatever timeline: one that is diverged then
//! seems to hold what it does not. F20 two timelines of one number are taken for one. F14 a dead peer looks alive until a
//! timeout. F16 what a standby says it received begins anew with its process. F40 a receiver is there until its process
//! is gone.

use super::{Part, Phase, Receiver, Role, Sender};
use crate::danger::Danger;
use crate::event::Event;
use crate::traps::Trap;
use crate::wal::Place;
use crate::world::{MS, S, Time, World};
use std::rc::Rc;

/// `wal_retrieve_retry_interval`.
const RETRY: Time = 100 * MS;
/// `wal_receiver_timeout`, `wal_sender_timeout`.
const TIMEOUT: Time = 5 * S;
/// How often a connection is looked after; `wal_receiver_status_interval`.
const STATUS: Time = S;
/// `wal_segment_size`.
const SEGMENT: u64 = 16 << 20;
/// How long a diverged receiver looks as if it streamed, before it is told that its timeline ends.
const DELUSION: Time = 20 * MS;

/// How a standby's WAL relates to its upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// On the line, not past its end.
    Behind,
    /// Past the end of the upstream's own.
    Ahead,
    /// Past a fork: its number is known there, its WAL is not.
    Diverged,
    /// The same number, another timeline.
    Collision,
    /// A number that is not in the upstream's history.
    Stranger,
}

impl World {
    /// The startup process wants WAL: is there an upstream?
    pub(crate) fn receive(&mut self, i: usize, life: u32) {
        let server = &mut self.own.servers[i];
        let Some(proc) = server.proc.as_mut().filter(|_| server.life == life) else { return };
        proc.tries = false;
        if proc.receiver.is_some()
            || proc.promoting.is_some()
            || proc.phase == Phase::Primary
            || proc.stopping
        {
            return;
        }
        let Role::Standby { upstream, name, .. } = &proc.startup else { return };
        let (upstream, name) = (*upstream, name.clone());
        // The password went first, and comes back for the next upstream's conninfo alone: an old one gets through nowhere.
        let same = |role: &Role| matches!(role, Role::Standby { name: now, .. } if *now == name);
        let password = server.dir.as_ref().is_some_and(|dir| same(&dir.role));
        let up = |phase: Phase| phase != Phase::Starting;
        let there = &self.own.servers[upstream];
        let lets = there.proc.as_ref().is_some_and(|p| up(p.phase) && !p.stopping && !p.orphans);
        let slots = there.dir.as_ref().is_some_and(|dir| dir.slots);
        if !password || !lets || !slots || !self.network.talk(i, upstream) || self.stopped(upstream) {
            return self.try_again(i);
        }
        let upstream_life = there.life;
        let link = self.faults.next_link();
        let now = self.now;
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            proc.receiver = Some(Receiver {
                link,
                upstream,
                upstream_life,
                streaming: false,
                timeline: 0,
                heard: now,
                name,
            });
        }
        let shake = self.takes(i, MS, 20 * MS) + 2 * self.network.delay(&mut self.rng, i, upstream);
        self.after(shake, Event::Connect { i, life, link });
        self.after(shake + STATUS, Event::Check { i, life, link });
    }

    pub(super) fn try_again(&mut self, i: usize) {
        let life = self.own.servers[i].life;
        if let Some(proc) = self.own.servers[i].proc.as_mut().filter(|proc| !proc.tries) {
            proc.tries = true;
            let wait = RETRY + self.rng.below(10 * MS);
            self.after(wait, Event::Receive { i, life });
        }
    }

    /// The upstream answers a receiver that connected.
    pub(crate) fn connect(&mut self, i: usize, life: u32, link: u32) {
        let Some((upstream, upstream_life, name)) = self.receiver(i, life, link) else { return };
        let Some(end) = self.own.servers[i].dir.as_ref().map(|dir| dir.end) else { return };
        let lost = !self.network.talk(i, upstream) || self.own.servers[upstream].life != upstream_life;
        let gone = self.own.servers[upstream].proc.as_ref().is_none_or(|p| p.stopping || p.orphans);
        if lost || gone {
            return self.end_receiver(i);
        }
        // A slot serves one connection: what is left of the last one goes when the new one is heard of.
        let stale: Vec<u32> = self.own.servers[upstream]
            .proc
            .iter()
            .flat_map(|proc| proc.senders.iter().filter(|s| s.to == i).map(|s| s.link))
            .collect();
        if !stale.is_empty() && self.rng.percent(30) {
            return self.end_receiver(i);
        }
        for link in stale {
            self.end_sender(upstream, link);
        }
        if self.thrown_away(i, upstream) {
            self.reach.note(Danger::SlotLost);
            self.own.agents[i].miss_wal();
            return self.end_receiver(i);
        }
        let relation = self.relation(i, upstream);
        match relation {
            Relation::Ahead | Relation::Stranger => return self.end_receiver(i),
            Relation::Diverged if !self.has(Trap::F17) => return self.end_receiver(i),
            Relation::Collision if !self.has(Trap::F20) => return self.end_receiver(i),
            Relation::Collision => {
                self.say(|| format!("n{} streams over its own WAL: two timelines of one number", i + 1));
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.torn = true;
                }
                // Of a promotion by hand, off the very place and under the very number of the real one, nobody can tell
                // afterwards (F20): whatever comes of it is known, and no longer judged.
                if self.faults.by_hand {
                    self.over = true;
                    return;
                }
            }
            Relation::Behind | Relation::Diverged => {}
        }
        let now = self.now;
        let cascades = !self.own.servers[upstream].is_primary();
        let Some(proc) = self.own.servers[upstream].proc.as_mut() else { return };
        let (k, counts) = proc.role.counts(&name);
        // A walsender counts by what the postmaster had when it was forked; one that cascades counts for nothing.
        proc.senders.push(Sender {
            link,
            to: i,
            to_life: life,
            name,
            streaming: true,
            sent: end.lsn,
            flushed: end.lsn,
            heard: now,
            k,
            counts: counts && !cascades,
            behind: false,
            historic: relation == Relation::Diverged,
        });
        let timeline = self.own.archive.timeline(end.branch);
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            // On a timeline that it did not receive before, this process knows the segment and no more.
            proc.received = proc
                .received
                .filter(|(of, _)| *of == timeline)
                .or(Some((timeline, end.lsn & !(SEGMENT - 1))));
        }
        if let Some(receiver) = self.own.servers[i].proc.as_mut().and_then(|proc| proc.receiver.as_mut()) {
            receiver.streaming = true;
            receiver.heard = now;
            receiver.timeline = timeline;
        }
        if relation == Relation::Diverged {
            self.release(upstream, link);
            let delusion = self.now + DELUSION;
            self.at(delusion, Event::Check { i, life, link });
            return;
        }
        self.release(upstream, link);
        self.send_to(upstream, link);
    }

    /// A primary throws away what a standby that is not there has yet to receive (F35).
    pub(crate) fn lose_slot(&mut self, primary: usize, i: usize) {
        let Some(incarnation) = self.own.servers[i].dir.as_ref().map(|dir| dir.incarnation) else { return };
        let server = &mut self.own.servers[primary];
        let serves = server.proc.as_ref().is_some_and(|p| p.senders.iter().any(|sender| sender.to == i));
        if let Some(dir) = server.dir.as_mut().filter(|_| !serves && primary != i) {
            dir.lost.insert(i, incarnation);
        }
    }

    fn thrown_away(&self, i: usize, upstream: usize) -> bool {
        let (Some(mine), Some(theirs)) = (&self.own.servers[i].dir, &self.own.servers[upstream].dir) else {
            return false;
        };
        theirs.lost.get(&i) == Some(&mine.incarnation) && mine.end != theirs.end
    }

    fn receiver(&self, i: usize, life: u32, link: u32) -> Option<(usize, u32, Rc<str>)> {
        let server = &self.own.servers[i];
        let receiver = server.proc.as_ref().filter(|_| server.life == life)?.receiver.as_ref()?;
        (receiver.link == link).then(|| (receiver.upstream, receiver.upstream_life, receiver.name.clone()))
    }

    fn relation(&self, i: usize, upstream: usize) -> Relation {
        let (Some(mine), Some(theirs)) = (&self.own.servers[i].dir, &self.own.servers[upstream].dir) else {
            return Relation::Stranger;
        };
        let (mine, theirs) = (self.own.archive.settled(mine.end), theirs.end);
        if self.own.archive.includes(theirs, mine) {
            return Relation::Behind;
        }
        let number = self.own.archive.timeline(mine.branch);
        match self.own.archive.on_the_way(theirs, number) {
            None => Relation::Stranger,
            Some(at) if at.branch != mine.branch => Relation::Collision,
            Some(_) if self.own.archive.settled(theirs).branch == mine.branch => Relation::Ahead,
            Some(_) => Relation::Diverged,
        }
    }

    /// A connection is looked after: does the other end still answer? Status is told on the way.
    pub(crate) fn check(&mut self, i: usize, life: u32, link: u32) {
        let Some((upstream, upstream_life, _)) = self.receiver(i, life, link) else { return };
        let now = self.now;
        let there = &self.own.servers[upstream];
        let serves = there.life == upstream_life
            && there.proc.as_ref().is_some_and(|p| p.senders.iter().any(|s| s.link == link));
        let reached = self.network.talk(i, upstream) && !self.stopped(upstream) && self.machines[upstream].on;
        let refused = reached && !serves;
        let heard =
            self.own.servers[i].proc.as_ref().and_then(|p| p.receiver.as_ref()).map_or(now, |r| r.heard);
        if refused || now.saturating_sub(heard) > TIMEOUT {
            return self.end_receiver(i);
        }
        if reached && serves {
            if self.own.servers[i]
                .proc
                .as_ref()
                .is_some_and(|p| p.receiver.as_ref().is_some_and(|r| r.streaming))
                && matches!(self.relation(i, upstream), Relation::Diverged)
            {
                self.end_sender(upstream, link);
                return self.end_receiver(i);
            }
            if let Some(receiver) = self.own.servers[i].proc.as_mut().and_then(|proc| proc.receiver.as_mut())
            {
                receiver.heard = now;
            }
            if let Some(end) = self.own.servers[i].dir.as_ref().map(|dir| dir.end) {
                self.acknowledge_wal(i, life, link, upstream, end);
            }
        }
        self.after(STATUS, Event::Check { i, life, link });
    }

    /// A standby tells how far it has flushed.
    fn acknowledge_wal(&mut self, i: usize, life: u32, link: u32, upstream: usize, end: Place) {
        let delay = self.network.delay(&mut self.rng, i, upstream);
        let _ = life;
        self.after(
            delay,
            Event::Ack { i: upstream, life: self.own.servers[upstream].life, link, flushed: end.lsn },
        );
    }

    /// A primary hears how far a standby has flushed.
    pub(crate) fn ack(&mut self, i: usize, life: u32, link: u32, flushed: u64) {
        let now = self.now;
        let Some(proc) = self.own.servers[i].proc(life) else { return };
        let Some(sender) = proc.senders.iter_mut().find(|sender| sender.link == link) else { return };
        let to = sender.to;
        if !self.network.reaches(to, i) {
            return;
        }
        sender.flushed = sender.flushed.max(flushed);
        sender.heard = now;
        self.release(i, link);
    }

    /// What a primary flushed goes out.
    pub(crate) fn send_wal(&mut self, i: usize) {
        let Some(proc) = self.own.servers[i].proc.as_ref() else { return };
        let links: Vec<u32> = proc.senders.iter().map(|sender| sender.link).collect();
        for link in links {
            self.send_to(i, link);
        }
    }

    fn send_to(&mut self, i: usize, link: u32) {
        let now = self.now;
        let server = &mut self.own.servers[i];
        let (Some(proc), Some(dir)) = (server.proc.as_mut(), server.dir.as_ref()) else { return };
        let end = dir.end;
        let Some(sender) = proc.senders.iter_mut().find(|sender| sender.link == link) else { return };
        // Up to its timeout a walsender believes in a peer that is dead; then it goes.
        if now.saturating_sub(sender.heard) > TIMEOUT {
            return self.end_sender(i, link);
        }
        if sender.sent >= end.lsn || sender.historic {
            return;
        }
        sender.sent = end.lsn;
        let (to, to_life) = (sender.to, sender.to_life);
        let flush = self.flush_takes(to);
        let delay = self.network.delay(&mut self.rng, i, to) + flush;
        self.after(delay, Event::Wal { i: to, life: to_life, link, to: end });
    }

    /// WAL arrived at a standby and is on its disk.
    pub(crate) fn wal(&mut self, i: usize, life: u32, link: u32, to: Place) {
        let Some((upstream, ..)) = self.receiver(i, life, link) else { return };
        if !self.network.reaches(upstream, i) {
            // TCP tries again, until one of both gives up.
            let again = self.rng.range(150 * MS, 300 * MS);
            self.after(again, Event::Wal { i, life, link, to });
            return;
        }
        let stalled_until = self.own.servers[i].stalled_until;
        if stalled_until > self.now {
            return self.at(stalled_until, Event::Wal { i, life, link, to });
        }
        if self.own.servers[i].full {
            return self.end_receiver(i);
        }
        let now = self.now;
        let timeline = self.own.archive.timeline(to.branch);
        let server = &mut self.own.servers[i];
        let (Some(dir), Some(proc)) = (server.dir.as_mut(), server.proc.as_mut()) else { return };
        if let Some(receiver) = proc.receiver.as_mut() {
            receiver.heard = now;
            receiver.timeline = timeline;
        }
        proc.received = Some((timeline, to.lsn));
        let crosses = dir.end.branch != to.branch && !self.own.archive.includes(dir.end, to);
        if crosses || (dir.end.branch == to.branch && to.lsn > dir.end.lsn) {
            if crosses && !dir.torn && !self.own.archive.includes(to, self.own.archive.settled(dir.end)) {
                dir.torn = true;
                let (end, number) = (dir.end, i + 1);
                self.trace
                    .say(now, || format!("n{number} at {end:?} receives {to:?}, which is not its line"));
            }
            dir.end = to;
        }
        if crosses {
            // A receiver fetches every history that it lacks, before it receives the timeline.
            let line = self.own.archive.history_of(to.branch);
            for ancestor in line.ancestors.iter().map(|a| a.timeline.0).chain([timeline]).filter(|t| *t > 1) {
                dir.histories.entry(ancestor).or_insert(true);
            }
        }
        let phase = proc.phase;
        let end = dir.end;
        let misled =
            |needs: Place| !self.own.archive.includes(end, needs) && !self.own.archive.includes(needs, end);
        if phase == Phase::Starting && dir.needs.is_some_and(misled) {
            // After the switch it could not come by the point any more that its data need.
            dir.hopeless = true;
            return self.kill_server(i, "unexpected timeline ID before reaching minimum recovery point");
        }
        self.acknowledge_wal(i, life, link, upstream, end);
        if phase == Phase::Starting {
            self.consistent(i);
        }
        // Others may stream from here.
        self.send_wal(i);
    }

    /// The receiver's process ends; the startup process tries again.
    pub(crate) fn end_receiver(&mut self, i: usize) {
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        let Some(receiver) = proc.receiver.take() else { return };
        let (upstream, link) = (receiver.upstream, receiver.link);
        // Its end is noticed there at once where the machines hear each other.
        if self.network.talk(i, upstream) && !self.stopped(upstream) {
            self.end_sender(upstream, link);
        }
        self.try_again(i);
    }

    pub(crate) fn end_sender(&mut self, i: usize, link: u32) {
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            proc.senders.retain(|sender| sender.link != link);
        }
    }

    /// Senders whose standbys have been silent for too long go.
    pub(crate) fn expire_senders(&mut self, i: usize) {
        let now = self.now;
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            proc.senders.retain(|sender| now.saturating_sub(sender.heard) <= TIMEOUT);
        }
    }

    /// The settings were changed on disk, and every part was told to read them again: each does so in its own time.
    pub(crate) fn reload(&mut self, i: usize) {
        let life = self.own.servers[i].life;
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        proc.checkpointer_behind = true;
        let traps = self.plan.traps;
        let late = [(Part::Checkpointer, Trap::F7), (Part::Startup, Trap::F40)];
        let late = late.into_iter().filter(|(_, trap)| traps.has(*trap)).map(|(part, _)| part);
        let mut parts: Vec<Part> = std::iter::once(Part::Postmaster).chain(late).collect();
        for sender in &mut proc.senders {
            sender.behind = true;
            parts.extend(traps.has(Trap::F8).then_some(Part::Sender(sender.link)));
        }
        for part in parts {
            let slow = self.rng.percent(self.pace().slow_reloads);
            let most = match part {
                Part::Postmaster => 8 * MS,
                Part::Startup if slow => 600 * MS,
                Part::Startup => 60 * MS,
                Part::Checkpointer | Part::Sender(_) if slow => 3 * S,
                Part::Checkpointer | Part::Sender(_) => 40 * MS,
            };
            let wait = match self.pace().startups_ms.filter(|_| part == Part::Startup) {
                Some((low, high)) => self.rng.range(low * MS, high * MS),
                None => self.takes(i, MS / 2, most),
            };
            self.after(wait, Event::Conf { i, life, part });
        }
    }

    /// One part of a server reads the settings.
    pub(crate) fn conf(&mut self, i: usize, life: u32, part: Part) {
        let server = &mut self.own.servers[i];
        let (Some(dir), Some(proc)) = (server.dir.as_ref(), server.proc.as_mut()) else { return };
        if server.life != life {
            return;
        }
        let (role, lets_in) = (dir.role.clone(), dir.lets_in);
        let cascades = proc.phase != Phase::Primary;
        match part {
            Part::Postmaster => {
                self.told_at_once(i);
                let server = &mut self.own.servers[i];
                let Some(proc) = server.proc.as_mut() else { return };
                // Whoever was forked since the files were written has the old settings, and is told now.
                let outdated = proc.senders.iter_mut().filter(|sender| {
                    let (k, counts) = role.counts(&sender.name);
                    !sender.behind && (sender.k, sender.counts) != (k, counts && !cascades)
                });
                let links: Vec<u32> = outdated
                    .map(|sender| {
                        sender.behind = true;
                        sender.link
                    })
                    .collect();
                if role == Role::Sealed && !self.plan.traps.has(Trap::F23) {
                    proc.promoting = None;
                }
                proc.role = role;
                let opens = lets_in && !proc.lets_in && proc.phase == Phase::Primary;
                proc.lets_in = lets_in;
                if opens {
                    self.serves(i);
                }
                for link in links {
                    let wait = self.takes(i, MS / 2, 40 * MS);
                    self.after(wait, Event::Conf { i, life, part: Part::Sender(link) });
                }
            }
            Part::Checkpointer => {
                let waits = role.waits();
                let ended = proc.waits && !waits;
                proc.waits = waits;
                proc.checkpointer_behind = false;
                if ended {
                    self.let_through(i, u64::MAX);
                }
            }
            Part::Startup => {
                let moved = proc.startup != role;
                proc.startup = role;
                let outdated = match (&proc.startup, &proc.receiver) {
                    (Role::Standby { upstream, name, .. }, Some(receiver)) => {
                        receiver.upstream != *upstream || receiver.name != *name
                    }
                    (_, Some(_)) => true,
                    (_, None) => false,
                };
                if moved && outdated {
                    self.end_receiver(i);
                }
                self.try_again(i);
            }
            Part::Sender(link) => {
                if let Some(sender) = proc.senders.iter_mut().find(|sender| sender.link == link) {
                    let (k, counts) = role.counts(&sender.name);
                    sender.k = k;
                    sender.counts = counts && !cascades;
                    sender.behind = false;
                    self.release(i, link);
                }
            }
        }
    }

    /// Without a trap, a part of a server knows new settings as soon as a fresh connection shows them.
    fn told_at_once(&mut self, i: usize) {
        let life = self.own.servers[i].life;
        if !self.has(Trap::F7) {
            self.conf(i, life, Part::Checkpointer);
        }
        if !self.has(Trap::F40) {
            self.conf(i, life, Part::Startup);
        }
        if !self.has(Trap::F8) {
            let senders = self.own.servers[i].proc.iter().flat_map(|proc| &proc.senders);
            let links: Vec<u32> = senders.map(|sender| sender.link).collect();
            links.into_iter().for_each(|link| self.conf(i, life, Part::Sender(link)));
        }
    }
}
