//! A group made anew out of one log, as `coordinator recover` does when a majority of the logs is gone. What was committed
//! after that log's end is lost, and it may be an epoch: so nothing is decided, granted or proposed before every instance
//! has been heard, and nothing at all once one obeyed what the record does not know (docs/coordinators.md, as
//! src/coordinator/trust.rs has it).

use crate::danger::Danger;
use crate::event::Event;
use crate::faults::Mend;
use crate::mutants::{self, Mutant};
use crate::world::{MS, Time, World};
use interrex_check::Fact;
use interrex_cluster::diagnose;
use interrex_cluster::ids::{Incarnation, InstanceName, Stamp};
use interrex_cluster::problem::Wait;
use interrex_cluster::record::{Cluster, Copy, Instance};
use interrex_cluster::report::Report;
use interrex_cluster::view::registered;

/// The group as it was made anew.
#[derive(Debug)]
pub(crate) struct Recovered {
    at: Time,
    /// The runs of the coordinators from then on: who had run before has nothing more to say.
    runs: Vec<u32>,
}

impl Recovered {
    /// At this moment, in which no coordinator runs.
    pub(crate) fn now(world: &World) -> Self {
        Self { at: world.now, runs: world.coordinators.iter().map(|it| it.run).collect() }
    }
}

impl World {
    /// The logs of all coordinators but one are gone, and of that one's the last `back` entries; an operator makes a group
    /// out of it.
    pub(crate) fn recover_group(&mut self, c: usize, back: usize, ms: u64) {
        if self.log.recovered.is_some() || self.coordinators[c].outside {
            return;
        }
        (0..self.coordinators.len()).for_each(|c| self.kill_coordinator(c));
        self.log.cut_off(back);
        self.log.recovered = Some(Recovered::now(self));
        self.in_each(|world| {
            world.own.endpoint.begins_anew();
            if let Some(record) = world.record().cloned() {
                world.fact(&Fact::LogCut { record: &record });
            }
        });
        self.say(|| {
            format!("a group is made anew out of the log of coordinator {}; {back} entries are lost", c + 1)
        });
        self.reach.note(Danger::LogRecovered);
        for new in 0..self.coordinators.len() {
            let it = &mut self.coordinators[new];
            (it.learns, it.doubts, it.applied) = (new != c && !it.outside, new == c, 0);
            let (run, wait) = (it.run, if new == c { ms } else { ms + self.rng.range(500, 4_000) });
            self.after(wait * MS, Event::Mend(Mend::Coordinator { c: new, run }));
        }
    }

    /// Whether a word of this run of a coordinator may still reach an agent: its process is gone, and with it its
    /// connections; whoever was stopped meanwhile may find the word in its socket.
    pub(crate) fn may_still_be_heard(&self, c: usize, crun: u32, i: usize) -> bool {
        let Some(recovered) = &self.log.recovered else { return true };
        let slept = self.own.agents[i].paused_until.max(self.machines[i].paused_until) >= recovered.at;
        crun >= recovered.runs[c] || slept
    }

    /// Who has still to be heard before a record that was made anew is believed.
    pub(super) fn awaits(&self, c: usize, record: &Cluster) -> Option<Wait> {
        if !self.coordinators[c].doubts {
            return None;
        }
        let heard = &self.own.desks[c].heard;
        let testifies = |name: &InstanceName, member: &Instance| {
            registered(record, heard, name).is_some_and(|heard| testifies(member, &heard.report))
        };
        let silent = record.instances.iter().filter(|(name, member)| !testifies(name, member));
        let silent: Vec<InstanceName> = silent.map(|(name, _)| name.clone()).collect();
        (!silent.is_empty()).then_some(Wait::Recovered { silent })
    }

    /// Whether nothing may be granted or proposed upon the record that this coordinator has.
    pub(crate) fn distrusts(&self, c: usize) -> bool {
        let state = self.state_of(c);
        let Some(record) = state.record.as_ref().filter(|_| !mutants::on(Mutant::RecordBehind)) else {
            return false;
        };
        diagnose::record::ask(record, &self.own.desks[c].heard).is_some() || self.awaits(c, record).is_some()
    }

    /// Everybody of every cluster was heard: the records are the newest there are, and the group may grow.
    pub(super) fn settle(&mut self, c: usize) {
        if !self.coordinators[c].doubts {
            return;
        }
        let mut distrusts = false;
        self.in_each(|world| distrusts |= world.distrusts(c));
        if !distrusts {
            self.coordinators[c].doubts = false;
            self.say(|| format!("coordinator {} trusts its record", c + 1));
        }
    }

    /// Whose registration was lost is not known any more, and registers when its node is restarted (docs/coordinators.md).
    pub(crate) fn restart_unknown(&mut self) {
        let Some(record) = self.record().filter(|_| self.log.recovered.is_some()) else { return };
        let lost = |i: &usize| {
            let name = &self.own.names[*i];
            let known = record.instances.contains_key(name) || record.removed.contains_key(name);
            !known && self.own.agents[*i].floor.is_some()
        };
        let lost: Vec<usize> = (0..self.own.names.len()).filter(lost).collect();
        for i in lost {
            self.kill_agent(i);
            self.start_agent(i);
        }
    }

    /// Whether whoever leads waits for an operator, for good: the record is older than what somebody obeyed, or somebody
    /// who will never be heard may have obeyed more.
    pub(crate) fn is_frozen(&self) -> bool {
        if self.log.recovered.is_none() {
            return false;
        }
        if self.is_stage() {
            // What whoever leads there heard is not known here; what is true, is.
            let known = self.record().map(Cluster::stamp);
            return self.own.agents.iter().any(|agent| Some(agent.memory.obeyed) > known);
        }
        self.log.leader.is_some_and(|leader| self.distrusts(leader))
    }
}

/// Whether an agent knows what it obeyed.
fn testifies(member: &Instance, report: &Report) -> bool {
    let remembers = report.incarnation != Incarnation(0) || member.copy != Copy::Whole;
    report.obeyed > Stamp::default() && report.doubt.is_none() && remembers
}
