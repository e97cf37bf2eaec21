//! Taking in a directory that was there before Interrex: what is told of it stands in memory first, and only what was
//! offered is taken in. The order is the safety argument: roles, `standby.signal`, identity, memory; the agent may end after
//! each, and whatever else starts the directory from the signal on starts a standby.

use super::deeds::{Deed, Flow};
use crate::danger::Danger;
use crate::world::{MS, S, Time, World};
use interrex_cluster::goal::Goal;
use interrex_cluster::ids::Incarnation;
use interrex_cluster::instance::observed::{Data, Offered};
use interrex_cluster::report::Found;
use interrex_cluster::wal::TimelineId;

/// What was found is told for so long before it is looked at anew.
const LOOK_EVERY: Time = S;

impl World {
    /// What lies in a directory that is to be adopted.
    pub(super) fn look_at_found(&mut self, i: usize, goal: Option<&Goal>) -> Option<Found> {
        let Some(Goal::Adopt { incarnation, .. }) = goal else {
            self.own.agents[i].known.found = None;
            return None;
        };
        if let Some((at, found)) = &self.own.agents[i].known.found
            && self.now.saturating_sub(*at) < LOOK_EVERY
        {
            return Some(found.clone());
        }
        let found = self.examine(i)?;
        self.offer(i, *incarnation, &found);
        self.own.agents[i].known.found = Some((self.now, found.clone()));
        Some(found)
    }

    fn examine(&self, i: usize) -> Option<Found> {
        let server = &self.own.servers[i];
        let dir = server.dir.as_ref()?;
        let running = server.proc.is_some();
        let memory = &self.own.agents[i].memory;
        let used = memory.incarnation != Incarnation(0) || memory.sentinel.is_some();
        let known = dir.histories.keys().copied().chain([self.own.archive.timeline(dir.end.branch)]);
        Some(Found {
            system: self.system(),
            standby: dir.signal,
            running: running.then_some(server.life),
            end: (!running).then(|| (self.own.archive.position(dir.end), self.own.archive.history(dir.end))),
            highest: TimelineId(known.max().unwrap_or(1)),
            refused: used.then(|| "its agent remembers an earlier copy".to_owned()),
            notes: Vec::new(),
            timeline: Some(TimelineId(self.own.archive.timeline(dir.end.branch))),
        })
    }

    /// Written down before it is told, and only of a directory that stands still.
    fn offer(&mut self, i: usize, incarnation: Incarnation, found: &Found) {
        if found.running.is_none() && found.refused.is_none() {
            let end = found.end.as_ref().map(|(position, _)| *position);
            self.own.agents[i].memory.offered = Some(Offered {
                incarnation,
                system: found.system,
                standby: found.standby,
                end,
                roles: false,
            });
        }
    }

    /// A directory without our identity, or with one that was written and not remembered yet.
    pub(super) fn look_at_foreign(&self, i: usize, copy: Incarnation) -> Option<Data> {
        let memory = &self.own.agents[i].memory;
        let begun = |offered: &Offered| copy == Incarnation(0) || copy == offered.incarnation;
        if memory.incarnation == Incarnation(0) && memory.offered.as_ref().is_some_and(begun) {
            return Some(Data::Offered(self.system()));
        }
        let strange = || Data::Strange { why: "it was not made by this agent".to_owned() };
        (copy == Incarnation(0)).then(strange)
    }

    pub(super) fn stop_found(&mut self, i: usize, deed: &Deed) -> Flow {
        match deed.phase {
            0 => {
                self.stop_found_server(i);
                Flow::Next(MS)
            }
            _ if self.own.servers[i].proc.is_some() => Flow::Again(10 * MS),
            _ => {
                self.reach.note(Danger::FoundStopped);
                self.own.agents[i].known.found = None;
                Flow::Done
            }
        }
    }

    pub(super) fn take_in(&mut self, i: usize, deed: &Deed) -> Flow {
        let Some(offered) = self.own.agents[i].memory.offered else {
            return Flow::Failed("no directory was offered for adoption".to_owned());
        };
        // The roles and the signal are put in place in one go; whoever else starts the server is met before and after.
        let alone = self.own.servers[i].proc.is_none();
        match deed.phase {
            0 | 1 | 3 if !alone => {
                Flow::Failed("a PostgreSQL that Interrex did not start runs on the directory".to_owned())
            }
            0 => Flow::Next(self.small(i)),
            1 => {
                let signal = self.own.servers[i].dir.as_ref().is_some_and(|dir| dir.signal);
                if offered.standby || (offered.roles && signal) {
                    return Flow::Next(self.small(i));
                }
                let made = self.make_roles_offline(i);
                self.own.agents[i].memory.offered = Some(Offered { roles: true, ..offered });
                Flow::Next(made)
            }
            2 => {
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    dir.signal = true;
                }
                Flow::Next(self.small(i))
            }
            3 => {
                let epoch = self.own.agents[i].memory.obeyed.epoch;
                if let Some(dir) = self.own.servers[i].dir.as_mut() {
                    (dir.incarnation, dir.epoch) = (offered.incarnation, epoch);
                }
                Flow::Next(self.small(i))
            }
            _ => {
                let agent = &mut self.own.agents[i];
                agent.memory.incarnation = offered.incarnation;
                agent.memory.offered = None;
                agent.memory.in_vain = u32::from(offered.standby);
                // Of a primary's directory nothing may be missing any more; a standby counts once it has followed.
                agent.memory.told = offered.end.filter(|_| !offered.standby);
                agent.known.end = None;
                agent.known.found = None;
                self.reach.note(Danger::TakenIn);
                Flow::Done
            }
        }
    }
}
