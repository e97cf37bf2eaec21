//! Looking: at the process, the server, the directory, the lease; and telling the coordinators what was seen. Every look
//! ends in a report, so that what is acted on and what is told are the same.

use super::Agent;
use crate::coordinator::address;
use crate::danger::Danger;
use crate::mutants::{self, Mutant};
use crate::postgres::{Phase, Postgres, Proc, Role};
use crate::world::{MS, World};
use interrex_cluster::goal::{Goal, PrimaryGoal, StandbyGoal};
use interrex_cluster::ids::{Incarnation, InstanceName, SystemId};
use interrex_cluster::instance::next_step::Step;
use interrex_cluster::instance::observed::{
    Data, Observed, Primary, Receiver, Server, Standby, SyncShown, Upstream, UpstreamSetting,
};
use interrex_cluster::report::{self, Knock, Need, Report, Sender};
use interrex_cluster::time::Instant;
use interrex_cluster::wal::{History, Lsn, Position, TimelineId};
use std::collections::BTreeMap;
use std::time::Duration;

/// What was found on the last knocks is told for so long.
const KNOCK_FRESH: u64 = 1_500 * MS;

impl World {
    /// One look, and one report of it.
    pub(super) fn observe(&mut self, i: usize, goal: Option<&Goal>) -> Observed {
        let clock = self.clock(i);
        if !self.is_stage() {
            self.knock(i);
        }
        self.note_async(i, goal, clock);
        let server = self.look_at_server(i, goal);
        let found = self.look_at_found(i, goal);
        let data = self.look_at_data(i);
        let gone = self.wal_gone(i, &server);
        let agent = &self.own.agents[i];
        let seen = Observed {
            memory: agent.memory.clone(),
            data,
            server,
            end: agent.known.end.clone(),
            proofs: agent.known.proofs.clone(),
            lease: agent.book.lease.clone(),
            deadline: agent.book.deadline,
            async_since: agent.known.async_since,
            wal_gone: agent.known.endless.clone().or(gone),
            early_ends: agent.known.early_ends.clone(),
            patience: None,
            // Where nobody ever sets any, all have what they want.
            parameters: match self.plan.sets_parameters {
                true => agent.server.parameters.clone(),
                false => Some(BTreeMap::new()),
            },
            told_upstream: told_upstream(agent.server.role.as_ref()),
            found,
            unseen: None,
            too_low: !self.unfit(i).is_empty(),
        };
        // A look that began before the promotion ended, and ended after it.
        let outdated = agent.server.promoted && matches!(seen.server, Server::Standby(_));
        if !outdated {
            let report = self.report_of(i, &seen, goal);
            if !report.unfit.is_empty() {
                self.reach.note(Danger::Unpromotable);
            }
            let wants = match goal {
                Some(Goal::Primary(goal)) => Some(goal.epoch),
                _ => None,
            };
            self.send(i, report, wants);
        }
        seen
    }

    /// What the log of a server that waits for its upstream says of it.
    fn wal_gone(&self, i: usize, server: &Server) -> Option<String> {
        let run = &self.own.agents[i].server;
        let waits = match server {
            Server::Standby(standby) => !standby.receiver.is_some_and(|receiver| receiver.streaming),
            Server::Starting => true,
            Server::Silent { .. } => run.answered.is_none(),
            Server::Gone | Server::Primary(_) => false,
        };
        let told = run.wal_gone && waits && matches!(run.role, Some(Role::Standby { .. }));
        told.then(|| "requested WAL segment has already been removed".to_owned())
    }

    fn note_async(&mut self, i: usize, goal: Option<&Goal>, clock: Instant) {
        let asynchronous = matches!(goal, Some(Goal::Primary(goal)) if goal.sync.k == 0);
        let known = &mut self.own.agents[i].known;
        known.async_since = if asynchronous { known.async_since.or(Some(clock)) } else { None };
    }

    fn look_at_data(&self, i: usize) -> Data {
        let memory = &self.own.agents[i].memory;
        if let Some(sentinel) = memory.sentinel {
            return Data::Unfinished(sentinel);
        }
        let system = self.system();
        let foreign =
            self.own.servers[i].dir.as_ref().and_then(|dir| self.look_at_foreign(i, dir.incarnation));
        if let Some(foreign) = foreign {
            return foreign;
        }
        match &self.own.servers[i].dir {
            None => Data::Missing,
            Some(dir) if dir.incarnation != memory.incarnation => Data::Doubtful {
                system,
                why: format!(
                    "the data directory holds incarnation {}, the agent remembers {}",
                    dir.incarnation, memory.incarnation
                ),
            },
            Some(dir) if dir.epoch < memory.obeyed.epoch => Data::Doubtful {
                system,
                why: format!("the data directory last obeyed epoch {}: it was rolled back", dir.epoch),
            },
            Some(_) => match self.doubt(i) {
                Some(why) => Data::Doubtful { system, why },
                None => Data::Ours(system),
            },
        }
    }

