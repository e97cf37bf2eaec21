//! Commits: written, flushed here, and then waited for until enough standbys have them.
//!
//! F1 A commit is flushed locally first. F5 a setting that becomes empty lets everybody through. F7 whether anybody
//! waits at all is the checkpointer's to know. F8 each walsender counts by its own copy of the setting. F2 what waits can
//! be cancelled, and is told a success. F6 what a server recovers shows, whether any standby has it or not.

use super::{Dir, Phase, Postgres, Proc};
use crate::danger::Danger;
use crate::event::Event;
use crate::mutants::{self, Mutant};
use crate::traps::Trap;
use crate::wal::{Archive, Place};
use crate::world::{MS, Time, World};
use interrex_check::Fact;
use interrex_cluster::ids::Epoch;
use interrex_cluster::wal::TimelineId;

/// Who made a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A client's: which one, and which of its commits.
    Client(usize, u32),
    /// The agent's beat: which one.
    Beat { run: u32, beat: u64 },
}

/// A commit that is not acknowledged yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiter {
    pub(super) lsn: u64,
    pub(super) by: By,
    pub(super) commit: usize,
}

/// Bytes of a commit, and of a large one.
const COMMIT: u64 = 64;
const LARGE: u64 = 64 << 10;

impl World {
    /// Whether clients get in here, as a primary.
    pub(crate) fn takes_clients(&self, i: usize) -> bool {
        let server = &self.own.servers[i];
        let lets = |proc: &Proc| {
            proc.phase == Phase::Primary && proc.lets_in && (!proc.stopping) && !(proc.orphans && proc.waits)
        };
        server.proc.as_ref().is_some_and(lets) && !self.stopped(i)
    }

    /// Whether nothing of the server moves at the moment.
    pub(crate) fn stopped(&self, i: usize) -> bool {
        self.own.servers[i].hangs(self.now)
            || self.machines[i].paused_until > self.now
            || !self.machines[i].on
    }

    /// A commit begins.
    pub(crate) fn write(&mut self, i: usize, by: By) {
        let life = self.own.servers[i].life;
        let bytes = self.rng.tail(COMMIT, LARGE) & !7;
        let server = &mut self.own.servers[i];
        let (Some(proc), Some(dir)) = (server.proc.as_mut(), server.dir.as_ref()) else { return };
        proc.insert += bytes;
        let commit = self.own.commits.len();
        self.own.commits.push(Place { branch: dir.end.branch, lsn: proc.insert });
        proc.unflushed.push_back(Waiter { lsn: proc.insert, by, commit });
        if !proc.flushing {
            proc.flushing = true;
            let flush = self.flush_takes(i);
            self.after(flush, Event::Flush { i, life });
        }
    }

    pub(crate) fn flush_takes(&mut self, i: usize) -> Time {
        let work = self.takes(i, 100, 3 * MS);
        self.own.servers[i].slow_disk.lasts(self.now, work)
    }

    /// The log of a primary was flushed.
    pub(crate) fn flushed(&mut self, i: usize, life: u32) {
        let stalled_until = self.own.servers[i].stalled_until;
        if stalled_until > self.now {
            return self.at(stalled_until, Event::Flush { i, life });
        }
        if self.own.servers[i].full {
            self.reach.note(Danger::DiskFull);
            return self.kill_server(i, "could not write to its WAL: No space left on device");
        }
        let server = &mut self.own.servers[i];
        let Some(dir) = server.dir.as_mut() else { return };
        let Some(proc) = server.proc.as_mut().filter(|_| server.life == life) else { return };
        proc.flushing = false;
        dir.end.lsn = proc.insert;
        let passed = std::mem::take(&mut proc.unflushed);
        let mut through = Vec::new();
        for waiter in passed {
            // A backend whose postmaster is dead leaves when it begins to wait (F4), and not before (F31).
            if !proc.waits || waiter.lsn <= proc.released {
                through.push(waiter);
            } else if proc.orphans {
                continue;
            } else {
                proc.waiters.push_back(waiter);
            }
        }
        self.acknowledge(i, through);
        self.send_wal(i);
    }

