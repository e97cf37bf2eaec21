//! Agents whose loop is not of this world: the shipped one runs elsewhere (`chaos/whole`), in processes that the world starts,
//! pauses and kills, with the keeper of the lease, beats and knocks. What these look at and move is modelled here: server and
//! guard, directory, memory, deeds.

use crate::coordinator::registration;
use crate::danger::Danger;
use crate::event::Event;
use crate::stage::{Order, Stage};
use crate::world::{MS, World};
use interrex_cluster::goal::{Goal, PrimaryGoal, StampedGoal};
use interrex_cluster::ids::{Epoch, InstanceName, Stamp};
use interrex_cluster::instance::lease::Lease;
use interrex_cluster::instance::next_step::Step;
use interrex_cluster::instance::observed::Observed;
use interrex_cluster::report::Knock;
use interrex_cluster::time::Instant;
use std::rc::Rc;

impl World {
    /// The deed under way has what it asked for.
    fn go_on(&mut self, i: usize) {
        let agent = &self.own.agents[i];
        let Some(deed) = agent.deed.as_ref().map(|deed| deed.id) else { return };
        let run = agent.run;
        let wait = self.small(i);
        self.after(wait, Event::Deed { i, run, deed });
    }

    /// An agent has looked around and begins to speak; it asks for its registration by itself until it has it.
    pub(super) fn begin_elsewhere(&mut self, i: usize, run: u32) {
        let (registration, obeyed) = (Box::new(registration(self, i)), self.own.agents[i].memory.obeyed);
        let life = self.own.agents[i].process;
        if life.is_some() && self.own.servers[i].is_primary() {
            self.reach.note(Danger::AgentFindsPrimary);
        }
        self.order(Order::StartAgent { i, run, registration, obeyed, life });
    }
}

/// What agents that run elsewhere say and do. Nothing of it is to be called for a run that has ended.
impl Stage {
    /// Whether that run of an agent has not ended.
    pub fn runs(&self, i: usize, run: u32) -> bool {
        self.world.own.agents[i].up && self.world.own.agents[i].run == run
    }

    /// Whether an agent's process, or its machine, is stopped.
    pub fn holds_agent(&self, i: usize) -> bool {
        self.world.own.agents[i].paused_until.max(self.world.machines[i].paused_until) > self.world.now
    }

    /// It was registered.
    pub fn welcome(&mut self, i: usize, floor: Stamp, goal: StampedGoal) {
        let run = self.world.own.agents[i].run;
        self.world.hears_goal(&goal.goal);
        self.world.notice_registration(i);
        self.world.welcomed(i, run, floor, Rc::new(goal));
    }

    /// The newest goal that it knows, and who is elected.
    pub fn told(&mut self, i: usize, goal: StampedGoal, elected: Option<(&InstanceName, Epoch)>) {
        self.world.hears_goal(&goal.goal);
        let place = elected.map(|(name, epoch)| (self.world.index(name), epoch));
        self.world.take_goal(i, Rc::new(goal), place);
    }

    /// What the keeper of its lease holds.
    pub fn holds(&mut self, i: usize, lease: Lease, deadline: Option<Instant>) {
        let book = &mut self.world.own.agents[i].book;
        (book.lease, book.deadline) = (lease, deadline);
    }

    /// It knocks at the port of another instance: answered, refused, or met with silence.
    pub fn knock(&self, i: usize, at: &InstanceName) -> Option<bool> {
        self.world.answers_knock(i, self.world.index(at))
    }

    /// The keeper of its lease did what the deed under way asked for, or why not.
    pub fn kept(&mut self, i: usize, done: Result<(), String>) {
        match done {
            Ok(()) => self.world.go_on(i),
            Err(why) => self.world.deed_over(i, Err(why)),
        }
    }

    /// Whether its server runs, in that life.
    pub fn lives(&self, i: usize, life: u32) -> bool {
        let server = &self.world.own.servers[i];
        server.proc.is_some() && server.life == life
    }

    /// The deadline of its server, as the guard holds it.
    pub fn deadline(&self, i: usize) -> Option<(Epoch, Instant)> {
        self.world.own.servers[i].proc.as_ref()?.deadline
    }

    /// Its guard gets another one.
    pub fn set_deadline(&mut self, i: usize, epoch: Epoch, until: Instant) {
        self.world.notice_deadline(i);
        self.world.set_deadline(i, epoch, until);
    }

    /// The epoch in which its server reigns, by the goal that it knows.
    pub fn reigns(&self, i: usize) -> Option<Epoch> {
        match &self.world.reigns_by(i)?.goal {
            Goal::Primary(goal) => Some(goal.epoch),
            _ => None,
        }
    }

    /// Whether a beat can prove what it is for.
    pub fn waits_for_standbys(&mut self, i: usize, goal: &PrimaryGoal) -> bool {
        self.world.waits_for_standbys(i, goal)
    }

    /// A beat is on its way, and how it ends is ordered; false: nobody takes it.
    pub fn beat(&mut self, i: usize, epoch: Epoch) -> bool {
        self.world.begin_beat(i, epoch)
    }

    /// Its beat is not waited for any more.
    pub fn give_up_beat(&mut self, i: usize) {
        self.world.give_up_beat(i);
    }

    /// What it sees, and for how many microseconds it looked. What is told of that, and of the last knocks, is ordered as a
    /// report.
    pub fn look(&mut self, i: usize, goal: Option<&Goal>, found: Option<Knock>) -> (Observed, u64) {
        self.world.own.agents[i].found = found;
        let seen = self.world.observe(i, goal);
        (seen, self.world.takes(i, MS / 2, 4 * MS))
    }

    /// It takes note of a server that ended.
    pub fn notice_exit(&mut self, i: usize) {
        self.world.notice_exit(i);
    }

    /// Whether the server that it knows to run has ended.
    pub fn has_ended(&self, i: usize) -> bool {
        self.world.own.agents[i].process.is_some() && self.world.own.servers[i].proc.is_none()
    }

    /// A goal's stamp is written down as obeyed; for how many microseconds the disk worked.
    pub fn obey(&mut self, i: usize, stamp: Stamp) -> u64 {
        if self.world.own.agents[i].memory.obeyed >= stamp {
            return 0;
        }
        self.world.obey(i, stamp);
        self.world.syncs(i)
    }

    /// Which step is due.
    pub fn note(&mut self, i: usize, due: &Step) {
        self.world.announce(i, due);
    }

    /// What fails.
    pub fn note_failure(&mut self, i: usize, words: String) {
        self.world.own.agents[i].known.doing = Some(words);
    }

    /// It begins a deed; how that ends is ordered.
    pub fn begin(&mut self, i: usize, goal: StampedGoal, step: Step) {
        self.world.begin_deed(i, Rc::new(goal), step);
    }

    /// It leaves its deed as it is, if one is under way.
    pub fn leave_off(&mut self, i: usize) {
        if self.world.own.agents[i].deed.take().is_some() {
            self.reached(Danger::DeedLeft);
        }
    }
}
