//! The deeds, each a sequence of phases with time between them. A phase first asks whether its goal still binds; what it
//! changes, it changes at once. What the shipped steps do in one await, one phase does here.

use super::Run;
use crate::event::Event;
use crate::postgres::{Phase, Role, Sync};
use crate::world::{MS, S, Time, World};
use interrex_cluster::goal::{Goal, PrimaryGoal, StampedGoal, StandbyGoal};
use interrex_cluster::ids::Revision;
use interrex_cluster::instance::next_step::{Step, Stop};
use interrex_cluster::report::Promotion;
use interrex_cluster::wal::TimelineId;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Reloads and small statements take milliseconds; a server that needs longer is in trouble.
pub(super) const SHOWN_WITHIN: Time = 3 * S;
/// What a server that does not answer costs before a step gives up.
const PATIENCE: Time = S;
const FAST_WITHIN: Time = 2 * S;
const PROMOTED_WITHIN: Time = 5 * S;
const PROVED_WITHIN: Time = 10 * S;
const SENDER_PATIENCE: Time = 2 * S;

/// A deed under way.
#[derive(Debug)]
pub(crate) struct Deed {
    pub(super) id: u32,
    pub(super) goal: Rc<StampedGoal>,
    pub(super) step: Step,
    pub(super) phase: u32,
    pub(super) since: Time,
    /// Since when the condition of the present phase holds, or is waited for.
    pub(super) mark: Time,
    /// A number that a phase keeps for the next: an LSN, a life.
    pub(super) kept: u64,
}

impl Deed {
    pub(super) fn new(id: u32, goal: Rc<StampedGoal>, step: Step, now: Time) -> Self {
        Self { id, goal, step, phase: 0, since: now, mark: now, kept: 0 }
    }
}

/// What comes after a phase.
pub(super) enum Flow {
    /// The next phase, after a while.
    Next(Time),
    /// The same phase again, after a while.
    Again(Time),
    /// The next phase, once the keeper of the lease has answered.
    Asked,
    Done,
    Failed(String),
    /// A newer goal is there.
    Overtaken,
}

impl World {
    /// The next phase of a deed.
    pub(crate) fn deed(&mut self, i: usize, run: u32, id: u32) {
        if !self.is_doing(i, run, id) {
            return;
        }
        let Some(mut deed) = self.own.agents[i].deed.take() else { return };
        let before = deed.phase;
        let flow = self.perform(i, &mut deed);
        match flow {
            Flow::Next(wait) => {
                deed.phase = before + 1;
                deed.mark = self.now;
                self.own.agents[i].deed = Some(deed);
                self.after(wait, Event::Deed { i, run, deed: id });
            }
            Flow::Again(wait) => {
                self.own.agents[i].deed = Some(deed);
                self.after(wait, Event::Deed { i, run, deed: id });
            }
            Flow::Asked => {
                deed.phase = before + 1;
                deed.mark = self.now;
                self.own.agents[i].deed = Some(deed);
            }
            Flow::Done => {
                self.own.agents[i].deed = Some(deed);
                self.deed_over(i, Ok(()));
            }
            Flow::Failed(why) => {
                self.own.agents[i].deed = Some(deed);
                self.deed_over(i, Err(why));
            }
            Flow::Overtaken => {
                self.own.agents[i].deed = Some(deed);
                self.deed_over(i, Err(String::new()));
            }
        }
    }

