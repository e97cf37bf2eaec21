//! What is done to the world: strikes, each with its moment and its end. A strike aims at a role and finds who bears it
//! when it falls; what it did to whom is undone by a [`Mend`].

use crate::coordinator::Wish;
use crate::event::Event;
use crate::world::{MS, S, Time, World};
use interrex_check::Fact;
use interrex_cluster::ids::Epoch;
use interrex_cluster::record::Copy;

/// Whom a strike is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The elected, promoted or not; in a failover, whoever was elected last.
    Primary,
    /// The n-th of the others.
    Standby(usize),
    /// The machine of the coordinator that leads.
    Leader,
    /// The n-th of all.
    Any(usize),
}

/// Something bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// A machine loses power and gets it back.
    Power {
        target: Target,
        ms: u64,
    },
    /// A server dies with all its processes.
    KillServer {
        target: Target,
    },
    /// Its postmaster dies; backends live on for a while.
    KillPostmaster {
        target: Target,
        orphans_ms: u64,
    },
    KillAgent {
        target: Target,
        ms: u64,
    },
    PauseMachine {
        target: Target,
        ms: u64,
    },
    PauseAgent {
        target: Target,
        ms: u64,
    },
    /// A server stops in the middle of everything.
    Hang {
        target: Target,
        ms: u64,
    },
    /// It lets nobody new in; who is there goes on.
    Deaf {
        target: Target,
        ms: u64,
    },
    Isolate {
        target: Target,
        ms: u64,
    },
    CutOneWay {
        target: Target,
        inward: bool,
        ms: u64,
    },
    CutPair {
        target: Target,
        other: usize,
        ms: u64,
    },
    KillCoordinator {
        target: Target,
        ms: u64,
    },
    PauseCoordinator {
        target: Target,
        ms: u64,
    },
    /// Another coordinator wins an election though the leader is well.
    Dispute,
    SlowDisk {
        target: Target,
        times: u64,
        ms: u64,
    },
    SlowMachine {
        target: Target,
        times: u64,
        ms: u64,
    },
    /// Somebody calls `pg_ctl promote`.
    PromoteByHand {
        target: Target,
    },
    /// All machines lose power.
    Everything {
        ms: u64,
    },
    /// An operator asks for something.
    Asks(Wish),
    /// The primary's agent dies, and a failover is asked for while its server serves on.
    Coup {
        to: usize,
        ms: u64,
    },
}

/// A moment in the life of the cluster that a strike can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Begun,
    Sealed,
    Elected,
    Promoting,
    Promoted,
    Confirmed,
    Opened,
    RuleChanging,
    Rebuilding,
}

impl Moment {
    pub(crate) const ALL: &[Moment] = &[
        Moment::Begun,
        Moment::Sealed,
        Moment::Elected,
        Moment::Promoting,
        Moment::Promoted,
        Moment::Confirmed,
        Moment::Opened,
        Moment::RuleChanging,
        Moment::Rebuilding,
    ];
}

/// When a strike falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    At {
        ms: u64,
    },
    /// So long after a moment came for the n-th time.
    On {
        moment: Moment,
        nth: u32,
        after_ms: u64,
    },
}

/// A strike with its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) when: When,
    pub(crate) strike: Strike,
}

/// The end of a strike.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mend {
    Power { machine: usize },
    Agent { i: usize, run: u32 },
    Coordinator { c: usize, run: u32 },
    Link { a: usize, b: usize },
    Disk { i: usize },
    Machine { machine: usize },
    Orphans { i: usize, life: u32 },
    Resume,
}

/// What is known of strikes while they fall.
#[derive(Debug)]
pub(crate) struct Faults {
    seen: Vec<u32>,
    links: u32,
    /// Faults are over: what was planned for later does not fall.
    pub(crate) over: bool,
    whole_since: Option<Time>,
    healing_since: Time,
    fallen: Vec<bool>,
}

impl Faults {
    pub(crate) fn new(strikes: usize) -> Self {
        Self {
            seen: vec![0; Moment::ALL.len()],
            links: 0,
            over: false,
            whole_since: None,
            healing_since: 0,
            fallen: vec![false; strikes],
        }
    }

    /// A number for a connection.
    pub(crate) fn next_link(&mut self) -> u32 {
        self.links += 1;
        self.links
    }
}

