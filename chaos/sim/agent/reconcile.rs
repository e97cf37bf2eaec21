//! The loop: look, obey, one step, again. And the agent's own life: started, registered, killed.

use super::deeds::Deed;
use super::{Agent, Knocks};
use crate::event::{Elected, Event};
use crate::faults::Mend;
use crate::mutants::{self, Mutant};
use crate::stage::Order;
use crate::world::{MS, Time, World};
use interrex_cluster::goal::{Goal, StampedGoal};
use interrex_cluster::ids::Stamp;
use interrex_cluster::instance::gate::Floor;
use interrex_cluster::instance::lease::Margin;
use interrex_cluster::instance::next_step::{Step, next_step};
use interrex_cluster::instance::observed::EarlyEnds;
use std::rc::Rc;

/// As in the shipped loop.
const AT_REST: Time = 250 * MS;
const WAITING: Time = 50 * MS;
const FIRST_PATIENCE: Time = 100 * MS;
const MOST_PATIENCE: Time = 5_000 * MS;

impl World {
    /// An agent's process begins; a server that runs under its guard goes on untouched.
    pub(crate) fn start_agent(&mut self, i: usize) {
        let coordinators = self.coordinators.len();
        let now = self.now;
        let ours = self.own.servers[i].proc.is_some() && !self.own.servers[i].runs_foreign();
        let running = ours.then_some(self.own.servers[i].life);
        let deadline = self.own.servers[i].proc.as_ref().and_then(|proc| proc.deadline);
        let blank = Agent::new(self.own.names[i].clone(), coordinators);
        let old = std::mem::replace(&mut self.own.agents[i], blank);
        let mut agent = Agent {
            up: true,
            run: old.run + 1,
            memory: old.memory,
            process: running,
            patience: FIRST_PATIENCE,
            words: old.words,
            beats: super::Beats { number: old.beats.number, ..Default::default() },
            deeds: old.deeds,
            token: old.token,
            ..Agent::new(old.name, coordinators)
        };
        agent.server.seen_since = now;
        // Nobody knows what the commits of a server that was found waited for.
        agent.server.from_async = running.is_some();
        agent.book.asynchronous = true;
        if let Some((epoch, deadline)) = deadline {
            agent.book.deadline = Some(deadline);
            agent.book.armed = Some(epoch);
        }
        agent.known.proofs.created = agent.memory.created;
        agent.known.proofs.rebuilt = agent.memory.rebuilt;
        if mutants::on(Mutant::EpochPersistence) {
            agent.memory.obeyed = Stamp::default();
        }
        let run = agent.run;
        self.own.agents[i] = agent;
        let wait = self.takes(i, 5 * MS, 300 * MS);
        self.after(wait, Event::Register { i, run });
    }

    /// The agent's process ends. Its guard, and the server, go on.
    pub(crate) fn kill_agent(&mut self, i: usize) {
        if self.own.agents[i].up {
            self.order(Order::EndAgent { i });
        }
        let agent = &mut self.own.agents[i];
        agent.up = false;
        agent.run += 1;
        agent.deed = None;
        agent.looked = None;
    }

    /// It asks to be registered, of one coordinator after the other, until it is.
    pub(crate) fn register(&mut self, i: usize, run: u32) {
        let agent = &self.own.agents[i];
        if !agent.up || agent.run != run || agent.floor.is_some() {
            return;
        }
        if self.is_stage() {
            return self.begin_elsewhere(i, run);
        }
        for c in 0..self.coordinators.len() {
            if self.coordinators[c].up && self.coordinators[c].leads.is_some() && self.network.talk(i, c) {
                self.ask_to_register(c, i, run);
            }
        }
        let again = self.rng.range(300 * MS, 500 * MS);
        self.after(again, Event::Register { i, run });
    }

    /// It is registered: from here on it obeys.
    pub(crate) fn welcomed(&mut self, i: usize, run: u32, floor: Stamp, goal: Rc<StampedGoal>) {
        let agent = &mut self.own.agents[i];
        if !agent.up || agent.run != run || agent.floor.is_some() {
            return;
        }
        if self.own.servers[i].runs_foreign() && !matches!(goal.goal, Goal::Adopt { .. }) {
            return self.meets_a_stranger(i);
        }
        let agent = &mut self.own.agents[i];
        let forgets = mutants::on(Mutant::EpochPersistence);
        agent.floor = Some(if forgets { Stamp::default() } else { floor });
        if !forgets && agent.told.as_ref().is_none_or(|known| known.stamp < goal.stamp) {
            agent.told = Some(goal);
        }
        self.say(|| format!("n{}'s agent is registered, floor {floor}", i + 1));
        self.phase(crate::faults::Moment::Registered);
        self.poke(i);
        if self.is_stage() {
            return;
        }
        self.after(10 * MS, Event::Beat { i, run, token: 0 });
        for c in 0..self.coordinators.len() {
            let crun = self.coordinators[c].run;
            self.own.desks[c].told[i] = None;
            self.after(MS, Event::WatchOpen { c, run: crun, i });
        }
    }