    fn perform(&mut self, i: usize, deed: &mut Deed) -> Flow {
        if deed.phase == 0 && !self.still(i, deed.goal.stamp) {
            return Flow::Overtaken;
        }
        let goal = deed.goal.clone();
        match (deed.step.clone(), &goal.goal) {
            (Step::Nothing | Step::Wait { .. } | Step::Refuse { .. } | Step::AskForRebuild(_), _) => {
                Flow::Done
            }
            (Step::Stop { how, .. }, _) => self.stop(i, deed, how),
            (Step::InitDb, _) => self.init(i, deed),
            (Step::StartAsStandby { follow: true }, Goal::Standby(goal)) => self.start(i, deed, Some(goal)),
            (Step::StartAsStandby { .. }, _) => self.start(i, deed, None),
            (Step::Seal { epoch }, _) => self.seal(i, deed, epoch),
            (Step::ScanEnd { epoch, stopped }, _) => self.scan_end(i, deed, epoch, stopped),
            (Step::Prepare, Goal::Primary(goal)) => self.prepare(i, deed, goal),
            (Step::ConfigureSync, Goal::Primary(goal)) => self.configure(i, deed, goal),
            (Step::ShutClients, _) => self.shut_clients(i, deed),
            (Step::Promote, Goal::Primary(goal)) => self.promote(i, deed, goal),
            (Step::FinishPromotion, Goal::Primary(goal)) => self.finish_promotion(i, deed, goal),
            (Step::ServeStandbys, Goal::Primary(goal)) => self.serve_standbys(i, deed, goal),
            (Step::Checkpoint { number }, _) => self.checkpoint(i, deed, number),
            (Step::OpenClients, Goal::Primary(goal)) => self.open_clients(i, deed, goal),
            (Step::ProveRule, Goal::Primary(goal)) => self.prove(i, deed, goal),
            (Step::Judge { .. }, Goal::Primary(goal)) => self.judge_parameters(i, deed, goal),
            (Step::SetParameters, Goal::Primary(PrimaryGoal { parameters, .. }))
            | (Step::SetParameters, Goal::Standby(StandbyGoal { parameters, .. })) => {
                self.set_parameters(i, deed, parameters)
            }
            (Step::Follow, Goal::Standby(goal)) => self.follow(i, deed, goal),
            (Step::Rewind { incarnation }, Goal::Standby(goal)) => self.rewind(i, deed, goal, incarnation),
            (Step::Clone { incarnation }, Goal::Standby(goal)) => self.clone_copy(i, deed, goal, incarnation),
            (Step::StopFound, _) => self.stop_found(i, deed),
            (Step::TakeIn, _) => self.take_in(i, deed),
            (step, _) => Flow::Failed(format!("'{step}' belongs to another goal")),
        }
    }

    /// Whether the server answers; one that does not costs a second.
    pub(super) fn unanswered(&self, i: usize) -> Option<Flow> {
        let server = &self.own.servers[i];
        if !server.answers() {
            return Some(Flow::Failed("the server lets nobody in".to_owned()));
        }
        (server.hangs(self.now) || server.deaf_until > self.now || !self.knows_its_agent(i))
            .then(|| Flow::Failed("the server does not answer".to_owned()))
    }

    /// What the keeper of the lease was asked for comes before the next phase.
    fn once_kept(&mut self, i: usize, asked: Result<bool, String>) -> Flow {
        match asked {
            Ok(true) => Flow::Asked,
            Ok(false) => Flow::Next(self.small(i)),
            Err(why) => Flow::Failed(why),
        }
    }

    pub(super) fn small(&mut self, i: usize) -> Time {
        self.takes(i, MS / 2, 5 * MS)
    }

