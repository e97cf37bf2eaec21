//! The second phase: everything is mended, or all but a few machines that stay dead, and the cluster has to become
//! writable and whole within a stated time.

use crate::coordinator::Wish;
use crate::danger::Danger;
use crate::event::Event;
use crate::faults::Mend;
use crate::parameters::Setting;
use crate::world::{MS, S, Time, World};
use interrex_check::Fact;
use interrex_cluster::record::Copy;

/// After the last fault the cluster is whole again within this.
const HEALS_WITHIN: Time = 90 * S;
/// It has to stay so.
const STAYS: Time = 2 * S;

impl World {
    /// Faults are over: everything is mended, and the clock of healing runs.
    pub(crate) fn heal(&mut self) {
        self.say(|| "HEAL: faults are over".to_owned());
        self.faults.over = true;
        self.faults.healing_since = self.now;
        self.network.mend_all();
        let now = self.now;
        self.in_each(|world| {
            for server in &mut world.own.servers {
                server.hung_until = server.hung_until.min(now);
                server.deaf_until = 0;
                server.slow_disk.ends();
                server.full = false;
            }
            world.own.agents.iter_mut().for_each(|agent| agent.paused_until = agent.paused_until.min(now));
        });
        if self.plan.leaves_dead {
            self.leave_one_dead();
        }
        for machine in 0..self.machines.len() {
            self.machines[machine].paused_until = self.machines[machine].paused_until.min(now);
            self.machines[machine].slow.ends();
            self.power_on(machine);
        }
        self.in_each(|world| {
            world.services_are_disabled();
            (0..world.own.servers.len()).for_each(|i| world.wake_guard(i));
            for i in 0..world.own.names.len() {
                let run = world.own.agents[i].run;
                world.mend(Mend::Agent { i, run });
            }
        });
        for c in 0..self.coordinators.len() {
            self.coordinators[c].paused_until = self.coordinators[c].paused_until.min(now);
            let run = self.coordinators[c].run;
            self.mend(Mend::Coordinator { c, run });
        }
        self.let_go();
        // What operators asked for across a cut arrives first.
        let first = if self.is_stage() { 2 * S } else { 250 * MS };
        self.after(first, Event::Healed);
    }

    /// Is it whole by now?
    pub(crate) fn healed(&mut self) {
        let mut missing = false;
        self.in_each(|world| {
            world.services_are_disabled();
            world.restart_unknown();
            // A pause may have been taken in after it was taken back.
            if world.record().is_some_and(|record| record.paused) {
                world.wish(Wish::Resume);
            }
            if world.record().is_some_and(|record| Setting::keeps_down(&record.spec)) {
                world.wish(Wish::Parameter(Setting::Back));
            }
            if world.missing().is_some() {
                missing = true;
                world.ask_what_is_missing();
            }
        });
        match (missing, self.faults.whole_since) {
            (false, None) => {
                self.say(|| "the cluster is whole".to_owned());
                if self.faults.dead.contains(&true) {
                    self.reach.note(Danger::WholeWithoutTheDead);
                }
                self.faults.whole_since = Some(self.now);
                self.in_each(|world| world.fact(&Fact::Calm));
            }
            (false, Some(since)) if self.now - since >= STAYS => {
                self.in_each(World::all_primaries_serve);
                self.over = true;
                return;
            }
            (true, _) if self.now - self.faults.healing_since > HEALS_WITHIN => {
                self.in_each(World::judge_what_is_missing);
                self.over = true;
                return;
            }
            (false, Some(_)) | (true, _) => {}
        }
        self.after(250 * MS, Event::Healed);
    }

    fn all_primaries_serve(&mut self) {
        for i in (0..self.own.servers.len()).filter(|i| self.own.servers[*i].is_primary()).collect::<Vec<_>>()
        {
            self.serves(i);
        }
    }

    /// Time is up: whatever is not whole has to wait rightly.
    fn judge_what_is_missing(&mut self) {
        let Some(missing) = self.missing() else { return };
        if self.is_rightly_stuck() {
            self.say(|| "the living may not go on without the dead, and say so".to_owned());
            let frozen = self.is_frozen();
            self.reach.note(if frozen { Danger::RecordBehind } else { Danger::StuckRightly });
            return;
        }
        let tableau = if self.trace.on() { self.tableau() } else { String::new() };
        self.say(|| tableau);
        self.fact(&Fact::NotHealed { missing: &missing });
    }

    /// What keeps the living from being whole, in words.
    fn missing(&self) -> Option<String> {
        let Some(record) = self.record() else { return Some("there is no record".to_owned()) };
        let Some(reign) = record.primary.as_ref().filter(|reign| reign.open) else {
            return Some(format!("no open primary in epoch {}", record.epoch));
        };
        let primary = self.index(&reign.instance);
        if !self.takes_clients(primary) {
            return Some(format!("{} lets no clients in", reign.instance));
        }
        let living = record.instances.keys().filter(|name| !self.is_dead(name));
        // One whose agent has only begun may have no lease left.
        if let Some(name) = living.clone().find(|name| self.own.agents[self.index(name)].floor.is_none()) {
            return Some(format!("{name}'s agent is not registered"));
        }
        let able = living.clone().filter(|name| **name != reign.instance).count() as u32;
        let spec = &record.spec;
        let wanted = spec.acks.min(able.max(spec.min_acks));
        for name in living.filter(|name| **name != reign.instance) {
            let i = self.index(name);
            let copy = record.instances.get(name).map(|member| &member.copy);
            if copy != Some(&Copy::Whole) {
                return Some(format!("the copy on {name} is not whole: {copy:?}"));
            }
            let streams = self.own.servers[primary]
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
        let agents: Vec<String> = (0..self.own.names.len()).map(|i| self.own.agents[i].tableau(i)).collect();
        let coordinators: Vec<String> = (0..self.coordinators.len())
            .map(|c| {
                let it = &self.coordinators[c];
                format!(
                    "coordinator {}: up {} applied {} leads {:?} told {:?}",
                    c + 1,
                    it.up,
                    it.applied,
                    it.leads,
                    self.own.desks[c].told
                )
            })
            .collect();
        format!("{}; {}; log {}", agents.join("; "), coordinators.join("; "), self.log.states.len() - 1)
    }
}
