//! A PostgreSQL that was there before Interrex, in the world. What its clients were told before, and while it is being
//! taken in, counts like everything else that was ever acknowledged.
//!
//! Its directories bear no identity of ours until they are taken in (`agent/adopt.rs`); its servers have no guard, and no
//! agent ends them but by [`interrex_cluster::instance::next_step::Step::StopFound`].

use crate::coordinator::Wish;
use crate::danger::Danger;
use crate::event::Event;
use crate::existing::{Existing, Holds};
use crate::faults::Mend;
use crate::parameters::Parameters;
use crate::postgres::{ControlState, Dir, Phase, Role, Sync};
use crate::wal::Place;
use crate::world::{MS, S, Time, World};
use interrex_check::Fact;
use interrex_cluster::command::Adopting;
use interrex_cluster::ids::{Epoch, Incarnation};
use interrex_cluster::record::Operation;
use interrex_cluster::wal::TimelineId;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Where the timeline branched off that the existing primary writes, if it is not the first.
const FORK: u64 = 0x100_0000;
/// Where the primary's WAL ends when the world begins.
const END: u64 = 0x100_0800;
/// Where the WAL of a standby ends that has more than its primary.
const MOST: u64 = END + 3 * APART;
/// Commits that were acknowledged before that, so far apart.
const APART: u64 = 0x80;
/// So long an operator lets a server run that a service started at the wrong moment.
const NOTICED_AFTER: Time = 2 * S;

impl World {
    /// The wish to take in what is there; instances register, and say what they hold.
    pub(crate) fn found_existing(&mut self, existing: &Existing) {
        let adopt = Some(Adopting { take_over: existing.take_over });
        let record = self.made(vec![self.create(adopt)]);
        self.found(record);
        let one = self.own.archive.branch(1, None);
        let line = match existing.timeline {
            1 => one,
            timeline => self.own.archive.branch(timeline, Some(Place { branch: one, lsn: FORK })),
        };
        let all = Place { branch: line, lsn: END };
        let alone = Role::Primary(Sync { k: 0, names: Rc::new(Vec::new()) });
        self.own.servers[0].dir = Some(foreign(all, alone, &[existing.timeline]));
        for (i, holds) in existing.others.iter().enumerate() {
            self.own.servers[i + 1].dir = self.standby_of_old(i + 1, *holds, all, existing.timeline);
        }
        let most = if existing.others.contains(&Holds::More) { MOST } else { END };
        self.acknowledged_before(Place { lsn: most, ..all });
        if existing.runs {
            (0..self.own.servers.len()).for_each(|i| self.start_behind(i));
        }
    }

    fn standby_of_old(&mut self, i: usize, holds: Holds, all: Place, timeline: u32) -> Option<Dir> {
        let role = Role::Standby { upstream: 0, name: format!("standby{}", i + 1).into(), slot: "".into() };
        let less = Place { lsn: END - 3 * APART, ..all };
        let (end, known) = match holds {
            Holds::Nothing => return None,
            Holds::All => (all, vec![timeline]),
            Holds::Less => (less, vec![timeline]),
            Holds::More => (Place { lsn: MOST, ..all }, vec![timeline]),
            Holds::Another => {
                let own = self.own.archive.branch(timeline + 1, Some(less));
                (Place { branch: own, lsn: less.lsn + APART }, vec![timeline, timeline + 1])
            }
        };
        let mut dir = foreign(end, role, &known);
        (dir.signal, dir.state) = (true, ControlState::ShutDownInRecovery);
        Some(dir)
    }

    /// What its clients had been told when the world begins.
    fn acknowledged_before(&mut self, all: Place) {
        let timeline = TimelineId(self.own.archive.timeline(all.branch));
        let mut lsn = FORK + APART;
        while lsn <= all.lsn {
            let commit = self.own.commits.len() as u64;
            let place = Place { lsn, ..all };
            self.own.commits.push(place);
            self.own.newest = self.own.newest.or(Some(place));
            let by = self.own.names[0].clone();
            self.fact(&Fact::Acknowledged { by: &by, timeline, commit, held: true, alone: Some(0) });
            lsn += APART;
        }
    }