    /// Why the present copy counts for nothing.
    fn doubt(&self, i: usize) -> Option<String> {
        let agent = &self.own.agents[i];
        let doubt = agent.known.doubt.as_ref().filter(|(of, _)| *of == agent.memory.incarnation);
        doubt.map(|(_, why)| why.clone())
    }

    fn look_at_server(&mut self, i: usize, goal: Option<&Goal>) -> Server {
        let now = self.now;
        let server = &self.own.servers[i];
        let Some(proc) = &server.proc else { return Server::Gone };
        if self.own.agents[i].process.is_none() {
            return Server::Gone;
        }
        if proc.orphans && mutants::on(Mutant::OrphansAwaited) {
            return Server::Gone;
        }
        let lets_in = proc.phase == Phase::Starting || self.knows_its_agent(i);
        if server.hangs(now) || server.deaf_until > now || proc.orphans || !lets_in {
            let run = &self.own.agents[i].server;
            let since = now.saturating_sub(run.answered.unwrap_or(run.seen_since));
            return Server::Silent { since: Duration::from_micros(since) };
        }
        match proc.phase {
            _ if proc.stopping => Server::Starting,
            Phase::Starting => Server::Starting,
            Phase::Standby => {
                let seen = self.standby(i, goal);
                self.answered(i);
                Server::Standby(seen)
            }
            Phase::Primary => {
                let seen = self.primary(i, goal);
                self.answered(i);
                Server::Primary(seen)
            }
        }
    }

    /// What answers was not made in vain.
    fn answered(&mut self, i: usize) {
        let agent = &mut self.own.agents[i];
        agent.server.answered = Some(self.now);
        agent.memory.in_vain = 0;
    }

    fn standby(&mut self, i: usize, goal: Option<&Goal>) -> Standby {
        let server = &self.own.servers[i];
        let (Some(proc), Some(dir)) = (&server.proc, &server.dir) else { return nothing() };
        let agent = &self.own.agents[i];
        let receiver = proc.receiver.as_ref().map(|receiver| Receiver {
            streaming: receiver.streaming,
            timeline: TimelineId(if receiver.streaming { receiver.timeline } else { 0 }),
            flushed: Lsn(if receiver.streaming { dir.end.lsn } else { 0 }),
        });
        let upstream = upstream(agent.server.role.as_ref(), &proc.role);
        let (replayed, history) = match goal {
            Some(Goal::Standby(goal)) => self.replayed(i, server, proc, goal, &upstream),
            Some(Goal::Primary(_)) => {
                let position = self.own.archive.position(dir.end);
                (position, Some(self.own.archive.history(dir.end)))
            }
            _ => (Position { timeline: TimelineId(0), lsn: Lsn(dir.end.lsn) }, None),
        };
        let histories_complete = match goal {
            Some(Goal::Primary(_)) if mutants::on(Mutant::HistoryPreWrite) => true,
            Some(Goal::Primary(goal)) => (2..goal.epoch.0).all(|n| dir.histories.contains_key(&n)),
            _ => true,
        };
        Standby {
            upstream,
            receiver,
            replayed,
            history,
            sync: shown(&proc.role),
            clients_in: agent.server.clients != Some(false),
            slots: agent.server.slots.clone(),
            histories_complete,
        }
    }

    /// Where replay is, with its timeline and ancestry, as far as the goal needs it.
    fn replayed(
        &self,
        i: usize,
        server: &Postgres,
        proc: &Proc,
        goal: &StandbyGoal,
        upstream: &Upstream,
    ) -> (Position, Option<History>) {
        let Some(dir) = &server.dir else { return (Position::default(), None) };
        let _ = i;
        let streams =
            matches!(upstream, Upstream::Of(_)) && proc.receiver.as_ref().is_some_and(|r| r.streaming);
        if goal.line.is_none() || streams {
            return (Position { timeline: TimelineId(0), lsn: Lsn(dir.end.lsn) }, None);
        }
        (self.own.archive.position(dir.end), Some(self.own.archive.history(dir.end)))
    }