    /// A walsender heard how far its standby has flushed, or read its settings: who has waited long enough?
    pub(crate) fn release(&mut self, i: usize, link: u32) {
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        let Some(by) = proc.senders.iter().find(|sender| sender.link == link) else { return };
        if !by.counts || !by.streaming || by.k == 0 {
            return;
        }
        let k = by.k as usize;
        let mut flushed: Vec<u64> = proc
            .senders
            .iter()
            .filter(|sender| sender.counts && sender.streaming)
            .map(|sender| sender.flushed)
            .collect();
        if flushed.len() < k {
            return;
        }
        flushed.sort_unstable_by(|a, b| b.cmp(a));
        let upto = flushed[k - 1];
        if upto > proc.released {
            let waited = proc.waiters.front().is_some_and(|waiter| waiter.lsn <= upto);
            if waited && (by.k, by.counts) != proc.role.counts(&by.name) {
                self.reach.note(Danger::OldCopy);
            }
            proc.released = upto;
            self.let_through(i, upto);
        }
    }

    /// Everybody who waits for less than `upto` has waited long enough.
    pub(super) fn let_through(&mut self, i: usize, upto: u64) {
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        let mut through = Vec::new();
        while proc.waiters.front().is_some_and(|waiter| waiter.lsn <= upto) {
            through.extend(proc.waiters.pop_front());
        }
        self.acknowledge(i, through);
    }

    /// For how long the lease had been over, in milliseconds and at least 1 once it is, while the machine ran.
    pub(crate) fn past_its_lease(&self, i: usize) -> u64 {
        let deadline = self.own.servers[i].proc.as_ref().and_then(|proc| proc.deadline);
        let Some((_, deadline)) = deadline.filter(|(_, deadline)| self.clock(i) >= *deadline) else {
            return 0;
        };
        let since = self.when(i, deadline).max(self.machines[i].paused_until.min(self.now));
        1 + self.now.saturating_sub(since) / MS
    }

    fn acknowledge(&mut self, i: usize, through: Vec<Waiter>) {
        let waits = self.own.servers[i].proc.as_ref().is_some_and(|proc| proc.waits);
        let alone = (!waits).then(|| self.past_its_lease(i));
        if let (Some(last), Some(proc)) = (through.last(), self.own.servers[i].proc.as_mut()) {
            proc.visible = proc.visible.max(Some(last.commit as u64));
        }
        for waiter in through {
            match waiter.by {
                By::Client(client, turn) if self.own.clients[client].turn != turn => {
                    // Nobody is there any more to hear it.
                }
                By::Client(client, turn) => {
                    let place = self.own.commits[waiter.commit];
                    let timeline = TimelineId(self.own.archive.timeline(place.branch));
                    let by = &self.own.names[i];
                    let commit = waiter.commit as u64;
                    let held = self.own.newest.is_some_and(|newest| self.own.archive.includes(newest, place));
                    if self
                        .own
                        .newest
                        .is_none_or(|newest| self.own.archive.timeline(newest.branch) < timeline.0)
                    {
                        self.own.newest = Some(place);
                    }
                    crate::world::see(
                        &mut self.own.checks,
                        &mut self.trace,
                        self.now,
                        &Fact::Acknowledged { by, timeline, commit, held, alone },
                    );
                    self.over |= !self.own.checks.violations().is_empty();
                    self.figures.acknowledged += 1;
                    self.answer(client, turn);
                }
                By::Beat { run, beat, .. } => {
                    let back = self.rng.range(50, 300);
                    self.after(back, Event::Beaten { i, run, beat, good: true });
                }
            }
        }
    }

    /// The server ends, or its sessions do: whoever waits never learns.
    pub(super) fn drop_sessions(&mut self, i: usize) {
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        let mut all = std::mem::take(&mut proc.unflushed);
        all.append(&mut proc.waiters);
        for waiter in all {
            self.unanswered_by(i, waiter.by);
        }
    }

    /// What waits for standbys is cancelled: committed here, and the answer is a warning (F2). Whoever hears that knows
    /// nothing, and a beat proves nothing.
    pub(crate) fn cancel_waits(&mut self, i: usize) {
        let Some(proc) = self.own.servers[i].proc.as_mut().filter(|proc| !proc.waiters.is_empty()) else {
            return;
        };
        if !self.plan.traps.has(Trap::F2) {
            return;
        }
        self.reach.note(Danger::WaitsCancelled);
        let cancelled = std::mem::take(&mut proc.waiters);
        self.told_of_cancel(i, cancelled.into());
    }

