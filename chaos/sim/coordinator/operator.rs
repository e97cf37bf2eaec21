//! The operator: planned changes, a failover by hand, a pause, a loss that is accepted. Each is asked of the coordinator
//! that leads, as the admin service does, and goes through the same previews.

use super::log::Waits;
use crate::faults::Target;
use crate::parameters::Setting;
use crate::stage::{Asked, Order};
use crate::world::World;
use interrex_cluster::command::{Adopting, Asking, Command};
use interrex_cluster::operation::switchover;
use interrex_cluster::record::{Cluster, Operation};
use interrex_cluster::spec::{Spec, WhenAlone};
use std::collections::BTreeSet;

/// What an operator may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A switchover, to an instance or to whoever is preferred.
    Switchover {
        to: Option<usize>,
    },
    /// The primary is restarted by way of a new epoch.
    Restart,
    /// A failover, wanted or not.
    Failover {
        to: usize,
    },
    Pause,
    Resume,
    /// A failover that cannot go on may lose what it has to.
    AcceptLoss,
    /// A copy is to be made anew.
    Reinit {
        of: Target,
    },
    /// A standby is to be stopped and started.
    RestartStandby {
        of: Target,
    },
    /// An instance is to leave.
    Leave {
        of: Target,
    },
    /// What was asked of an instance is taken back.
    Keep {
        of: Target,
    },
    /// So many are to acknowledge from now on.
    Set {
        acks: u32,
    },
    /// A parameter of PostgreSQL is set, or all are taken back.
    Parameter(Setting),
    /// Servers that run may be stopped to be taken in.
    TakeOver,
    /// Writes are to wait for standbys in the worst case, or not to.
    Block {
        block: bool,
    },
}

impl World {
    /// Asked of whoever leads; who finds no leader, or an obstacle, gives up.
    pub(crate) fn wish(&mut self, wish: Wish) {
        if self.is_stage() {
            if let Some(asked) = self.asked(wish) {
                self.order(Order::Ask(asked));
            }
            return;
        }
        let Some(c) = self.log.leader.filter(|c| self.coordinators[*c].leads == Some(self.log.term)) else {
            return;
        };
        if let Some(command) = self.command_of(c, wish)
            && self.trial(c, &command) == Some(true)
            && !self.distrusts(c)
        {
            self.say(|| format!("an operator: {command}"));
            self.propose(c, command, Waits::Operator);
        }
    }

    fn command_of(&mut self, c: usize, wish: Wish) -> Option<Command> {
        let now = self.awake(c);
        let state = self.state_of(c);
        let record = state.record.as_ref()?;
        let policy = self.policy.of(&record.spec);
        let view = self.own.desks[c].view(&self.coordinators[c], record, &policy, now);
        let epoch = record.epoch;
        match wish {
            Wish::Switchover { to } => {
                let wanted = to.map(|to| &self.own.names[to % self.own.names.len()]);
                let preview = switchover::preview(&view, wanted);
                let to = preview.would_win.filter(|_| preview.obstacles.is_empty())?;
                Some(Command::BeginSwitchover { epoch, to })
            }
            Wish::Restart => {
                let preview = switchover::preview_restart(&view);
                let to = preview.would_win.filter(|_| preview.obstacles.is_empty())?;
                Some(Command::BeginSwitchover { epoch, to })
            }
            Wish::Failover { to } => {
                let wanted = Some(self.own.names[to % self.own.names.len()].clone());
                let reason = "asked for by an operator".to_owned();
                Some(Command::BeginFailover { epoch: epoch.next(), reason, wanted })
            }
            Wish::Pause => Some(Command::SetPaused { paused: true }),
            Wish::Resume => Some(Command::SetPaused { paused: false }),
            Wish::AcceptLoss => matches!(record.operation, Operation::Failover(_))
                .then(|| Command::AcceptLoss { epoch, fenced: BTreeSet::new() }),
            Wish::Reinit { of } => Some(self.ask_of(of, Asking::Reinit { discard_old: false })),
            Wish::RestartStandby { of } => Some(self.ask_of(of, Asking::Restart)),
            Wish::Leave { of } => Some(self.ask_of(of, Asking::Leave)),
            Wish::Keep { of } => Some(self.ask_of(of, Asking::Nothing)),
            Wish::TakeOver => matches!(record.operation, Operation::Adopt(_))
                .then(|| self.create(Some(Adopting { take_over: true }))),
            Wish::Parameter(setting) => Some(set_parameter(record, setting)),
            Wish::Set { acks } => Some(set_acks(record, acks)),
            Wish::Block { block } => Some(set_when_alone(record, block)),
        }
    }

    /// The same, as the admin service is asked: there it is previewed.
    fn asked(&self, wish: Wish) -> Option<Asked> {
        let name = |i: usize| self.own.names[i % self.own.names.len()].clone();
        let of = |of: Target, what| Asked::Instance { instance: name(self.aim(of)), what };
        let set = |command| match command {
            Command::SetSpec { before, spec } if before != spec => {
                Some(Asked::Set(spec.changes_since(&before)))
            }
            _ => None,
        };
        let record = self.record()?;
        match wish {
            Wish::Switchover { to } => Some(Asked::Switchover { to: to.map(name) }),
            Wish::Restart => Some(of(Target::Primary, Asking::Restart)),
            Wish::Failover { to } => Some(Asked::Failover { to: Some(name(to)), accept_loss: false }),
            Wish::AcceptLoss => Some(Asked::Failover { to: None, accept_loss: true }),
            Wish::Pause => Some(Asked::Paused(true)),
            Wish::Resume => Some(Asked::Paused(false)),
            Wish::Reinit { of: target } => Some(of(target, Asking::Reinit { discard_old: false })),
            Wish::RestartStandby { of: target } => Some(of(target, Asking::Restart)),
            Wish::Leave { of: target } => Some(of(target, Asking::Leave)),
            Wish::Keep { of: target } => Some(of(target, Asking::Nothing)),
            Wish::Parameter(setting) => set(set_parameter(record, setting)),
            Wish::Set { acks } => set(set_acks(record, acks)),
            Wish::Block { block } => set(set_when_alone(record, block)),
            Wish::TakeOver => None,
        }
    }

    fn ask_of(&self, of: Target, what: Asking) -> Command {
        let i = self.aim(of) % self.own.names.len();
        Command::Ask { instance: self.own.names[i].clone(), what }
    }
}

fn set_parameter(record: &Cluster, setting: Setting) -> Command {
    let mut spec = record.spec.clone();
    setting.put(&mut spec);
    Command::SetSpec { before: record.spec.clone(), spec }
}

fn set_acks(record: &Cluster, acks: u32) -> Command {
    set(record, |spec| spec.acks = acks)
}

fn set_when_alone(record: &Cluster, block: bool) -> Command {
    set(record, |spec| spec.when_alone = if block { WhenAlone::Block } else { WhenAlone::Continue })
}

/// A change of what is wanted; fewest acknowledgements as fits.
fn set(record: &Cluster, change: impl FnOnce(&mut Spec)) -> Command {
    let mut spec = record.spec.clone();
    change(&mut spec);
    spec.min_acks = match spec.when_alone {
        WhenAlone::Block => spec.acks,
        WhenAlone::Continue => spec.min_acks.min(spec.acks).min(1),
    };
    Command::SetSpec { before: record.spec.clone(), spec }
}
