//! Bringing a copy into being, or back onto the line: initdb, rewind, clone. The sentinel stands on the agent's disk
//! from before the first byte changes until the copy is finished.

use super::deeds::{Deed, Flow};
use crate::mutants::{self, Mutant};
use crate::parameters::Parameters;
use crate::postgres::{ControlState, Dir, Phase, Role};
use crate::traps::Trap;
use crate::wal::Place;
use crate::world::{MS, World};
use interrex_cluster::goal::StandbyGoal;
use interrex_cluster::ids::Incarnation;
use interrex_cluster::instance::observed::Sentinel;
use interrex_cluster::report::Rebuild;
use std::collections::BTreeMap;

/// What `kept` is where a rewind changed nothing.
const UNTOUCHED: u64 = u64::MAX;

impl World {
    pub(super) fn init(&mut self, i: usize, deed: &mut Deed) -> Flow {
        match deed.phase {
            0 => {
                if self.own.servers[i].dir.is_some()
                    && self.own.agents[i].memory.sentinel != Some(Sentinel::Create)
                {
                    return Flow::Failed("there is data that was not made for this cluster".to_owned());
                }
                self.own.agents[i].memory.sentinel = Some(Sentinel::Create);
                Flow::Next(self.takes(i, 100 * MS, 900 * MS))
            }
            1 => {
                if self.own.servers[i].dir.is_none() {
                    let branch = self.own.archive.branch(1, None);
                    let end = Place { branch, lsn: 0x100_0000 };
                    let epoch = deed.goal.stamp.epoch;
                    self.own.servers[i].dir = Some(Dir {
                        incarnation: Incarnation(1),
                        epoch,
                        signal: false,
                        role: Role::Sealed,
                        lets_in: false,
                        end,
                        histories: BTreeMap::new(),
                        state: ControlState::ShutDown,
                        needs: None,
                        hopeless: false,
                        slots: false,
                        torn: false,
                        lost: BTreeMap::new(),
                        adopted: false,
                        parameters: Parameters::default(),
                        control_behind: false,
                    });
                }
                Flow::Next(self.small(i))
            }
            _ => {
                let system = self.system();
                let Some(dir) = self.own.servers[i].dir.as_mut() else { return Flow::Overtaken };
                dir.epoch = dir.epoch.max(deed.goal.stamp.epoch);
                let created = (system, self.own.archive.position(dir.end));
                let agent = &mut self.own.agents[i];
                agent.memory.created = Some(created);
                agent.memory.incarnation = Incarnation(1);
                agent.memory.sentinel = None;
                agent.known.proofs.created = Some(created);
                Flow::Done
            }
        }
    }

    /// Whether a source is there to rewind or clone from: an open connection to a primary that answers.
    fn source(&self, i: usize, goal: &StandbyGoal) -> Option<usize> {
        let source = crate::plan::index(&goal.upstream);
        let server = &self.own.servers[source];
        let there = server.is_primary() && server.answers() && !self.stopped(source);
        (there && self.network.talk(i, source) && server.deaf_until <= self.now).then_some(source)
    }

    pub(super) fn rewind(
        &mut self,
        i: usize,
        deed: &mut Deed,
        goal: &StandbyGoal,
        incarnation: Incarnation,
    ) -> Flow {
        let gone = || Flow::Failed("the source does not answer".to_owned());
        match deed.phase {
            0 if self.clone_instead(i, incarnation).is_some() => {
                Flow::Failed("it cannot be rewound, and a clone is asked for".to_owned())
            }
            0 => match self.own.servers[i].dir.as_ref().map(|dir| (dir.state, dir.torn, dir.needs)) {
                None => Flow::Failed("there is no directory".to_owned()),
                Some((ControlState::InRecovery, ..)) => self.end_cleanly(i, deed, incarnation),
                Some(_) if self.own.servers[i].proc.is_some() => self.end_cleanly(i, deed, incarnation),
                // A checkpoint of the source first: its control file may be of the old timeline (F26).
                Some(_) if self.source(i, goal).is_none() => gone(),
                Some(_) => Flow::Next(self.takes(i, 20 * MS, 300 * MS)),
            },
            1 => {
                if self.source(i, goal).is_none() {
                    return gone();
                }
                if !self.still(i, deed.goal.stamp) {
                    return Flow::Overtaken;
                }
                if !mutants::on(Mutant::CheckpointFirst) {
                    self.checkpointed(crate::plan::index(&goal.upstream));
                }
                self.begin_rebuild(i, Rebuild::Rewind, incarnation);
                Flow::Next(self.takes(i, 100 * MS, 900 * MS))
            }
            2 => {
                let Some(source) = self.source(i, goal) else { return gone() };
                let Some(from) = self.own.servers[source].dir.clone() else { return gone() };
                let (Some(mine), torn) = (
                    self.own.servers[i].dir.as_ref().map(|dir| dir.end),
                    self.own.servers[i].dir.as_ref().is_some_and(|dir| dir.torn),
                ) else {
                    return Flow::Failed("there is no directory".to_owned());
                };
                let Some(_fork) = self.own.archive.common(mine, from.end).filter(|_| !torn) else {
                    return Flow::Failed("nothing in common".to_owned());
                };
                if from.control_behind && self.has(Trap::F26) {
                    // By its control file the source is on the timeline that this copy is on: "no rewind required".
                    deed.kept = UNTOUCHED;
                    return Flow::Next(self.small(i));
                }
                deed.kept = from.end.lsn;
                Flow::Next(self.takes(i, 20 * MS, 200 * MS))
            }
            3 if deed.kept == UNTOUCHED => {
                self.untouched(i, incarnation);
                Flow::Next(self.small(i))
            }
            3 => {
                // The control file comes last, and the source wrote on meanwhile.
                let Some(source) = self.source(i, goal) else { return gone() };
                let Some(from) = self.own.servers[source].dir.clone() else { return gone() };
                let wal = Place { branch: from.end.branch, lsn: deed.kept.min(from.end.lsn) };
                self.copied(i, &from, wal, from.end, incarnation);
                Flow::Next(self.small(i))
            }
            _ => self.finish_rebuild(i, incarnation),
        }
    }