    /// The tag of success, and the warning that it means nothing.
    fn told_of_cancel(&mut self, i: usize, cancelled: Vec<Waiter>) {
        if mutants::on(Mutant::WarningHeard) {
            return self.acknowledge(i, cancelled);
        }
        for waiter in cancelled {
            self.unanswered_by(i, waiter.by);
        }
    }

    fn unanswered_by(&mut self, i: usize, by: By) {
        match by {
            By::Client(client, turn) => self.answer(client, turn),
            By::Beat { run, beat, .. } => self.after(MS, Event::Beaten { i, run, beat, good: false }),
        }
    }

    /// A beat that was given up: its backend is ended.
    pub(crate) fn strand(&mut self, i: usize, run: u32, beat: u64) {
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        let other = |waiter: &Waiter| match waiter.by {
            By::Beat { run: r, beat: b, .. } => r != run || b != beat,
            By::Client(..) => true,
        };
        proc.waiters.retain(other);
    }

    /// Ends the sessions of clients, as `pg_terminate_backend` does: no answer (F3).
    pub(crate) fn cut_clients(&mut self, i: usize) {
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        let mut cut = Vec::new();
        for queue in [&mut proc.unflushed, &mut proc.waiters] {
            queue.retain(|waiter| match waiter.by {
                By::Client(client, turn) => {
                    cut.push((client, turn));
                    false
                }
                By::Beat { .. } => true,
            });
        }
        proc.cuts += 1;
        for (client, turn) in cut {
            self.answer(client, turn);
        }
    }

    /// What one client waits for is cancelled (F2): nobody is told that it is safe.
    pub(crate) fn cancel_wait_of(&mut self, i: usize, client: usize, turn: u32) {
        let Some(proc) = self.own.servers[i].proc.as_mut() else { return };
        if !self.plan.traps.has(Trap::F2) {
            return;
        }
        let before = proc.waiters.len();
        proc.waiters.retain(|waiter| waiter.by != By::Client(client, turn));
        if proc.waiters.len() < before {
            self.reach.note(Danger::ClientCancels);
        }
    }

    /// Tells the properties that clients are let in.
    pub(crate) fn serves(&mut self, i: usize) {
        let Some(dir) = &self.own.servers[i].dir else { return };
        let timeline = self.own.archive.timeline(dir.end.branch);
        // One that was promoted by hand serves nobody: its commits wait for ever.
        let elected =
            self.own.servers[i].proc.as_ref().is_some_and(|p| matches!(p.role, super::Role::Primary(_)));
        if !elected {
            return;
        }
        let shown = self.has(Trap::F6).then(|| self.shows(dir.end)).flatten();
        if let Some(proc) = self.own.servers[i].proc.as_mut().filter(|proc| proc.visible.is_none()) {
            proc.visible = shown;
        }
        let Some(dir) = &self.own.servers[i].dir else { return };
        let holds = holds(&self.own.archive, &self.own.commits, dir);
        let fact = Fact::Serves { by: &self.own.names[i], epoch: Epoch(timeline), holds: &holds };
        crate::world::see(&mut self.own.checks, &mut self.trace, self.now, &fact);
        self.over |= !self.own.checks.violations().is_empty();
        let name = &self.own.names[i];
        self.trace.say(self.now, || format!("{name} lets clients in on timeline {timeline}"));
    }
}

/// Whether a copy holds a commit.
pub(crate) fn holds<'a>(archive: &'a Archive, commits: &'a [Place], dir: &Dir) -> impl Fn(u64) -> bool + 'a {
    let (end, torn) = (dir.end, dir.torn);
    move |commit| {
        let place = usize::try_from(commit).ok().and_then(|commit| commits.get(commit));
        !torn && place.is_some_and(|place| archive.includes(end, *place))
    }
}

impl Postgres {
    /// The durable end of WAL of a stopped or sealed server, as a scan tells it; none where the files do not tell.
    pub(crate) fn scan(&self) -> Option<Place> {
        let dir = self.dir.as_ref()?;
        (!dir.torn).then_some(dir.end)
    }
}