    fn primary(&self, i: usize, goal: Option<&Goal>) -> Primary {
        let server = &self.own.servers[i];
        let agent = &self.own.agents[i];
        let timeline = server.dir.as_ref().map_or(0, |dir| self.own.archive.timeline(dir.end.branch));
        let confirmed = matches!(goal, Some(Goal::Primary(goal)) if goal.confirmed);
        Primary {
            timeline: TimelineId(timeline),
            signal_back: server.dir.as_ref().is_some_and(|dir| dir.signal),
            sync: server.proc.as_ref().map_or(SyncShown::Other, |proc| shown(&proc.role)),
            clients_in: agent.server.clients.unwrap_or(!confirmed),
            slots: agent.server.slots.clone(),
            roles_ready: agent.server.roles_ready,
            beaten: agent.server.beaten.is_some_and(|(epoch, _)| epoch.0 == timeline),
        }
    }

    fn report_of(&self, i: usize, seen: &Observed, goal: Option<&Goal>) -> Report {
        let agent = &self.own.agents[i];
        let clock = self.clock(i);
        Report {
            instance: agent.name.clone(),
            directory: agent.directory.clone(),
            obeyed: seen.memory.obeyed,
            incarnation: seen.memory.incarnation,
            server: self.told_server(i, seen, goal),
            proofs: agent.known.proofs.clone(),
            needs: agent.known.need.clone(),
            receipt: None,
            knock: self.told_knock(agent),
            unfit: self.unfit(i),
            doubt: match &seen.data {
                Data::Doubtful { why, .. } => Some(why.clone()),
                _ => None,
            },
            failing: None,
            pending_restart: Vec::new(),
            parameters: None,
            stale_coordinators: Vec::new(),
            doing: agent.known.doing.clone(),
            lease_left_ms: seen.deadline.map(|deadline| millis(deadline.since(clock))),
            found: seen.found.clone(),
            unseen: None,
        }
    }

    fn told_knock(&self, agent: &Agent) -> Option<Knock> {
        if self.is_stage() {
            return agent.found;
        }
        let knocks = agent.knocks;
        let fresh = self.now.saturating_sub(knocks.last) <= KNOCK_FRESH;
        let answered = knocks.told.filter(|_| fresh && agent.place.is_some())?;
        Some(Knock { epoch: knocks.epoch, answered, for_ms: self.now.saturating_sub(knocks.since) / MS })
    }

    fn told_server(&self, i: usize, seen: &Observed, goal: Option<&Goal>) -> report::Server {
        let system = match &seen.data {
            Data::Ours(system) | Data::Offered(system) | Data::Doubtful { system, .. } => *system,
            Data::Missing | Data::Unfinished(_) | Data::Strange { .. } => SystemId(0),
        };
        let agent = &self.own.agents[i];
        match &seen.server {
            Server::Gone => match &seen.data {
                Data::Missing | Data::Unfinished(_) => report::Server::NoData,
                Data::Ours(_) | Data::Offered(_) | Data::Doubtful { .. } | Data::Strange { .. } => {
                    let exit = agent.known.exit.clone().or_else(|| seen.ended_in(goal?));
                    report::Server::Stopped { system, exit }
                }
            },
            Server::Silent { since } => report::Server::Silent { for_ms: millis(*since), why: None },
            Server::Starting => report::Server::Starting { system },
            Server::Standby(standby) => report::Server::Standby(report::Standby {
                system,
                replayed: standby.replayed.lsn,
                receiver: standby.receiver.map(|receiver| self.told_receiver(i, receiver)),
            }),
            Server::Primary(primary) => {
                let goal = match goal {
                    Some(Goal::Primary(goal)) => Some(goal),
                    _ => None,
                };
                report::Server::Primary(self.told_primary(i, primary, goal, system))
            }
        }
    }

    fn told_receiver(&self, i: usize, receiver: Receiver) -> report::Receiver {
        let heard =
            self.own.servers[i].proc.as_ref().and_then(|proc| proc.receiver.as_ref()).map(|r| r.heard);
        report::Receiver {
            upstream: self.own.agents[i].server.upstream.map(|upstream| self.own.names[upstream].clone()),
            streaming: receiver.streaming,
            timeline: receiver.timeline,
            flushed: receiver.flushed,
            quiet_ms: self.now.saturating_sub(heard.unwrap_or_default()) / MS,
        }
    }

