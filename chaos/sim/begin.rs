//! How a world begins: a cluster that was created long ago and runs, or one that is created now. The record is made by
//! the very commands that make one.

use crate::coordinator::address;
use crate::event::Event;
use crate::parameters::Parameters;
use crate::plan::Start;
use crate::postgres::{ControlState, Dir, Role};
use crate::wal::Place;
use crate::world::{S, World};
use interrex_cluster::apply::apply;
use interrex_cluster::command::{Adopting, Command, Entry, Registration};
use interrex_cluster::ids::{Epoch, Incarnation, InstanceName, Stamp};
use interrex_cluster::record::{Cluster, Secrets};
use interrex_cluster::report::{Promotion, Rebuild};
use interrex_cluster::time::{Instant, WallMs};
use interrex_cluster::wal::{Ancestor, History, Lsn, Position, TimelineId};
use std::collections::BTreeMap;

/// Where timeline 2 of a cluster that runs branched off, and where it is.
const FORK: u64 = 0x100_0000;
const END: u64 = 0x100_0400;

impl World {
    pub(crate) fn create(&self, adopt: Option<Adopting>) -> Command {
        let secrets = Secrets { superuser: "s".to_owned(), replication: "r".to_owned(), owner: None };
        Command::Create { id: self.id(), spec: self.own.wants.spec.clone(), secrets, adopt }
    }

    pub(crate) fn made(&self, commands: Vec<Command>) -> Option<Cluster> {
        let mut clusters = BTreeMap::new();
        for command in commands {
            let entry = Entry { cluster: self.own.cluster.clone(), command, at: WallMs(0) };
            if let Err(why) = apply(&mut clusters, &entry, 1) {
                // A command of our own that does not fit is a fault of this file; the run cannot begin then.
                return self.unmade(&why.0);
            }
        }
        clusters.remove(&self.own.cluster)
    }

    #[expect(clippy::panic, reason = "the commands below make a cluster, or this file is wrong")]
    fn unmade(&self, why: &str) -> Option<Cluster> {
        panic!("seed {}: the first record could not be made: {why}", self.plan.seed)
    }

    /// An empty record: instances register, one makes the first copy, the others clone it.
    pub(crate) fn created(&mut self) {
        let record = self.made(vec![self.create(None)]);
        self.found(record);
    }

    /// A cluster in epoch 2: one is primary, the others stream.
    pub(crate) fn steady(&mut self) {
        let first = self.own.names[self.own.wants.first].clone();
        let others: Vec<InstanceName> =
            self.own.names.iter().filter(|name| **name != first).cloned().collect();
        let epoch = Epoch(2);
        let mut commands = vec![self.create(None)];
        commands.extend(self.own.names.iter().enumerate().map(|(i, name)| {
            Command::Register(Registration {
                instance: name.clone(),
                machine: crate::plan::machine_name(i),
                zone: self.plan.zone_name(i),
                directory: self.own.agents[i].directory.clone(),
                address: address(i),
                priority: self.priority(i),
                major: 15,
                system: None,
                replaces: None,
            })
        }));
        let end = Position { timeline: TimelineId(1), lsn: Lsn(FORK) };
        let promotion = Promotion { epoch, parent: TimelineId(1), begin: Lsn(FORK) };
        let ancestors = vec![Ancestor { timeline: TimelineId(1), end: Lsn(FORK) }];
        let line = History { timeline: TimelineId(2), ancestors };
        commands.push(Command::BeginBootstrap { on: first.clone() });
        commands.push(Command::EndBootstrap {
            instance: first.clone(),
            system: self.system(),
            position: end,
        });
        commands.push(Command::ConfirmPrimary { instance: first, promotion, line, notes: Vec::new() });
        for instance in &others {
            let incarnation = Incarnation(1);
            let until = Position { timeline: TimelineId(2), lsn: Lsn(FORK) };
            let how = Rebuild::Clone;
            commands.push(Command::GrantRebuild { instance: instance.clone(), incarnation, how, until });
            commands.push(Command::EndRebuild { instance: instance.clone(), incarnation });
            commands.push(Command::MarkWhole { instance: instance.clone(), incarnation, epoch });
        }
        commands.push(Command::OpenPrimary { epoch });
        let k = self.own.wants.spec.acks;
        let standbys = others.into_iter().collect();
        commands.push(Command::ChangeRule { epoch, k, standbys });
        let record = self.made(commands);
        let proved = record.and_then(|record| {
            let number = record.sync.number;
            let mut clusters = BTreeMap::from([(self.own.cluster.clone(), record)]);
            let command = Command::RetireRules { epoch, number };
            let entry = Entry { cluster: self.own.cluster.clone(), command, at: WallMs(0) };
            let _ = apply(&mut clusters, &entry, 1);
            clusters.remove(&self.own.cluster)
        });
        self.found(proved);
        self.copies();
        if self.own.wants.start == Start::Steady {
            self.running();
        }
    }

    /// A whole copy of timeline 2 on every instance.
    fn copies(&mut self) {
        let one = self.own.archive.branch(1, None);
        let two = self.own.archive.branch(2, Some(Place { branch: one, lsn: FORK }));
        let Some(record) = self.record() else { return };
        let stamp = Stamp { epoch: record.epoch, revision: record.revision };
        for i in 0..self.own.names.len() {
            self.own.servers[i].dir = Some(Dir {
                incarnation: Incarnation(1),
                epoch: stamp.epoch,
                signal: true,
                role: Role::Sealed,
                lets_in: false,
                end: Place { branch: two, lsn: END },
                histories: BTreeMap::from([(2, true)]),
                state: ControlState::InRecovery,
                needs: None,
                hopeless: false,
                slots: true,
                torn: false,
                lost: BTreeMap::new(),
                adopted: false,
                parameters: Parameters::default(),
                control_behind: false,
            });
            let memory = &mut self.own.agents[i].memory;
            memory.obeyed = stamp;
            memory.incarnation = Incarnation(1);
            memory.promoted = (i == self.own.wants.first).then_some(stamp.epoch);
            memory.rebuilt = (i != self.own.wants.first).then_some(Incarnation(1));
        }
    }

    /// Every server runs by its goal; the primary under a lease that was granted a moment ago.
    fn running(&mut self) {
        use interrex_cluster::goal::Goal;
        let goals: Vec<_> = self.newest_state().map(|state| state.goals.clone()).unwrap_or_default();
        for (i, goal) in goals.into_iter().enumerate() {
            let role = match goal.as_deref().map(|goal| &goal.goal) {
                Some(Goal::Primary(goal)) => World::sync_of(goal),
                Some(Goal::Standby(goal)) => self.standby_role(goal),
                _ => Role::Sealed,
            };
            let Some(dir) = self.own.servers[i].dir.as_mut() else { continue };
            dir.role = role;
            dir.lets_in = true;
            self.start_server(i);
            let life = self.own.servers[i].life;
            let clock = self.clock(i);
            if i == self.own.wants.first {
                let server = &mut self.own.servers[i];
                if let (Some(proc), Some(dir)) = (server.proc.as_mut(), server.dir.as_mut()) {
                    proc.phase = crate::postgres::Phase::Primary;
                    dir.state = ControlState::InProduction;
                }
                self.set_deadline(i, Epoch(2), Instant(clock.0 + 3 * S / 1_000));
            } else {
                self.after(0, Event::Up { i, life });
            }
        }
    }
}