    /// A standby that did not end cleanly is started, receiving from nobody, and stopped.
    fn end_cleanly(&mut self, i: usize, deed: &mut Deed, incarnation: Incarnation) -> Flow {
        let up = self.is_up(i);
        match self.own.servers[i].proc.as_ref().map(|proc| proc.stopping) {
            None => {
                if !self.still(i, deed.goal.stamp) {
                    return Flow::Overtaken;
                }
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.role = Role::Sealed;
                    dir.signal = true;
                }
                self.own.agents[i].memory.promoted = None;
                self.start_server(i);
                self.own.agents[i].process = Some(self.own.servers[i].life);
                Flow::Again(50 * MS)
            }
            Some(false) if up => {
                self.shut_down(i);
                Flow::Again(20 * MS)
            }
            Some(false) if self.now - deed.since > 10 * Self::patience() => {
                // It lacks what its data need, and never gets so far.
                self.own.agents[i].known.unrewindable =
                    Some((incarnation, "it could not be brought to a clean end".to_owned()));
                self.kill_server(i, "");
                Flow::Failed("it could not be brought to a clean end".to_owned())
            }
            Some(_) => Flow::Again(20 * MS),
        }
    }

    pub(super) fn clone_copy(
        &mut self,
        i: usize,
        deed: &mut Deed,
        goal: &StandbyGoal,
        incarnation: Incarnation,
    ) -> Flow {
        let gone = || Flow::Failed("the source does not answer".to_owned());
        match deed.phase {
            0 => {
                if !self.still(i, deed.goal.stamp) || self.own.servers[i].proc.is_some() {
                    return Flow::Overtaken;
                }
                self.begin_rebuild(i, Rebuild::Clone, incarnation);
                let Some(source) = self.source(i, goal) else { return gone() };
                // Of this very run of the source: a backup dies with it.
                deed.kept = u64::from(self.own.servers[source].life);
                Flow::Next(self.takes(i, 200 * MS, 2_000 * MS))
            }
            1 => {
                let Some(source) = self.source(i, goal) else { return gone() };
                if u64::from(self.own.servers[source].life) != deed.kept {
                    return gone();
                }
                let Some(from) = self.own.servers[source].dir.clone() else { return gone() };
                self.copied(i, &from, from.end, from.end, incarnation);
                Flow::Next(self.small(i))
            }
            _ => self.finish_rebuild(i, incarnation),
        }
    }

    /// The directory is the source's now, with WAL up to `wal`, and needs WAL up to `needs`.
    fn copied(&mut self, i: usize, from: &Dir, wal: Place, needs: Place, incarnation: Incarnation) {
        self.own.servers[i].dir = Some(Dir {
            incarnation,
            epoch: self.own.agents[i].memory.obeyed.epoch,
            signal: true,
            role: Role::Sealed,
            lets_in: false,
            end: wal,
            histories: from.histories.clone(),
            state: ControlState::ShutDown,
            needs: Some(needs),
            hopeless: false,
            slots: false,
            torn: from.torn,
            lost: BTreeMap::new(),
            adopted: from.adopted,
            parameters: from.parameters,
            control_behind: false,
        });
    }

    fn begin_rebuild(&mut self, i: usize, how: Rebuild, incarnation: Incarnation) {
        let agent = &mut self.own.agents[i];
        agent.memory.sentinel = Some(Sentinel::Rebuild(how));
        agent.memory.incarnation = incarnation;
        agent.memory.rebuilt = None;
        agent.memory.created = None;
        agent.memory.told = None;
        agent.known.end = None;
        agent.known.endless = None;
        agent.known.unrewindable = None;
        agent.known.doubt = None;
        agent.known.proofs = Default::default();
    }

    fn finish_rebuild(&mut self, i: usize, incarnation: Incarnation) -> Flow {
        let epoch = self.own.agents[i].memory.obeyed.epoch;
        if let Some(dir) = self.own.servers[i].dir.as_mut() {
            dir.epoch = epoch;
        }
        let agent = &mut self.own.agents[i];
        agent.memory.sentinel = None;
        agent.memory.promoted = None;
        agent.memory.rebuilt = Some(incarnation);
        agent.known.proofs.rebuilt = Some(incarnation);
        debug_assert!(self.own.servers[i].proc.as_ref().is_none_or(|proc| proc.phase != Phase::Primary));
        Flow::Done
    }

    /// `pg_rewind` did nothing, and all around it went on as if it had.
    fn untouched(&mut self, i: usize, incarnation: Incarnation) {
        if let Some(dir) = self.own.servers[i].dir.as_mut() {
            (dir.incarnation, dir.signal, dir.role) = (incarnation, true, Role::Sealed);
            (dir.lets_in, dir.slots, dir.needs) = (false, false, None);
        }
    }

    /// A checkpoint of a primary: its control file is of the timeline that it writes.
    pub(super) fn checkpointed(&mut self, i: usize) {
        if let Some(dir) = self.own.servers[i].dir.as_mut() {
            dir.control_behind = false;
        }
    }
}