    /// A service starts a server on a directory that is not ours, if none runs on it.
    pub(crate) fn start_behind(&mut self, i: usize) {
        let server = &self.own.servers[i];
        let theirs = server.dir.as_ref().is_some_and(Dir::is_foreign);
        if !theirs || server.proc.is_some() || !self.machines[i].on {
            return;
        }
        self.start_server(i);
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            proc.foreign = true;
        }
        self.say(|| format!("a service starts the server on n{}", i + 1));
        if self.record().is_some_and(|record| record.epoch > Epoch(0)) {
            self.reach.note(Danger::StartedBehind);
        }
    }

    /// It has recovered: without `standby.signal` it is the primary that it was.
    pub(crate) fn up_as_found(&mut self, i: usize) -> bool {
        let server = &mut self.own.servers[i];
        let (Some(dir), Some(proc)) = (server.dir.as_mut(), server.proc.as_mut()) else { return false };
        if !proc.foreign || dir.signal {
            return false;
        }
        dir.state = ControlState::InProduction;
        proc.phase = Phase::Primary;
        proc.insert = dir.end.lsn;
        self.serves(i);
        true
    }

    /// A service starts it at the wrong moment, and an operator stops it a while later.
    pub(crate) fn start_behind_for_a_while(&mut self, i: usize) {
        self.start_behind(i);
        let life = self.own.servers[i].life;
        self.after(NOTICED_AFTER, Event::Mend(Mend::Behind { i, life }));
    }

    /// Whoever started it stops it, in good order.
    pub(crate) fn stop_found_server(&mut self, i: usize) {
        if self.own.servers[i].runs_foreign() {
            self.shut_down(i);
        }
    }

    /// What keeps it from being taken in is put right as the refusals say: a copy that wrote a timeline of its own is moved
    /// away; one that has more than the primary becomes the primary.
    pub(crate) fn put_right(&mut self) {
        let Some(existing) = self.own.wants.existing.clone().filter(|_| self.adopts()) else { return };
        for (i, holds) in (1..).zip(existing.others) {
            self.stop_found_server(i);
            let theirs = self.own.servers[i].dir.as_ref().is_some_and(Dir::is_foreign);
            if !theirs || self.own.servers[i].proc.is_some() {
                continue;
            }
            match holds {
                Holds::Another => self.own.servers[i].dir = None,
                Holds::More => self.becomes_primary(i),
                Holds::Nothing | Holds::All | Holds::Less => {}
            }
        }
    }

    fn becomes_primary(&mut self, i: usize) {
        if let Some(dir) = self.own.servers[i].dir.as_mut() {
            dir.signal = false;
        }
        if let Some(dir) = self.own.servers[0].dir.as_mut() {
            dir.signal = true;
        }
    }

    fn adopts(&self) -> bool {
        self.record().is_some_and(|record| matches!(record.operation, Operation::Adopt(_)))
    }

    /// In the end the operator has understood: no service starts anything, and what runs may be stopped.
    pub(crate) fn services_are_disabled(&mut self) {
        if let Some(existing) = &mut self.own.wants.existing {
            existing.boots = false;
        }
        if self.adopts() {
            self.put_right();
            self.wish(Wish::TakeOver);
        }
        (0..self.own.servers.len()).for_each(|i| self.stop_found_server(i));
    }

    /// After a machine was switched on.
    pub(crate) fn boots(&mut self, i: usize) {
        if self.own.wants.existing.as_ref().is_some_and(|existing| existing.boots) && !self.faults.over {
            self.start_behind_for_a_while(i);
        }
    }

    /// The roles of Interrex are made in a directory that is taken in, by a server that nobody else reaches.
    pub(crate) fn make_roles_offline(&mut self, i: usize) -> Time {
        const ROLES: u64 = 256;
        if let Some(dir) = self.own.servers[i].dir.as_mut() {
            dir.end.lsn += ROLES;
            self.own.roles = self.own.roles.or(Some(dir.end));
        }
        self.takes(i, 100 * MS, 1_500 * MS)
    }

    /// Whether its agent may log in: a copy that was adopted has to receive the agent's role first.
    pub(crate) fn knows_its_agent(&self, i: usize) -> bool {
        let Some(dir) = &self.own.servers[i].dir else { return false };
        !dir.adopted || self.own.roles.is_some_and(|roles| self.own.archive.includes(dir.end, roles))
    }
}

/// A directory that knows nothing of Interrex.
fn foreign(end: Place, role: Role, timelines: &[u32]) -> Dir {
    let histories = timelines.iter().filter(|timeline| **timeline > 1).map(|timeline| (*timeline, true));
    Dir {
        control_behind: false,
        incarnation: Incarnation(0),
        epoch: Epoch(0),
        signal: false,
        role,
        lets_in: true,
        end,
        histories: histories.collect::<BTreeMap<_, _>>(),
        state: ControlState::ShutDown,
        needs: None,
        hopeless: false,
        slots: true,
        torn: false,
        lost: BTreeMap::new(),
        adopted: true,
        parameters: Parameters::default(),
    }
}
