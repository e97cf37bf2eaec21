//! A server's life: start, recovery, promotion, end.
//!
//! F20 a promotion takes the number after the newest history file that it finds without a gap. F23 it cannot be called
//! back. F24 it replays everything held before it comes about. F29 a fast shutdown writes its checkpoint after the last
//! client is gone. F31 backends outlive their postmaster until all of them are killed.

use super::{ControlState, Phase, Proc};
use crate::danger::Danger;
use crate::event::Event;
use crate::mutants::{self, Mutant};
use crate::traps::Trap;
use crate::wal::Place;
use crate::world::{MS, Time, World};
use interrex_check::{Fact, RunningLease};
use interrex_cluster::ids::Epoch;
use interrex_cluster::time::Instant;
use interrex_cluster::wal::{Lsn, TimelineId};
use std::collections::VecDeque;

/// A server is let in by its guard's death, or killed, within this.
const KILLED_WITHIN: Time = 8 * MS;

impl World {
    /// Starts a server on its directory, as a standby.
    pub(crate) fn start_server(&mut self, i: usize) {
        let server = &mut self.own.servers[i];
        let Some(dir) = server.dir.as_mut() else { return };
        server.life += 1;
        let life = server.life;
        let clean = matches!(dir.state, ControlState::ShutDown | ControlState::ShutDownInRecovery);
        dir.state = ControlState::InRecovery;
        dir.control_behind = false;
        server.proc = Some(Proc {
            phase: Phase::Starting,
            foreign: false,
            stopping: false,
            orphans: false,
            role: dir.role.clone(),
            startup: dir.role.clone(),
            waits: dir.role.waits(),
            checkpointer_behind: false,
            lets_in: dir.lets_in,
            insert: dir.end.lsn,
            flushing: false,
            unflushed: VecDeque::new(),
            waiters: VecDeque::new(),
            released: 0,
            visible: None,
            receiver: None,
            received: None,
            tries: false,
            senders: Vec::new(),
            promoting: None,
            deadline: None,
            guard_set: false,
            runs_with: dir.parameters.connections,
            asked: true,
            cuts: 0,
        });
        let most = if clean { 150 * MS } else { 900 * MS };
        let recovery = self.takes(i, 60 * MS, most);
        self.after(recovery, Event::Up { i, life });
    }

    /// Recovery has replayed what was there.
    pub(crate) fn up(&mut self, i: usize, life: u32) {
        if self.own.servers[i].proc(life).is_none() {
            return;
        }
        if self.own.servers[i].full {
            return self.kill_server(i, "could not write to its WAL: No space left on device");
        }
        if self.own.servers[i].dir.as_ref().is_some_and(|dir| dir.parameters.misses_library) {
            self.reach.note(Danger::ParameterKeepsDown);
            return self.kill_server(i, "could not access a library");
        }
        if self.own.servers[i].dir.as_ref().is_some_and(|dir| dir.hopeless) {
            return self.kill_server(i, "requested timeline does not contain minimum recovery point");
        }
        if self.up_as_found(i) {
            return;
        }
        self.consistent(i);
        self.try_again(i);
    }

    /// A standby lets connections in once it has replayed what its data need.
    pub(super) fn consistent(&mut self, i: usize) {
        let archive = &self.own.archive;
        let server = &mut self.own.servers[i];
        let (Some(dir), Some(proc)) = (server.dir.as_mut(), server.proc.as_mut()) else { return };
        if proc.phase == Phase::Starting && dir.needs.is_none_or(|needs| archive.includes(dir.end, needs)) {
            proc.phase = Phase::Standby;
            dir.needs = None;
        }
    }

    /// `pg_promote`: granted is irrevocable.
    pub(crate) fn promote_server(&mut self, i: usize, epoch: Epoch) {
        let life = self.own.servers[i].life;
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        if proc.phase != Phase::Standby || proc.promoting.is_some() {
            return;
        }
        proc.promoting = Some(epoch);
        let name = &self.own.names[i];
        crate::world::see(
            &mut self.own.checks,
            &mut self.trace,
            self.now,
            &Fact::PromotionAsked { by: name, epoch },
        );
        self.over |= !self.own.checks.violations().is_empty();
        self.say(|| format!("n{} is told to promote in epoch {epoch}", i + 1));
        self.phase(crate::faults::Moment::Promoting);
        // Mostly at once; now and then much has to be replayed first.
        let slow = self.rng.percent(self.pace().slow_promotions);
        let replay = match self.pace().promotions_ms {
            _ if !self.has(Trap::F24) => 20 * MS,
            Some((low, high)) => self.rng.range(low * MS, high * MS),
            None => self.takes(i, 20 * MS, if slow { 4_000 * MS } else { 120 * MS }),
        };
        self.after(replay, Event::Promote { i, life });
    }