    fn stop(&mut self, i: usize, deed: &mut Deed, how: Stop) -> Flow {
        if self.own.servers[i].proc.is_none() {
            self.forget_process(i, None);
            return Flow::Done;
        }
        match deed.phase {
            0 => {
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.signal = true;
                }
                match how {
                    Stop::Fast if !self.own.servers[i].hangs(self.now) => self.shut_down(i),
                    Stop::Fast => {}
                    Stop::Fence => self.kill_server(i, ""),
                }
                Flow::Next(MS)
            }
            _ => {
                if how == Stop::Fast && deed.phase == 1 && self.now - deed.since > FAST_WITHIN {
                    self.kill_server(i, "");
                    return Flow::Next(MS);
                }
                Flow::Again(2 * MS)
            }
        }
    }

    fn start(&mut self, i: usize, deed: &mut Deed, goal: Option<&StandbyGoal>) -> Flow {
        let role = goal.map_or(Role::Sealed, |goal| self.standby_role(goal));
        match deed.phase {
            0 if self.now < self.own.agents[i].known.start_after => {
                Flow::Failed("it ended several times in a row while it was starting".to_owned())
            }
            0 => {
                self.write_parameters_offline(i, &deed.goal.goal);
                let Some(dir) = self.own.servers[i].dir.as_mut() else {
                    return Flow::Failed("there is no directory".to_owned());
                };
                dir.role = role;
                dir.lets_in = goal.is_some();
                dir.signal = true;
                // Numbers above every real history are given back.
                while dir.histories.last_key_value().is_some_and(|(_, real)| !real) {
                    dir.histories.pop_last();
                }
                Flow::Next(self.small(i))
            }
            1 => {
                self.own.agents[i].memory.promoted = None;
                if let Some(goal) = goal {
                    self.give_up_past_the_fork(i, goal);
                }
                Flow::Next(self.small(i))
            }
            _ if self.own.servers[i].proc.is_some() => {
                Flow::Failed("another server runs on the directory".to_owned())
            }
            _ => {
                if !self.still(i, deed.goal.stamp) {
                    return Flow::Overtaken;
                }
                let lowers = self.lowers(i, goal.is_some());
                self.start_server(i);
                self.raise_to_the_floor(i);
                let life = self.own.servers[i].life;
                let now = self.now;
                let agent = &mut self.own.agents[i];
                agent.process = Some(life);
                agent.server = Run {
                    role: Some(role),
                    upstream: goal.map(|goal| crate::plan::index(&goal.upstream)),
                    clients: Some(goal.is_some()),
                    seen_since: now,
                    lowers,
                    ..Run::default()
                };
                agent.known.exit = None;
                agent.known.end = None;
                agent.known.endless = None;
                if let Some(goal) = goal {
                    agent.known.proofs.restarted = goal.restart;
                    agent.known.proofs.sealed = None;
                }
                Flow::Done
            }
        }
    }

    pub(crate) fn standby_role(&self, goal: &StandbyGoal) -> Role {
        Role::Standby {
            upstream: crate::plan::index(&goal.upstream),
            name: goal.name.as_str().into(),
            slot: goal.slot.as_str().into(),
        }
    }

    /// What lies past the fork is given up by following: it is not missed any more.
    fn give_up_past_the_fork(&mut self, i: usize, goal: &StandbyGoal) {
        let Some(line) = &goal.line else { return };
        let memory = &mut self.own.agents[i].memory;
        if let Some(told) = memory.told.filter(|told| !line.contains(*told)) {
            memory.told = line.cut(told);
        }
    }

    fn follow(&mut self, i: usize, deed: &mut Deed, goal: &StandbyGoal) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        let role = self.standby_role(goal);
        match deed.phase {
            0 => {
                // From here on the position may move: what was proved about it is void.
                self.own.agents[i].known.proofs.sealed = None;
                self.own.agents[i].server.wal_gone = false;
                self.give_up_past_the_fork(i, goal);
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.role = role;
                    dir.lets_in = true;
                }
                self.reload(i);
                Flow::Next(self.small(i))
            }
            _ => {
                if self.own.servers[i].proc.as_ref().is_none_or(|proc| proc.role != role) {
                    return self.wait_shown(deed);
                }
                let run = &mut self.own.agents[i].server;
                run.role = Some(role);
                run.upstream = Some(crate::plan::index(&goal.upstream));
                run.clients = Some(true);
                run.replaying = None;
                Flow::Done
            }
        }
    }

    /// A fresh connection does not show yet what was written.
    fn wait_shown(&self, deed: &Deed) -> Flow {
        if self.now - deed.mark > SHOWN_WITHIN {
            return Flow::Failed("the setting was written and still is not shown".to_owned());
        }
        Flow::Again(5 * MS)
    }

    pub(crate) fn sync_of(goal: &PrimaryGoal) -> Role {
        // Without waiting the setting is empty, whoever could acknowledge.
        let mut names = if goal.sync.k == 0 { Vec::new() } else { goal.sync.names.clone() };
        names.sort();
        Role::Primary(Sync { k: goal.sync.k, names: Rc::new(names) })
    }

    fn shows_async(&self, i: usize) -> bool {
        self.own.servers[i].proc.as_ref().is_some_and(|proc| !proc.role.waits())
    }

    fn prepare(&mut self, i: usize, deed: &mut Deed, goal: &PrimaryGoal) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        let role = Self::sync_of(goal);
        match deed.phase {
            0 => {
                let from_async = goal.sync.k == 0 || self.shows_async(i);
                let run = &mut self.own.agents[i].server;
                run.role = None;
                run.from_async |= from_async;
                if !crate::mutants::on(crate::mutants::Mutant::HistoryPreWrite) {
                    self.write_histories(i, goal);
                }
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.lets_in = false;
                    dir.role = role;
                    dir.slots = true;
                }
                Flow::Next(self.small(i))
            }
            1 => {
                if !self.still(i, deed.goal.stamp) {
                    return Flow::Overtaken;
                }
                self.reload(i);
                Flow::Next(self.small(i))
            }
            _ => {
                if self.own.servers[i].proc.as_ref().is_none_or(|proc| proc.role != role || proc.lets_in) {
                    return self.wait_shown(deed);
                }
                self.cut_clients(i);
                let run = &mut self.own.agents[i].server;
                run.role = Some(role);
                run.upstream = None;
                run.clients = Some(false);
                run.slots = goal.slots.iter().cloned().collect();
                Flow::Done
            }
        }
    }

    /// Every number below the epoch gets a history: real ones of the line that this copy is on, else placeholders.
    fn write_histories(&mut self, i: usize, goal: &PrimaryGoal) {
        let Some(end) = self.own.servers[i].dir.as_ref().map(|dir| dir.end) else { return };
        let line: BTreeSet<u32> = {
            let history = self.own.archive.history(end);
            history.ancestors.iter().map(|a| a.timeline.0).chain([history.timeline.0]).collect()
        };
        if let Some(dir) = self.own.servers[i].dir.as_mut() {
            for number in 2..goal.epoch.0 {
                dir.histories.entry(number).or_insert_with(|| line.contains(&number));
            }
        }
    }

    fn configure(&mut self, i: usize, deed: &mut Deed, goal: &PrimaryGoal) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        let role = Self::sync_of(goal);
        match deed.phase {
            0 => {
                let asked = match goal.sync.k {
                    0 => self.go_asynchronous(i),
                    _ => Ok(false),
                };
                let from_async = goal.sync.k == 0 || self.shows_async(i);
                let run = &mut self.own.agents[i].server;
                if asked.is_ok() {
                    run.from_async |= from_async;
                    run.role = None;
                }
                self.once_kept(i, asked)
            }
            1 => {
                if !self.still(i, deed.goal.stamp) {
                    return Flow::Overtaken;
                }
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.role = role;
                }
                self.reload(i);
                Flow::Next(self.small(i))
            }
            _ => {
                if self.own.servers[i].proc.as_ref().is_none_or(|proc| proc.role != role) {
                    return self.wait_shown(deed);
                }
                self.own.agents[i].server.role = Some(role);
                Flow::Done
            }
        }
    }

    fn shut_clients(&mut self, i: usize, deed: &mut Deed) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        match deed.phase {
            0 => {
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.lets_in = false;
                }
                self.reload(i);
                Flow::Next(self.small(i))
            }
            _ => {
                if self.own.servers[i].proc.as_ref().is_some_and(|proc| proc.lets_in) {
                    return self.wait_shown(deed);
                }
                self.cut_clients(i);
                self.own.agents[i].server.clients = Some(false);
                Flow::Done
            }
        }
    }

    fn open_clients(&mut self, i: usize, deed: &mut Deed, goal: &PrimaryGoal) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        match deed.phase {
            0 => {
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.lets_in = true;
                }
                self.reload(i);
                Flow::Next(self.small(i))
            }
            _ => {
                let agent = &mut self.own.agents[i];
                agent.server.clients = Some(true);
                agent.known.proofs.opened = Some(goal.epoch);
                self.tell_proofs(i);
                Flow::Done
            }
        }
    }

    fn promote(&mut self, i: usize, deed: &mut Deed, goal: &PrimaryGoal) -> Flow {
        let epoch = goal.epoch;
        let k = if self.own.agents[i].server.from_async { 0 } else { goal.sync.k };
        match deed.phase {
            0 => {
                if self.own.agents[i].process.is_none() {
                    return Flow::Failed("the server is gone".to_owned());
                }
                if std::mem::take(&mut self.own.agents[i].server.lowers) {
                    self.start_lowered(i);
                    return Flow::Again(self.takes(i, 150 * MS, 900 * MS));
                }
                let asked = self.arm(i, epoch, k);
                self.once_kept(i, asked)
            }
            1 => {
                self.own.agents[i].memory.promoted = Some(epoch);
                self.own.agents[i].known.proofs.sealed = None;
                Flow::Next(self.small(i))
            }
            2 => {
                if !self.still(i, deed.goal.stamp) {
                    return Flow::Overtaken;
                }
                if !self.own.agents[i].book.lease.covers(epoch, k, self.clock(i)) {
                    return Flow::Failed(format!("the lease of epoch {epoch} ran out while promoting"));
                }
                if let Some(flow) = self.unanswered(i) {
                    return flow;
                }
                self.promote_server(i, epoch);
                Flow::Next(10 * MS)
            }
            3 => {
                if let Some(flow) = self.unanswered(i) {
                    return flow;
                }
                if self.own.servers[i].is_primary() {
                    if let Some(dir) = self.own.servers[i].dir.as_mut() {
                        dir.signal = true;
                    }
                    return Flow::Next(self.small(i));
                }
                if self.now - deed.mark > PROMOTED_WITHIN {
                    return Flow::Failed("the promotion goes on".to_owned());
                }
                Flow::Again(10 * MS)
            }
            _ => self.tell_promotion(i, goal, &deed.goal),
        }
    }

    fn finish_promotion(&mut self, i: usize, deed: &mut Deed, goal: &PrimaryGoal) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        match deed.phase {
            0 => {
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.signal = true;
                }
                Flow::Next(self.small(i))
            }
            _ => self.tell_promotion(i, goal, &deed.goal),
        }
    }

    fn tell_promotion(&mut self, i: usize, goal: &PrimaryGoal, stamped: &StampedGoal) -> Flow {
        let server = &self.own.servers[i];
        let Some(dir) = server.dir.as_ref().filter(|_| server.is_primary()) else {
            return Flow::Failed("it is in recovery".to_owned());
        };
        let branch = dir.end.branch;
        let timeline = self.own.archive.timeline(branch);
        if timeline != goal.epoch.0 {
            return Flow::Failed(format!(
                "it was promoted onto timeline {timeline}, expected {}: its history files left another number free",
                goal.epoch
            ));
        }
        let Some(origin) = self.own.archive.origin(branch) else {
            return Flow::Failed("its timeline branched off nowhere".to_owned());
        };
        let line = self.own.archive.history_of(branch);
        let parent = TimelineId(self.own.archive.timeline(origin.branch));
        let promotion =
            Promotion { epoch: goal.epoch, parent, begin: interrex_cluster::wal::Lsn(origin.lsn) };
        let agent = &mut self.own.agents[i];
        agent.server.promoted = true;
        agent.known.proofs.promoted_line = Some(line);
        agent.known.proofs.promoted = Some(promotion);
        self.beat_now(i);
        self.observe(i, Some(&stamped.goal));
        Flow::Done
    }

    fn serve_standbys(&mut self, i: usize, deed: &mut Deed, goal: &PrimaryGoal) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        match deed.phase {
            0 => Flow::Next(self.takes(i, MS, 30 * MS)),
            _ => {
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.slots = true;
                }
                let run = &mut self.own.agents[i].server;
                run.slots = goal.slots.iter().cloned().collect();
                run.roles_ready = true;
                Flow::Done
            }
        }
    }

    /// Dirty pages go to disk while clients are served.
    fn checkpoint(&mut self, i: usize, deed: &mut Deed, number: Revision) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        match deed.phase {
            0 => Flow::Next(self.takes(i, 20 * MS, 2_000 * MS)),
            _ => {
                self.checkpointed(i);
                self.own.agents[i].known.proofs.checkpoint = Some(number);
                self.tell_proofs(i);
                Flow::Done
            }
        }
    }

    /// The three-part barrier.
    fn prove(&mut self, i: usize, deed: &mut Deed, goal: &PrimaryGoal) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        if self.now - deed.since > PROVED_WITHIN {
            return Flow::Failed("something is still missing".to_owned());
        }
        let role = Self::sync_of(goal);
        let barrier = !crate::mutants::on(crate::mutants::Mutant::Barrier);
        let from_async = self.own.agents[i].server.from_async && goal.sync.k > 0;
        self.expire_senders(i);
        let server = &mut self.own.servers[i];
        let (Some(proc), Some(dir)) = (server.proc.as_mut(), server.dir.as_ref()) else {
            return Flow::Failed("the server is gone".to_owned());
        };
        match deed.phase {
            0 if proc.role != role => Flow::Again(10 * MS),
            0 if from_async && barrier && proc.checkpointer_behind => Flow::Again(10 * MS),
            0 => {
                // Proved once, whatever becomes of the rest.
                self.own.agents[i].server.from_async &= goal.sync.k == 0;
                Flow::Next(if from_async { 60 * MS } else { 3 * MS })
            }
            1 => {
                let asks = barrier && !crate::mutants::on(crate::mutants::Mutant::SendersRead);
                if asks && proc.senders.iter().any(|sender| sender.behind) {
                    if self.now - deed.mark > SENDER_PATIENCE {
                        let stuck: Vec<u32> =
                            proc.senders.iter().filter(|s| s.behind).map(|s| s.link).collect();
                        stuck.into_iter().for_each(|link| self.end_sender(i, link));
                    }
                    return Flow::Again(10 * MS);
                }
                deed.kept = dir.end.lsn;
                Flow::Next(3 * MS)
            }
            _ => {
                let names = &goal.sync.names;
                let held = proc
                    .senders
                    .iter()
                    .filter(|s| s.streaming && s.counts && s.flushed >= deed.kept)
                    .filter(|s| names.iter().any(|name| **name == *s.name))
                    .count();
                if barrier && held < goal.sync.k as usize {
                    return Flow::Again(10 * MS);
                }
                if goal.sync.k > 0 {
                    self.go_synchronous(i);
                }
                let agent = &mut self.own.agents[i];
                agent.known.proofs.rule = Some((goal.epoch, goal.sync.rule));
                Flow::Done
            }
        }
    }

    pub(super) fn is_up(&self, i: usize) -> bool {
        self.own.servers[i].proc.as_ref().is_some_and(|proc| proc.phase != Phase::Starting)
    }

    pub(super) const fn patience() -> Time {
        PATIENCE
    }
}
