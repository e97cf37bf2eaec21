//! Strikes fall: whom each meets, and what it does. Their ends are in mend.rs.

use crate::coordinator::Wish;
use crate::event::Event;
use crate::faults::{Mend, Moment, Planned, Strike, Target, When};
use crate::traps::Trap;
use crate::world::{MS, S, Time, World};
use interrex_cluster::ids::Epoch;

impl World {
    pub(crate) fn plan_strikes(&mut self) {
        for number in 0..self.plan.strikes.len() {
            if let When::At { ms } = self.plan.strikes[number].when {
                self.at(ms * MS, Event::Strike { number });
            }
        }
    }

    /// A moment came: strikes may wait for it.
    pub(crate) fn phase(&mut self, moment: Moment) {
        // What a world does to find itself is no moment of its life yet.
        if self.now < self.plan.begin_ms * MS {
            return;
        }
        let at = moment as usize;
        self.own.moments[at] += 1;
        let count = self.own.moments[at];
        for number in 0..self.plan.strikes.len() {
            let planned = self.plan.strikes[number];
            if let When::On { moment: on, nth, after_ms } = planned.when
                && planned.of == self.turn
                && on == moment
                && nth == count
            {
                self.after(after_ms * MS, Event::Strike { number });
            }
        }
    }

    pub(crate) fn aim(&self, target: Target) -> usize {
        let n = self.own.names.len();
        let primary = self.record().and_then(|record| {
            let elected = record.primary.as_ref().map(|reign| reign.instance.clone());
            elected.or_else(|| record.last_primary()).map(|name| self.index(&name))
        });
        match target {
            Target::Primary => primary.unwrap_or(0),
            Target::Standby(k) => {
                let others: Vec<usize> = (0..n).filter(|i| Some(*i) != primary).collect();
                others[k % others.len()]
            }
            Target::Leader => self.log.leader.unwrap_or(0),
            Target::Any(k) => k % n,
        }
    }

    /// A strike falls.
    pub(crate) fn strike(&mut self, number: usize) {
        if self.faults.over || std::mem::replace(&mut self.faults.fallen[number], true) {
            return;
        }
        let Planned { of, strike, .. } = self.plan.strikes[number];
        self.turn_to(of);
        self.say(|| format!("STRIKE {number}: {strike:?}"));
        let machines = self.machines.len();
        let n = self.own.names.len();
        match strike {
            Strike::Power { target, ms } => {
                let machine = self.aim(target);
                self.power_off(machine, ms);
            }
            Strike::Everything { ms } => {
                for machine in 0..machines {
                    let extra = self.rng.below(ms + 1);
                    self.power_off(machine, ms + extra);
                }
            }
            Strike::KillServer { target } => {
                let i = self.aim(target) % n;
                self.kill_server(i, "killed");
            }
            Strike::KillPostmaster { target, orphans_ms } => {
                let i = self.aim(target) % n;
                self.kill_postmaster(i, orphans_ms);
            }
            Strike::KillAgent { target, ms } => {
                let i = self.aim(target) % n;
                self.strike_agent(i, ms);
            }
            Strike::PauseMachine { target, ms } => {
                let machine = self.aim(target);
                self.pause_machine(machine, ms);
            }
            Strike::PauseAgent { target, ms } => {
                let i = self.aim(target) % n;
                later(&mut self.own.agents[i].paused_until, self.now + ms * MS);
            }
            Strike::Hang { target, ms } => {
                let i = self.aim(target) % n;
                later(&mut self.own.servers[i].hung_until, self.now + ms * MS);
            }
            Strike::Deaf { target, ms } => {
                let i = self.aim(target) % n;
                later(&mut self.own.servers[i].deaf_until, self.now + ms * MS);
            }
            Strike::Isolate { target, ms } => {
                let a = self.aim(target);
                for b in (0..machines).filter(|b| *b != a) {
                    self.cut_link(a, b, ms);
                    self.cut_link(b, a, ms);
                }
            }
            Strike::CutOneWay { target, inward, ms } => {
                let a = self.aim(target);
                for b in (0..machines).filter(|b| *b != a) {
                    let (from, to) = if inward { (b, a) } else { (a, b) };
                    self.cut_link(from, to, ms);
                }
            }
            Strike::CutPair { target, other, ms } => {
                let a = self.aim(target);
                let b = (a + 1 + other % (machines.max(2) - 1)) % machines;
                self.cut_link(a, b, ms);
                self.cut_link(b, a, ms);
            }
            Strike::KillCoordinator { target, ms } => {
                let c = self.aim(target) % self.coordinators.len();
                if self.coordinators[c].up {
                    self.kill_coordinator(c);
                    let run = self.coordinators[c].run;
                    self.after(ms * MS, Event::Mend(Mend::Coordinator { c, run }));
                }
            }
            Strike::PauseCoordinator { target, ms } => {
                let c = self.aim(target) % self.coordinators.len();
                later(&mut self.coordinators[c].paused_until, self.now + ms * MS);
                self.coordinators[c].away |= ms > 750;
            }
            Strike::LoseLog { target, ms } => {
                let c = self.aim(target) % self.coordinators.len();
                if self.is_stage() {
                    self.lose_log_elsewhere(c, ms);
                } else {
                    self.lose_log(c, ms);
                }
            }
            Strike::Recover { target, back, ms } => {
                let c = self.aim(target) % self.coordinators.len();
                if self.is_stage() {
                    self.recover_elsewhere(c, ms);
                } else {
                    self.recover_group(c, back, ms);
                }
            }
            Strike::Admit { target, ms } => {
                let c = self.aim(target) % self.coordinators.len();
                if !self.asks_elsewhere(c, true) {
                    self.admit(c, ms);
                }
            }
            Strike::Dismiss { target } => {
                let c = self.aim(target) % self.coordinators.len();
                if !self.asks_elsewhere(c, false) {
                    self.dismiss(c);
                }
            }
            Strike::Dispute => self.elect_anybody(),
            Strike::SlowDisk { target, times, ms } => {
                let i = self.aim(target) % n;
                self.own.servers[i].slow_disk.begins(self.now, times, ms);
            }
            Strike::SlowMachine { target, times, ms } => {
                let machine = self.aim(target);
                self.machines[machine].slow.begins(self.now, times, ms);
            }
            Strike::PromoteByHand { target } => {
                let i = self.aim(target) % n;
                self.promote_by_hand(i);
            }
            Strike::Coup { to, ms } => {
                let i = self.aim(Target::Primary) % n;
                self.strike_agent(i, ms);
                self.wish(Wish::Failover { to });
            }
            Strike::Lead { target } => {
                let winner = self.aim(target) % self.coordinators.len();
                if self.has_quorum(winner) {
                    self.elect_leader(winner);
                }
            }
            Strike::HearsOnly { target, from, ms } => {
                let to = self.aim(target);
                for a in (0..machines).filter(|a| *a != to && *a != from) {
                    self.cut_link(a, to, ms);
                }
            }
            Strike::Echo { target } => {
                let i = self.aim(target) % n;
                self.echo(i);
            }
            Strike::CancelWaits { target } => {
                let i = self.aim(target) % n;
                self.cancel_waits(i);
            }
            Strike::FullDisk { target, ms } => {
                let i = self.aim(target) % n;
                self.own.servers[i].full = true;
                self.after(ms * MS, Event::Mend(Mend::FullDisk { i }));
            }
            Strike::StalledDisk { target, ms } => {
                let i = self.aim(target) % n;
                later(&mut self.own.servers[i].stalled_until, self.now + ms * MS);
            }
            Strike::LoseSlot { .. } if !self.has(Trap::F35) => {}
            Strike::LoseSlot { target } => {
                let i = self.aim(target) % n;
                let primary = self.aim(Target::Primary);
                self.lose_slot(primary, i);
            }
            Strike::StartsFound { target } => {
                let i = self.aim(target) % n;
                self.start_behind_for_a_while(i);
            }
            Strike::PutsRight => self.put_right(),
            Strike::StopsFound { target } => {
                let i = self.aim(target) % n;
                self.stop_found_server(i);
            }
            Strike::Asks(wish) => {
                self.wish(wish);
                if wish == Wish::Pause {
                    self.after(5 * S, Event::Mend(Mend::Resume));
                }
            }
        }
    }