    /// A server that somebody else started is met under a goal that is about it, or not at all: the agent ends, and is
    /// started again by whatever keeps it running.
    fn meets_a_stranger(&mut self, i: usize) {
        self.say(|| format!("n{}'s agent ends: somebody else's server runs on its directory", i + 1));
        self.kill_agent(i);
        let run = self.own.agents[i].run;
        self.after(1_000 * MS, Event::Mend(Mend::Agent { i, run }));
    }

    /// A coordinator told a goal.
    pub(crate) fn goal_came(
        &mut self,
        i: usize,
        run: u32,
        (c, crun): (usize, u32),
        goal: Option<Rc<StampedGoal>>,
        place: Elected,
    ) {
        if !self.may_still_be_heard(c, crun, i) {
            return;
        }
        if !self.network.reaches(c, i) || !self.own.agents[i].up || self.own.agents[i].floor.is_none() {
            return self.watch_broke(c, crun, i);
        }
        if self.own.agents[i].run != run {
            // What was meant for an earlier run: its stream is gone, and the present one opens its own.
            return;
        }
        if let Some(goal) = goal {
            self.hears_goal(&goal.goal);
            if self.take_goal(i, goal, place) {
                self.poke(i);
            }
        }
    }

    /// A goal is told to an agent that runs: the newest counts. True when it is news.
    pub(super) fn take_goal(&mut self, i: usize, goal: Rc<StampedGoal>, place: Elected) -> bool {
        let agent = &mut self.own.agents[i];
        let known = agent.told.as_ref().map(|known| known.stamp);
        let older = match known {
            Some(known) if mutants::on(Mutant::GoalOrder) => goal.stamp.epoch < known.epoch,
            known => Some(goal.stamp) < known,
        };
        if older {
            self.reach.note(crate::danger::Danger::OldGoal);
            return false;
        }
        let news = agent.told.as_ref() != Some(&goal) || agent.place != place;
        agent.told = Some(goal);
        agent.place = place;
        news
    }

    /// The loop is to look again soon.
    pub(crate) fn poke(&mut self, i: usize) {
        if !self.own.agents[i].up || self.own.agents[i].floor.is_none() || self.order(Order::Poke { i }) {
            return;
        }
        if self.own.agents[i].deed.is_some() || self.own.agents[i].looked.is_some() {
            self.own.agents[i].again = true;
            self.interrupt(i);
            return;
        }
        self.wake_in(i, MS / 5);
    }

    fn wake_in(&mut self, i: usize, wait: Time) {
        let agent = &mut self.own.agents[i];
        agent.token += 1;
        let (run, token) = (agent.run, agent.token);
        self.after(wait, Event::Wake { i, run, token });
    }

    /// The loop begins a round: it looks.
    pub(crate) fn wake(&mut self, i: usize, run: u32, token: u32) {
        let agent = &self.own.agents[i];
        if !agent.up || agent.run != run || agent.token != token || agent.deed.is_some() {
            return;
        }
        self.notice_exit(i);
        self.own.agents[i].again = false;
        let goal = self.own.agents[i].told.clone();
        let seen = self.observe(i, goal.as_deref().map(|goal| &goal.goal));
        self.own.agents[i].looked = Some((goal, seen));
        let look = self.takes(i, MS / 2, 4 * MS);
        self.after(look, Event::Act { i, run, token });
    }

    /// The look is done: is the goal to be obeyed, and what comes next?
    pub(crate) fn act(&mut self, i: usize, run: u32, token: u32) {
        let agent = &mut self.own.agents[i];
        if !agent.up || agent.run != run || agent.token != token {
            return;
        }
        let Some((goal, seen)) = agent.looked.take() else { return };
        let Some(goal) = goal else { return self.rest(i, AT_REST) };
        let floor = Floor { obeyed: agent.memory.obeyed, registered: agent.floor };
        if floor.admits(&goal).is_err() {
            return self.rest(i, AT_REST);
        }
        if agent.memory.obeyed < goal.stamp {
            // Written down before it is acted on; whoever is killed meanwhile has not begun.
            self.obey(i, goal.stamp);
            self.own.agents[i].looked = Some((Some(goal), seen));
            let sync = self.syncs(i);
            return self.after(sync, Event::Act { i, run, token });
        }
        let step = next_step(&goal.goal, &seen, self.clock(i));
        self.announce(i, &step);
        match step {
            Step::Nothing | Step::Refuse { .. } | Step::AskForRebuild(_) => self.rest(i, AT_REST),
            Step::Wait { .. } => self.rest(i, WAITING),
            step => self.begin_deed(i, goal, step),
        }
    }