    /// The promotion comes about.
    pub(crate) fn promoted_server(&mut self, i: usize, life: u32) {
        if self.own.servers[i].full && self.own.servers[i].proc(life).is_some() {
            return self.kill_server(i, "could not write to its WAL: No space left on device");
        }
        let server = &mut self.own.servers[i];
        let Some(proc) = server.proc.as_mut().filter(|_| server.life == life) else { return };
        let (Some(epoch), Some(dir)) = (proc.promoting, server.dir.as_mut()) else { return };
        if proc.stopping || proc.phase != Phase::Standby {
            return;
        }
        let demanded = self.own.archive.demanded(dir.end);
        if proc.asked && proc.runs_with < demanded && self.plan.traps.has(Trap::F25) {
            return self.kill_server(i, "recovery aborted because of insufficient parameter settings");
        }
        let receiver = proc.receiver.take();
        let end = self.own.archive.settled(dir.end);
        let parent = self.own.archive.timeline(end.branch);
        let mut number = parent + 1;
        let mut averted = false;
        while dir.histories.contains_key(&number) {
            averted |= dir.histories.get(&number) == Some(&false);
            number += 1;
        }
        let branch = self.own.archive.branch(number, Some(end));
        // Its first record says that recovery ended here.
        dir.end = Place { branch, lsn: end.lsn + 32 };
        if proc.runs_with != demanded {
            // From here on replay demands what this one runs with (F25).
            dir.end.lsn += 64;
            self.own.archive.demand(dir.end, proc.runs_with);
        }
        dir.histories.insert(number, true);
        dir.signal = false;
        dir.state = ControlState::InProduction;
        dir.control_behind = true;
        proc.phase = Phase::Primary;
        proc.insert = dir.end.lsn;
        proc.released = 0;
        proc.promoting = None;
        let opens = proc.lets_in;
        if let Some(receiver) = receiver {
            self.end_sender(receiver.upstream, receiver.link);
        }
        if averted {
            self.reach.note(Danger::CollisionAverted);
        }
        self.say(|| format!("n{} opens timeline {number} off {parent} at {}", i + 1, Lsn(end.lsn)));
        self.faults.by_hand |= epoch == Epoch(0);
        // Epoch 0: somebody did it by hand, and nobody was asked.
        if epoch > Epoch(0) {
            self.fact_promoted(i, epoch, number, parent, end.lsn);
            self.phase(crate::faults::Moment::Promoted);
        }
        if opens {
            self.serves(i);
        }
        self.switch_senders(i);
    }

    fn fact_promoted(&mut self, i: usize, epoch: Epoch, timeline: u32, parent: u32, begin: u64) {
        let fact = Fact::Promoted {
            by: &self.own.names[i],
            epoch,
            timeline: TimelineId(timeline),
            parent: TimelineId(parent),
            begin: Lsn(begin),
        };
        crate::world::see(&mut self.own.checks, &mut self.trace, self.now, &fact);
        self.over |= !self.own.checks.violations().is_empty();
    }

    /// Those who streamed from it in recovery go on on the new timeline, and count from then on.
    fn switch_senders(&mut self, i: usize) {
        let life = self.own.servers[i].life;
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        let links: Vec<u32> = proc.senders.iter().map(|sender| sender.link).collect();
        for link in links {
            let wait = self.takes(i, MS, 25 * MS);
            self.after(wait, Event::Conf { i, life, part: super::Part::Sender(link) });
        }
        self.send_wal(i);
    }

    /// A fast shutdown begins: clients are gone, the checkpoint is written and sent (F29).
    pub(crate) fn shut_down(&mut self, i: usize) {
        let now_primary = self.own.servers[i].is_primary();
        let life = self.own.servers[i].life;
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        if proc.stopping {
            return;
        }
        proc.stopping = true;
        self.drop_sessions(i);
        let server = &mut self.own.servers[i];
        if let (Some(proc), Some(dir)) = (server.proc.as_mut(), server.dir.as_mut())
            && now_primary
        {
            proc.insert += 96;
            dir.end.lsn = proc.insert;
            dir.control_behind = false;
        }
        if now_primary {
            self.send_wal(i);
        }
        // It waits for its walsenders: one that hangs holds it up, and its agent then kills it.
        let held = self.rng.percent(5);
        let wait = self.takes(i, 10 * MS, if held { 4_000 * MS } else { 120 * MS });
        self.after(wait, Event::Gone { i, life, exit: "" });
    }

    /// Everything is killed at once. The last of it is gone a moment later.
    pub(crate) fn kill_server(&mut self, i: usize, exit: &'static str) {
        let life = self.own.servers[i].life;
        if self.own.servers[i].proc.is_some() {
            let wait = self.rng.range(MS / 10, KILLED_WITHIN);
            self.after(wait, Event::Gone { i, life, exit });
        }
    }