    fn strike_agent(&mut self, i: usize, ms: u64) {
        if self.own.agents[i].up {
            self.kill_agent(i);
            let run = self.own.agents[i].run;
            self.after(ms * MS, Event::Mend(Mend::Agent { i, run }));
        }
    }

    fn cut_link(&mut self, a: usize, b: usize, ms: u64) {
        self.network.cut(a, b);
        self.after(ms * MS, Event::Mend(Mend::Link { a, b }));
    }

    fn pause_machine(&mut self, machine: usize, ms: u64) {
        later(&mut self.machines[machine].paused_until, self.now + ms * MS);
        if let Some(coordinator) = self.coordinators.get_mut(machine) {
            coordinator.away |= ms > 750;
        }
    }

    pub(crate) fn power_off(&mut self, machine: usize, ms: u64) {
        if !self.machines[machine].on {
            return;
        }
        self.say(|| format!("machine {} is off", machine + 1));
        self.machines[machine].on = false;
        self.in_each(|world| {
            if machine < world.own.names.len() {
                world.cut_power(machine);
                world.kill_agent(machine);
            }
        });
        if machine < self.coordinators.len() {
            self.kill_coordinator(machine);
        }
        self.after(ms * MS, Event::Mend(Mend::Power { machine }));
    }

    /// The postmaster is gone; what waits for standbys leaves, what needs not wait goes on (F4, F31).
    fn kill_postmaster(&mut self, i: usize, orphans_ms: u64) {
        let life = self.own.servers[i].life;
        if let Some(proc) = self.own.servers[i].proc.as_mut().filter(|_| self.plan.traps.has(Trap::F31))
            && proc.phase == crate::postgres::Phase::Primary
        {
            proc.orphans = true;
            self.after(orphans_ms * MS, Event::Mend(Mend::Orphans { i, life }));
        } else {
            self.kill_server(i, "killed");
        }
    }

    /// Somebody promotes a standby behind everybody's back; never with the primary's data under their eyes.
    fn promote_by_hand(&mut self, i: usize) {
        // Two promotions off the very same place under one number cannot be told apart afterwards, by anybody (F20): not
        // by hand while this standby has still to reach a timeline that was opened already.
        let stands = self.own.servers[i].dir.as_ref().map(|dir| self.own.archive.settled(dir.end).branch);
        let reign = self.record().map_or(0, |record| record.epoch.0);
        let foreign = self.own.servers[i].runs_foreign();
        if foreign || stands.is_none_or(|branch| self.own.archive.timeline(branch) < reign) {
            return;
        }
        let life = self.own.servers[i].life;
        if let Some(proc) = self.own.servers[i].proc.as_mut()
            && proc.phase == crate::postgres::Phase::Standby
            && proc.promoting.is_none()
        {
            proc.promoting = Some(Epoch(0));
            self.after(50 * MS, Event::Promote { i, life });
        }
    }
}

/// What is stopped already is not woken by being stopped once more: its events wait for the later moment.
fn later(until: &mut Time, moment: Time) {
    *until = moment.max(*until);
}