    fn rest(&mut self, i: usize, wait: Time) {
        let wait = if self.own.agents[i].again { MS / 5 } else { wait };
        self.wake_in(i, wait);
        if wait > AT_REST {
            let agent = &self.own.agents[i];
            let (run, token) = (agent.run, agent.token);
            self.after(AT_REST, Event::Heart { i, run, token });
        }
    }

    /// Nothing was looked at for a heartbeat: the last word goes out again, with its age.
    pub(crate) fn heart(&mut self, i: usize, run: u32, token: u32) {
        let agent = &self.own.agents[i];
        if agent.up && agent.run == run && agent.token == token {
            self.send_on_all(i);
            self.after(AT_REST, Event::Heart { i, run, token });
        }
    }

    /// How long a small file takes to be on disk.
    pub(super) fn syncs(&mut self, i: usize) -> Time {
        let stalled = self.own.servers[i].stalled_until.saturating_sub(self.now);
        self.takes(i, MS / 2, 6 * MS).max(stalled)
    }

    /// The goal's stamp is on disk: in the data directory first.
    pub(super) fn obey(&mut self, i: usize, stamp: Stamp) {
        let agent = &mut self.own.agents[i];
        if agent.memory.obeyed.epoch < stamp.epoch
            && agent.memory.sentinel.is_none()
            && let Some(dir) = self.own.servers[i].dir.as_mut()
            && !dir.is_foreign()
            && dir.incarnation == agent.memory.incarnation
            && dir.epoch >= agent.memory.obeyed.epoch
        {
            dir.epoch = dir.epoch.max(stamp.epoch);
        }
        agent.memory.obeyed = agent.memory.obeyed.max(stamp);
    }

    /// Whether a stamp still binds.
    pub(super) fn still(&self, i: usize, stamp: Stamp) -> bool {
        let agent = &self.own.agents[i];
        if mutants::on(Mutant::GoalOrder) {
            return agent.told.as_ref().is_some_and(|goal| goal.stamp == stamp);
        }
        agent.told.as_ref().is_some_and(|goal| goal.stamp == stamp) && agent.memory.obeyed <= stamp
    }

    pub(super) fn begin_deed(&mut self, i: usize, goal: Rc<StampedGoal>, step: Step) {
        self.trace.say(self.now, || format!("n{}: {step} ({})", i + 1, goal.stamp));
        let agent = &mut self.own.agents[i];
        agent.deeds += 1;
        let (run, deed) = (agent.run, agent.deeds);
        agent.deed = Some(Deed::new(deed, goal, step, self.now));
        self.after(0, Event::Deed { i, run, deed });
        if !self.is_stage() {
            self.after(AT_REST, Event::Side { i, run, deed });
        }
    }

    /// A look beside a deed.
    pub(crate) fn side_look(&mut self, i: usize, run: u32, deed: u32) {
        if !self.is_doing(i, run, deed) {
            return;
        }
        let goal = self.own.agents[i].deed.as_ref().map(|deed| deed.goal.clone());
        self.observe(i, goal.as_deref().map(|goal| &goal.goal));
        self.after(AT_REST, Event::Side { i, run, deed });
    }

    pub(super) fn is_doing(&self, i: usize, run: u32, deed: u32) -> bool {
        let agent = &self.own.agents[i];
        agent.up && agent.run == run && agent.deed.as_ref().is_some_and(|doing| doing.id == deed)
    }

    /// A newer goal, or the end of the server, ends a deed that may be left half done.
    fn interrupt(&mut self, i: usize) {
        let agent = &self.own.agents[i];
        let Some(deed) = agent.deed.as_ref() else { return };
        if !matches!(deed.step, Step::ProveRule | Step::Clone { .. } | Step::ServeStandbys) {
            return;
        }
        let overtaken = agent.told.as_ref().is_some_and(|newest| newest.goal != deed.goal.goal);
        let ended = agent.process.is_some() && self.own.servers[i].proc.is_none();
        if overtaken || ended {
            self.own.agents[i].deed = None;
            self.wake_in(i, MS / 5);
        }
    }