    fn told_primary(
        &self,
        i: usize,
        primary: &Primary,
        goal: Option<&PrimaryGoal>,
        system: SystemId,
    ) -> report::Primary {
        let server = &self.own.servers[i];
        let agent = &self.own.agents[i];
        let known = |name: &str| -> Option<(InstanceName, Incarnation)> {
            let (instance, incarnation, _) = goal?.standbys.iter().find(|(.., standby)| standby == name)?;
            Some((instance.clone(), *incarnation))
        };
        let sender = |sender: &crate::postgres::Sender| {
            let (instance, incarnation) = known(&sender.name)?;
            Some(Sender {
                instance,
                incarnation,
                streaming: sender.streaming,
                flushed: Lsn(sender.flushed),
                replayed: Lsn(sender.flushed),
                reply_age_ms: self.now.saturating_sub(sender.heard) / MS,
                behind_ms: 0,
            })
        };
        let beat = agent.server.beaten.filter(|(epoch, _)| goal.is_some_and(|goal| goal.epoch == *epoch));
        report::Primary {
            system,
            timeline: primary.timeline,
            flushed: Lsn(server.dir.as_ref().map_or(0, |dir| dir.end.lsn)),
            senders: server.proc.iter().flat_map(|proc| proc.senders.iter().filter_map(sender)).collect(),
            open: agent.server.clients == Some(true),
            beat_age_ms: beat.map(|(_, at)| self.now.saturating_sub(at) / MS),
        }
    }

    /// What the step says to the coordinators.
    pub(super) fn announce(&mut self, i: usize, step: &Step) {
        let need = match step {
            Step::AskForRebuild(need) => Some(need.clone()),
            Step::Rewind { incarnation } => self.clone_instead(i, *incarnation),
            _ => None,
        };
        let known = &mut self.own.agents[i].known;
        let differs = known.need != need;
        known.need.clone_from(&need);
        if differs {
            self.amend(i, |report| report.needs = need);
        }
    }

    /// What is asked for where a granted rewind is impossible.
    pub(super) fn clone_instead(&self, i: usize, incarnation: Incarnation) -> Option<Need> {
        let known = &self.own.agents[i].known;
        let (_, why) = known.unrewindable.as_ref().filter(|(of, _)| *of == incarnation)?;
        Some(Need { rebuild: report::Rebuild::Clone, incarnation, why: why.clone() })
    }

    /// Tells what was proved, at once.
    pub(super) fn tell_proofs(&mut self, i: usize) {
        let agent = &self.own.agents[i];
        let (proofs, obeyed) = (agent.known.proofs.clone(), agent.memory.obeyed);
        self.amend(i, |report| {
            report.proofs = proofs;
            report.obeyed = obeyed;
        });
    }
}

fn nothing() -> Standby {
    Standby {
        upstream: Upstream::Other,
        receiver: None,
        replayed: Position::default(),
        history: None,
        sync: SyncShown::Other,
        clients_in: false,
        slots: Default::default(),
        histories_complete: false,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What this agent last wrote.
fn told_upstream(written: Option<&Role>) -> Upstream {
    match written {
        Some(Role::Standby { upstream, name, slot }) => Upstream::Of(UpstreamSetting {
            address: address(*upstream),
            name: name.to_string(),
            slot: slot.to_string(),
        }),
        Some(Role::Sealed | Role::Primary(_)) => Upstream::Nobody,
        None => Upstream::Other,
    }
}

/// The same, if a fresh connection shows it.
fn upstream(written: Option<&Role>, shown: &Role) -> Upstream {
    match (told_upstream(written), shown) {
        (Upstream::Nobody, Role::Sealed | Role::Primary(_)) => Upstream::Nobody,
        (Upstream::Of(told), Role::Standby { name, .. }) if *told.name == **name => Upstream::Of(told),
        _ => Upstream::Other,
    }
}

/// `synchronous_standby_names` as a fresh connection shows it.
fn shown(role: &Role) -> SyncShown {
    match role {
        Role::Primary(sync) if sync.k == 0 => SyncShown::Async,
        Role::Primary(sync) if sync.names.is_empty() => {
            SyncShown::Any { k: sync.k, names: vec!["nobody_1".to_owned()] }
        }
        Role::Primary(sync) => SyncShown::Any { k: sync.k, names: sync.names.to_vec() },
        Role::Sealed | Role::Standby { .. } => SyncShown::Any { k: 1, names: vec!["nobody_1".to_owned()] },
    }
}
