//! Sealing: no upstream, then the durable end of WAL; and the end of a stopped server.

use super::deeds::{Deed, Flow};
use crate::mutants::{self, Mutant};
use crate::postgres::Role;
use crate::traps::Trap;
use crate::wal::Place;
use crate::world::{MS, S, Time, World};
use interrex_cluster::goal::Goal;
use interrex_cluster::ids::{Epoch, Stamp};
use interrex_cluster::instance::observed::End;
use interrex_cluster::report::{Promotion, Seal};
use interrex_cluster::wal::{History, Lsn, Position};

const SEALED_WITHIN: Time = 2 * S;
/// Twice `wal_retrieve_retry_interval`: so long nothing may be received.
const STILL_FOR: Time = 200 * MS;

impl World {
    pub(super) fn seal(&mut self, i: usize, deed: &mut Deed, epoch: Option<Epoch>) -> Flow {
        if self.own.servers[i].proc.is_none() {
            return Flow::Failed("the server is gone".to_owned());
        }
        if self.own.servers[i].is_primary() {
            return Flow::Failed("a server that is not in recovery is sealed by stopping it".to_owned());
        }
        let mutant = epoch.is_some() && mutants::on(Mutant::Seal);
        match deed.phase {
            0 => {
                let run = &mut self.own.agents[i].server;
                run.role = None;
                run.replaying = None;
                if let Some(dir) = self.own.servers[i].dir.as_mut().filter(|_| !mutant) {
                    dir.role = Role::Sealed;
                }
                self.reload(i);
                Flow::Next(self.small(i))
            }
            1 => {
                let shows = self.own.servers[i].proc.as_ref().is_some_and(|proc| proc.role == Role::Sealed);
                if !shows && !mutant {
                    return self.seal_waits(i, deed, epoch);
                }
                deed.mark = self.now;
                Flow::Next(0)
            }
            2 => {
                // Receivers are ended until none was seen for long enough.
                let hangs = self.own.servers[i].hangs(self.now);
                let seen = self.own.servers[i].proc.as_ref().is_some_and(|proc| proc.receiver.is_some());
                let handed = matches!(deed.goal.goal, Goal::Sealed { ended: Some(_), .. });
                if mutant || (handed && mutants::on(Mutant::HandOverSeal)) {
                    return Flow::Next(0);
                }
                if seen && !hangs {
                    self.end_receiver(i);
                    deed.mark = self.now;
                }
                // Whoever holds all that the upstream ever had, seen gone, need not be watched.
                let ended = match &deed.goal.goal {
                    Goal::Sealed { ended, .. } => *ended,
                    _ => None,
                };
                let held = self.own.servers[i].dir.as_ref().map_or(0, |dir| dir.end.lsn);
                let all = !seen && ended.is_some_and(|ended| held >= ended.lsn.0);
                if (self.now - deed.mark < STILL_FOR && !all) || hangs {
                    return self.seal_waits(i, deed, epoch);
                }
                Flow::Next(self.takes(i, MS, 10 * MS))
            }
            3 => {
                let Some(end) = self.own.servers[i].scan() else {
                    return Flow::Failed("the end of WAL cannot be told".to_owned());
                };
                let position = match mutants::on(Mutant::EndIsScanned) {
                    true => self.told_received(i, end),
                    false => self.own.archive.position(end),
                };
                let run = &mut self.own.agents[i].server;
                run.role = Some(Role::Sealed);
                run.upstream = None;
                run.replaying = Some(position.timeline);
                match epoch {
                    Some(_) => self.remember_told(i, deed, position),
                    None => Flow::Done,
                }
            }
            _ => match epoch {
                Some(epoch) => self.prove_seal(i, deed.goal.stamp, epoch, false),
                None => Flow::Done,
            },
        }
    }

    /// What a tool would tell that asks the server how much it received.
    fn told_received(&self, i: usize, end: Place) -> Position {
        let position = self.own.archive.position(end);
        if !self.has(Trap::F16) {
            return position;
        }
        let received = self.own.servers[i].proc.as_ref().and_then(|proc| proc.received);
        Position { lsn: Lsn(received.map_or(0, |(_, lsn)| lsn)), ..position }
    }

    /// Whether anything of the server runs.
    fn runs(&self, i: usize) -> bool {
        let proc = self.own.servers[i].proc.as_ref();
        proc.is_some_and(|proc| !(proc.orphans && mutants::on(Mutant::OrphansAwaited)))
    }