    /// A deed is done, or failed.
    pub(super) fn deed_over(&mut self, i: usize, outcome: Result<(), String>) {
        let Some(deed) = self.own.agents[i].deed.take() else { return };
        if self.is_stage() {
            let outcome = outcome.map_err(|why| Some(why).filter(|why| !why.is_empty()));
            self.order(Order::DeedOver { i, outcome });
            return;
        }
        let agent = &mut self.own.agents[i];
        let wait = match &outcome {
            Ok(()) => {
                agent.patience = FIRST_PATIENCE;
                MS / 5
            }
            Err(why) if why.is_empty() => MS / 5,
            Err(_) => {
                let patience = agent.patience;
                agent.patience = (patience * 2).min(MOST_PATIENCE);
                patience
            }
        };
        if let Err(why) = outcome
            && !why.is_empty()
        {
            self.say(|| format!("n{}: {} failed: {why}", i + 1, deed.step));
        }
        self.rest(i, wait);
    }

    /// A server that ended by itself, or by its guard.
    pub(super) fn notice_exit(&mut self, i: usize) {
        if self.own.agents[i].process.is_some() && self.own.servers[i].proc.is_none() {
            let words = self.own.agents[i].exit_words;
            let words = if words.is_empty() { "ended by itself" } else { words };
            self.forget_process(i, Some(words.to_owned()));
        }
    }

    /// The server is gone: what was known of its run is void.
    pub(super) fn forget_process(&mut self, i: usize, exit: Option<String>) {
        let now = self.now;
        let agent = &mut self.own.agents[i];
        let early = exit.is_some() && agent.server.answered.is_none();
        let copy = agent.memory.incarnation;
        let before = agent.known.early_ends.take().filter(|before| before.incarnation == copy);
        let times = before.map_or(0, |before| before.times) + 1;
        let words = agent.exit_words;
        // What is killed says nothing; what cannot go on does.
        let words = words.contains("timeline").then(|| words.to_owned());
        agent.known.early_ends = early.then_some(EarlyEnds { incarnation: copy, times, words });
        let pause = 100 * MS * (1 << times.min(6));
        agent.known.start_after = if early { now + pause } else { 0 };
        agent.process = None;
        agent.server = super::Run { seen_since: now, ..Default::default() };
        agent.known.exit = exit;
        agent.known.end = None;
        agent.known.endless = None;
        self.disarm(i);
    }

    pub(super) fn margin(&self) -> Margin {
        Margin(self.policy.drift_percent)
    }

    /// By which the server reigns: promoted in its goal's epoch since it was started.
    pub(super) fn reigns_by(&self, i: usize) -> Option<Rc<StampedGoal>> {
        let agent = &self.own.agents[i];
        let goal = agent.told.clone()?;
        let Goal::Primary(primary) = &goal.goal else { return None };
        let promoted = agent.known.proofs.promoted?;
        (promoted.epoch == primary.epoch && agent.process.is_some()).then_some(goal)
    }

    /// What a knock at the primary's port comes to: an answer, a refusal, or silence.
    pub(super) fn answers_knock(&self, i: usize, primary: usize) -> Option<bool> {
        let server = &self.own.servers[primary];
        let host = self.network.talk(i, primary) && !self.stopped(primary);
        let listens = server.proc.as_ref().is_some_and(|proc| !proc.orphans) && server.deaf_until <= self.now;
        host.then_some(listens)
    }

    /// One knock at the primary's port, if it is time.
    pub(super) fn knock(&mut self, i: usize) {
        let now = self.now;
        let Some((primary, epoch)) = self.own.agents[i].place.filter(|(primary, _)| *primary != i) else {
            self.own.agents[i].knocks = Knocks::default();
            return;
        };
        let before = self.own.agents[i].knocks;
        if before.epoch == epoch && before.told.is_some() && now < before.last + AT_REST {
            return;
        }
        let said = self.answers_knock(i, primary);
        let (host, answered) = (said.is_some(), said == Some(true));
        // A refused connection is told at once, silence only once it lasted.
        let failing =
            if answered { None } else { before.failing.filter(|_| before.epoch == epoch).or(Some(now)) };
        let told = match failing {
            None => Some(true),
            Some(since) if host || now >= since + 500 * MS => Some(false),
            Some(_) => before.told.filter(|_| before.epoch == epoch),
        };
        let same = before.epoch == epoch && before.told == told;
        let since = if same { before.since } else { now };
        self.own.agents[i].knocks = Knocks { epoch, last: now, failing, told, since };
    }
}