/// After the last fault the cluster is whole again within this.
const HEALS_WITHIN: Time = 90 * S;
/// It has to stay so.
const STAYS: Time = 2 * S;

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
        let at = moment as usize;
        self.faults.seen[at] += 1;
        let count = self.faults.seen[at];
        for number in 0..self.plan.strikes.len() {
            if let When::On { moment: on, nth, after_ms } = self.plan.strikes[number].when
                && on == moment
                && nth == count
            {
                self.after(after_ms * MS, Event::Strike { number });
            }
        }
    }

    fn aim(&self, target: Target) -> usize {
        let n = self.names.len();
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
        let strike = self.plan.strikes[number].strike;
        self.say(|| format!("STRIKE {number}: {strike:?}"));
        let machines = self.machines.len();
        let n = self.names.len();
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
                self.agents[i].paused_until = self.now + ms * MS;
            }
            Strike::Hang { target, ms } => {
                let i = self.aim(target) % n;
                self.servers[i].hung_until = self.now + ms * MS;
            }
            Strike::Deaf { target, ms } => {
                let i = self.aim(target) % n;
                self.servers[i].deaf_until = self.now + ms * MS;
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
                self.coordinators[c].paused_until = self.now + ms * MS;
                self.coordinators[c].away |= ms > 750;
            }
            Strike::Dispute => self.elect_anybody(),
            Strike::SlowDisk { target, times, ms } => {
                let i = self.aim(target) % n;
                self.servers[i].slow_disk = times;
                self.after(ms * MS, Event::Mend(Mend::Disk { i }));
            }
            Strike::SlowMachine { target, times, ms } => {
                let machine = self.aim(target);
                self.machines[machine].slow = times;
                self.after(ms * MS, Event::Mend(Mend::Machine { machine }));
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
            Strike::Asks(wish) => {
                self.wish(wish);
                if wish == Wish::Pause {
                    self.after(5 * S, Event::Mend(Mend::Resume));
                }
            }
        }
    }

    fn strike_agent(&mut self, i: usize, ms: u64) {
        if self.agents[i].up {
            self.kill_agent(i);
            let run = self.agents[i].run;
            self.after(ms * MS, Event::Mend(Mend::Agent { i, run }));
        }
    }

    fn cut_link(&mut self, a: usize, b: usize, ms: u64) {
        self.network.cut(a, b);
        self.after(ms * MS, Event::Mend(Mend::Link { a, b }));
    }

    fn pause_machine(&mut self, machine: usize, ms: u64) {
        self.machines[machine].paused_until = self.now + ms * MS;
        if let Some(coordinator) = self.coordinators.get_mut(machine) {
            coordinator.away |= ms > 750;
        }
    }

    fn power_off(&mut self, machine: usize, ms: u64) {
        if !self.machines[machine].on {
            return;
        }
        self.say(|| format!("machine {} is off", machine + 1));
        self.machines[machine].on = false;
        if machine < self.names.len() {
            self.cut_power(machine);
            self.kill_agent(machine);
        }
        if machine < self.coordinators.len() {
            self.kill_coordinator(machine);
        }
        self.after(ms * MS, Event::Mend(Mend::Power { machine }));
    }

    /// The postmaster is gone; what waits for standbys leaves, what needs not wait goes on (F4, F31).
    fn kill_postmaster(&mut self, i: usize, orphans_ms: u64) {
        let life = self.servers[i].life;
        if let Some(proc) = self.servers[i].proc.as_mut()
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
        let stands = self.servers[i].dir.as_ref().map(|dir| self.archive.settled(dir.end).branch);
        let reign = self.record().map_or(0, |record| record.epoch.0);
        if stands.is_none_or(|branch| self.archive.timeline(branch) < reign) {
            return;
        }
        let life = self.servers[i].life;
        if let Some(proc) = self.servers[i].proc.as_mut()
            && proc.phase == crate::postgres::Phase::Standby
            && proc.promoting.is_none()
        {
            proc.promoting = Some(Epoch(0));
            self.after(50 * MS, Event::Promote { i, life });
        }
    }

    /// A strike's end.
    pub(crate) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Power { machine } => self.power_on(machine),
            Mend::Agent { i, run } => {
                if !self.agents[i].up && self.agents[i].run == run && self.machines[i].on {
                    self.start_agent(i);
                }
            }
            Mend::Coordinator { c, run } => {
                let coordinator = &self.coordinators[c];
                if !coordinator.up && coordinator.run == run && self.machines[c].on {
                    self.start_coordinator(c);
                }
            }
            Mend::Link { a, b } => self.network.mend(a, b),
            Mend::Disk { i } => self.servers[i].slow_disk = 1,
            Mend::Machine { machine } => self.machines[machine].slow = 1,
            Mend::Resume => {
                // Whoever paused it goes on asking until somebody hears it.
                if self.record().is_some_and(|record| record.paused) {
                    self.wish(Wish::Resume);
                    self.after(S, Event::Mend(Mend::Resume));
                }
            }
            Mend::Orphans { i, life } => {
                if self.servers[i].life == life && self.servers[i].proc.as_ref().is_some_and(|p| p.orphans) {
                    self.kill_server(i, "its postmaster was killed");
                }
            }
        }
    }

    fn power_on(&mut self, machine: usize) {
        if self.machines[machine].on {
            return;
        }
        self.say(|| format!("machine {} is on", machine + 1));
        let now = self.now;
        let m = &mut self.machines[machine];
        m.on = true;
        m.booted = now;
        m.paused_until = 0;
        m.slow = 1;
        if machine < self.names.len() {
            self.servers[machine].hung_until = 0;
            self.servers[machine].deaf_until = 0;
            self.agents[machine].paused_until = 0;
            self.start_agent(machine);
        }
        if machine < self.coordinators.len() {
            self.start_coordinator(machine);
        }
    }

    /// Faults are over: everything is mended, and the clock of healing runs.
    pub(crate) fn heal(&mut self) {
        self.say(|| "HEAL: faults are over".to_owned());
        self.faults.over = true;
        self.faults.healing_since = self.now;
        self.network.mend_all();
        let now = self.now;
        for i in 0..self.names.len() {
            self.servers[i].hung_until = self.servers[i].hung_until.min(now);
            self.servers[i].deaf_until = 0;
            self.servers[i].slow_disk = 1;
            self.agents[i].paused_until = self.agents[i].paused_until.min(now);
        }
        for machine in 0..self.machines.len() {
            self.machines[machine].paused_until = self.machines[machine].paused_until.min(now);
            self.machines[machine].slow = 1;
            self.power_on(machine);
        }
        for i in 0..self.names.len() {
            let run = self.agents[i].run;
            self.mend(Mend::Agent { i, run });
        }
        for c in 0..self.coordinators.len() {
            self.coordinators[c].paused_until = self.coordinators[c].paused_until.min(now);
            let run = self.coordinators[c].run;
            self.mend(Mend::Coordinator { c, run });
        }
        self.after(250 * MS, Event::Healed);
    }

    /// Is it whole by now?
    pub(crate) fn healed(&mut self) {
        // A pause may have been taken in after it was taken back.
        if self.record().is_some_and(|record| record.paused) {
            self.wish(Wish::Resume);
        }
        let missing = self.missing();
        match (missing, self.faults.whole_since) {
            (None, None) => {
                self.say(|| "the cluster is whole".to_owned());
                self.faults.whole_since = Some(self.now);
                self.fact(&Fact::Calm);
            }
            (None, Some(since)) if self.now - since >= STAYS => {
                for i in (0..self.servers.len()).filter(|i| self.servers[*i].is_primary()).collect::<Vec<_>>()
                {
                    self.serves(i);
                }
                self.over = true;
                return;
            }
            (None, Some(_)) => {}
            (Some(_), Some(_)) => {}
            (Some(missing), None) if self.now - self.faults.healing_since > HEALS_WITHIN => {
                let tableau = if self.trace.on() { self.tableau() } else { String::new() };
                self.say(|| tableau);
                self.fact(&Fact::NotHealed { missing: &missing });
                self.over = true;
                return;
            }
            (Some(_), None) => {}
        }
        self.after(250 * MS, Event::Healed);
    }

    /// What keeps the cluster from being whole, in words.
    fn missing(&self) -> Option<String> {
        let Some(record) = self.record() else { return Some("there is no record".to_owned()) };
        let Some(reign) = record.primary.as_ref().filter(|reign| reign.open) else {
            return Some(format!("no open primary in epoch {}", record.epoch));
        };
        let primary = self.index(&reign.instance);
        if !self.takes_clients(primary) {
            return Some(format!("{} lets no clients in", reign.instance));
        }
        let wanted = record.spec.acks.min(record.instances.len() as u32 - 1);
        for (name, member) in record.instances.iter().filter(|(name, _)| **name != reign.instance) {
            let i = self.index(name);
            if member.copy != Copy::Whole {
                return Some(format!("the copy on {name} is not whole: {:?}", member.copy));
            }
            let streams = self.servers[primary]
                .proc
                .as_ref()
                .is_some_and(|proc| proc.senders.iter().any(|sender| sender.to == i && sender.streaming));
            if !streams {
                return Some(format!("{name} does not stream"));
            }
            if !record.sync.standbys.contains(name) && wanted > 0 {
                return Some(format!("{name} is not among those who acknowledge"));
            }
        }
        if record.sync.k != wanted || !record.sync.proved {
            return Some(format!("the rule in force asks for {} of {wanted}", record.sync.k));
        }
        None
    }
}

impl World {
    /// Who stands where, in one line for the play of a run that did not heal.
    pub(crate) fn tableau(&self) -> String {
        let agents: Vec<String> = (0..self.names.len()).map(|i| self.agents[i].tableau(i)).collect();
        let coordinators: Vec<String> = (0..self.coordinators.len())
            .map(|c| {
                let it = &self.coordinators[c];
                format!(
                    "coordinator {}: up {} applied {} leads {:?} told {:?}",
                    c + 1,
                    it.up,
                    it.applied,
                    it.leads,
                    it.told
                )
            })
            .collect();
        format!("{}; {}; log {}", agents.join("; "), coordinators.join("; "), self.log.states.len() - 1)
    }
}