    /// The last process of a server is gone. `exit`: how, when nobody asked for it.
    pub(crate) fn gone(&mut self, i: usize, life: u32, exit: &'static str) {
        if self.own.servers[i].proc(life).is_none() {
            return;
        }
        self.drop_sessions(i);
        let server = &mut self.own.servers[i];
        let Some(proc) = server.proc.take() else { return };
        if let Some(dir) = server.dir.as_mut() {
            dir.state = match (proc.stopping, proc.phase) {
                (true, Phase::Primary) => ControlState::ShutDown,
                (true, Phase::Standby | Phase::Starting) => ControlState::ShutDownInRecovery,
                (false, Phase::Primary) => ControlState::InProduction,
                (false, Phase::Standby | Phase::Starting) => ControlState::InRecovery,
            };
        }
        self.say(|| {
            format!("the server of n{} is gone{}{exit}", i + 1, if exit.is_empty() { "" } else { ": " })
        });
        if let Some(receiver) = proc.receiver
            && self.network.talk(i, receiver.upstream)
            && self.machines[i].on
        {
            self.end_sender(receiver.upstream, receiver.link);
        }
        // Peers on living machines are told by the kernel that nobody is there any more.
        if self.machines[i].on {
            for sender in proc.senders {
                let reset = self.network.talk(i, sender.to) && !self.stopped(sender.to);
                if reset
                    && self.own.servers[sender.to].life == sender.to_life
                    && self.own.servers[sender.to]
                        .proc
                        .as_ref()
                        .is_some_and(|p| p.receiver.as_ref().is_some_and(|r| r.link == sender.link))
                {
                    self.end_receiver(sender.to);
                }
            }
        }
        self.own.agents[i].exit_words = exit;
        self.poke(i);
    }

    /// Power is gone: what was not flushed is, too.
    pub(crate) fn cut_power(&mut self, i: usize) {
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            proc.stopping = false;
            let life = self.own.servers[i].life;
            self.gone(i, life, "power was lost");
        }
    }

    /// The guard's deadline was reached, unless a later one was handed over.
    pub(crate) fn guard(&mut self, i: usize, life: u32) {
        let paused = self.machines[i].paused_until;
        if paused > self.now {
            return self.at(paused, Event::Guard { i, life });
        }
        let clock = self.clock(i);
        let Some(proc) = self.own.servers[i].proc(life).filter(|_| !mutants::on(Mutant::Guard)) else {
            return;
        };
        proc.guard_set = false;
        let Some((epoch, deadline)) = proc.deadline else { return };
        if clock < deadline {
            return self.set_guard(i);
        }
        self.say(|| format!("the guard of n{} ends the server: the lease of epoch {epoch} is over", i + 1));
        self.reach.note(Danger::GuardKills);
        self.notice_guard(i);
        self.kill_server(i, "killed by its guard: its lease was over");
    }

    /// The guard wakes at the deadline that it holds.
    pub(crate) fn set_guard(&mut self, i: usize) {
        let life = self.own.servers[i].life;
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        let Some((_, deadline)) = proc.deadline.filter(|_| !proc.guard_set) else { return };
        proc.guard_set = true;
        let at = self.when(i, deadline).max(self.now);
        self.at(at, Event::Guard { i, life });
    }

    /// A machine that was stopped runs again before it was to: its guard wakes now.
    pub(crate) fn wake_guard(&mut self, i: usize) {
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            proc.guard_set = false;
        }
        self.set_guard(i);
    }

    /// Hands the guard a deadline.
    pub(crate) fn set_deadline(&mut self, i: usize, epoch: Epoch, until: Instant) {
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            proc.deadline = Some((epoch, until));
        }
        self.set_guard(i);
        self.tell_leases();
    }

    /// Tells the properties which leases run, where there is more than one.
    fn tell_leases(&mut self) {
        let running = |i: usize| {
            let proc = self.own.servers[i].proc.as_ref().filter(|proc| !proc.stopping)?;
            let (epoch, _) = proc.deadline.filter(|(_, until)| self.clock(i) < *until)?;
            let asynchronous = proc.phase == Phase::Primary && !proc.waits;
            Some((i, epoch, asynchronous))
        };
        let running: Vec<_> = (0..self.own.servers.len()).filter_map(running).collect();
        if running.len() > 1 {
            let names = &self.own.names;
            let told = |(i, epoch, asynchronous)| RunningLease { by: &names[i], epoch, asynchronous };
            let running: Vec<RunningLease<'_>> = running.into_iter().map(told).collect();
            let fact = Fact::Leases { running: &running };
            crate::world::see(&mut self.own.checks, &mut self.trace, self.now, &fact);
            self.over |= !self.own.checks.violations().is_empty();
        }
    }
}
