//! The end of what a strike did, and machines that are switched on again.

use crate::coordinator::Wish;
use crate::event::Event;
use crate::faults::Mend;
use crate::world::{S, World};

impl World {
    /// A strike's end.
    pub(crate) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Power { machine } => self.power_on(machine),
            Mend::Agent { i, run } => {
                if !self.own.agents[i].up && self.own.agents[i].run == run && self.machines[i].on {
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
            Mend::FullDisk { i } => self.own.servers[i].full = false,
            Mend::Behind { i, life } => {
                if self.own.servers[i].life == life {
                    self.stop_found_server(i);
                }
            }
            Mend::Resume => {
                // Whoever paused it goes on asking until somebody hears it.
                if self.record().is_some_and(|record| record.paused) {
                    self.wish(Wish::Resume);
                    self.after(S, Event::Mend(Mend::Resume));
                }
            }
            Mend::Orphans { i, life } => {
                if self.own.servers[i].life == life
                    && self.own.servers[i].proc.as_ref().is_some_and(|p| p.orphans)
                {
                    self.kill_server(i, "its postmaster was killed");
                }
            }
        }
    }

    pub(crate) fn power_on(&mut self, machine: usize) {
        if self.machines[machine].on || self.faults.dead[machine] {
            return;
        }
        self.say(|| format!("machine {} is on", machine + 1));
        let now = self.now;
        let m = &mut self.machines[machine];
        m.on = true;
        m.booted = now;
        m.paused_until = 0;
        m.slow.ends();
        self.in_each(|world| {
            if machine < world.own.names.len() {
                world.own.servers[machine].hung_until = 0;
                world.own.servers[machine].deaf_until = 0;
                world.own.agents[machine].paused_until = 0;
                world.boots(machine);
                world.start_agent(machine);
            }
        });
        if machine < self.coordinators.len() {
            self.start_coordinator(machine);
        }
    }
}