    fn seal_waits(&mut self, i: usize, deed: &Deed, epoch: Option<Epoch>) -> Flow {
        if self.now - deed.since <= SEALED_WITHIN {
            return Flow::Again(10 * MS);
        }
        if epoch.is_some() {
            // It cannot be sealed while it runs: ended, it is.
            if let Some(dir) = self.own.servers[i].dir.as_mut() {
                dir.signal = true;
            }
            self.kill_server(i, "");
        }
        Flow::Failed("the walreceiver does not end".to_owned())
    }

    /// Told positions are kept on disk: a copy that later ends below one was rolled back.
    fn remember_told(&mut self, i: usize, deed: &mut Deed, position: Position) -> Flow {
        let told = self.own.agents[i].memory.told;
        if let Some(told) = told.filter(|told| position < *told) {
            let why = format!("the copy ends at {position} and told {told} before: it was rolled back");
            let copy = self.own.agents[i].memory.incarnation;
            self.own.agents[i].known.doubt = Some((copy, why));
            return Flow::Done;
        }
        self.own.agents[i].memory.told = told.max(Some(position));
        deed.kept = u64::from(position.timeline.0);
        Flow::Next(self.small(i))
    }

    fn prove_seal(&mut self, i: usize, stamp: Stamp, epoch: Epoch, stopped: bool) -> Flow {
        if !self.still(i, stamp) {
            return Flow::Overtaken;
        }
        let (Some(position), Some(history)) = (self.own.agents[i].memory.told, self.own_history(i)) else {
            return Flow::Failed("the history of its timeline is not known".to_owned());
        };
        let fork = history.ancestors.last().map(|ancestor| Promotion {
            epoch: Epoch(history.timeline.0),
            parent: ancestor.timeline,
            begin: ancestor.end,
        });
        let known = &mut self.own.agents[i].known;
        known.proofs.sealed = Some(Seal { epoch, position, stopped, fork });
        if stopped {
            known.exit = None;
        }
        self.tell_proofs(i);
        Flow::Done
    }

    fn own_history(&self, i: usize) -> Option<History> {
        self.own.servers[i].dir.as_ref().map(|dir| self.own.archive.history(dir.end))
    }

    pub(super) fn scan_end(
        &mut self,
        i: usize,
        deed: &mut Deed,
        epoch: Option<Epoch>,
        stopped: bool,
    ) -> Flow {
        if stopped && self.runs(i) {
            return Flow::Failed("the server still runs".to_owned());
        }
        match deed.phase {
            0 => Flow::Next(self.takes(i, 2 * MS, 40 * MS)),
            1 => {
                let archive = &self.own.archive;
                let whole = |end| {
                    let needs = self.own.servers[i].dir.as_ref().and_then(|dir| dir.needs);
                    let counts = mutants::on(Mutant::CloneCounts);
                    counts || needs.is_none_or(|needs| archive.includes(end, needs))
                };
                let needs = self.own.servers[i].dir.as_ref().and_then(|dir| dir.needs);
                let scanned = self.own.servers[i].scan();
                // A copy that was just made ends where its data need WAL up to, whether that is there or not.
                let memory = &self.own.agents[i].memory;
                let rebuilt = memory.rebuilt == Some(memory.incarnation);
                let untold = |needs| memory.told.is_none_or(|told| told < archive.position(needs));
                let end = match (scanned, needs, epoch) {
                    (Some(end), ..) if whole(end) => Some(end),
                    (Some(_), Some(needs), None) if rebuilt && untold(needs) => Some(needs),
                    _ => None,
                };
                match (end, epoch) {
                    (Some(end), Some(_)) => {
                        let position = self.own.archive.position(end);
                        self.remember_told(i, deed, position)
                    }
                    (Some(end), None) => {
                        let position = self.own.archive.position(end);
                        let history = self.own.archive.history(end);
                        self.own.agents[i].known.end = Some(End { position, history });
                        Flow::Done
                    }
                    (None, None) => {
                        self.own.agents[i].known.endless =
                            Some("its WAL does not reach what its data need".to_owned());
                        Flow::Done
                    }
                    (None, Some(_)) => Flow::Failed("the end of WAL cannot be told".to_owned()),
                }
            }
            _ => {
                let Some(epoch) = epoch else { return Flow::Done };
                let flow = self.prove_seal(i, deed.goal.stamp, epoch, stopped);
                if let (Some(position), Some(history)) = (self.own.agents[i].memory.told, self.own_history(i))
                    && matches!(flow, Flow::Done)
                {
                    self.own.agents[i].known.end = Some(End { position, history });
                }
                flow
            }
        }
    }
}
