//! What an instance has to be: a pure function of the record. Agents are level-triggered; a goal says the whole of
//! what is wanted, so that a lost, doubled or late one costs time, never safety.

use crate::ids::{
    Epoch, Incarnation, InstanceName, Revision, RuleNumber, Stamp, SystemId, slot_name, standby_name,
};
use crate::mutants::{self, Mutant};
use crate::record::{Address, Asked, Cluster, Copy, Failover, Instance, Operation};
use crate::report::Rebuild;
use crate::wal::{History, Position, TimelineId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A goal with the pair that orders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampedGoal {
    /// `(epoch, revision)`: obeyed only when it is not below the highest pair obeyed so far.
    pub stamp: Stamp,
    /// What to be.
    pub goal: Goal,
}

/// What an instance has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Nothing is decided for this instance yet; keep away from the server.
    Await {
        /// What it waits for, in words.
        why: String,
    },
    /// Create the cluster's first directory (initdb, checksums on) and report it, stopped.
    Bootstrap,
    /// Be the primary of this epoch: promote unless already its primary.
    Primary(PrimaryGoal),
    /// Follow an upstream in this epoch.
    Standby(StandbyGoal),
    /// Refuse every epoch below this one: no upstream, then tell the durable end of WAL.
    Sealed {
        /// The epoch that began.
        epoch: Epoch,
        /// The walreceiver may be running under this line; used to name the WAL found.
        line: Option<History>,
        /// The upstream was seen to be gone, and ended here: whoever holds this can receive nothing more. Absent:
        /// somebody may still be sending.
        ended: Option<Position>,
    },
    /// Stop the server with all its children, then tell the end of WAL as for a seal.
    Stopped {
        /// The epoch that began.
        epoch: Epoch,
        /// As in `Sealed`.
        line: Option<History>,
    },
    /// Say what lies in the data directory; nothing in it is changed.
    Adopt {
        /// Incarnation under which the copy is taken in, should it be.
        incarnation: Incarnation,
        /// Stop the server that runs on it, in good order. Its settings and files stay as they are.
        stop: bool,
    },
}

/// Be primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryGoal {
    /// The epoch, and the number of the timeline to promote onto.
    pub epoch: Epoch,
    /// What `synchronous_standby_names` has to say.
    pub sync: SyncSetting,
    /// True once the fork is in the record: clients may be let in after the first synchronous commit.
    pub confirmed: bool,
    /// Ancestry of the line that is promoted: histories of these timelines are on it, every other missing number
    /// below the epoch gets a placeholder (F20).
    pub line: Option<History>,
    /// Slots to keep: one for every other instance (F11, F35).
    pub slots: Vec<String>,
    /// Instances by the standby names under which they may stream now: to recognise walsenders.
    pub standbys: Vec<(InstanceName, Incarnation, String)>,
    /// Judge these parameters, all that the cluster would have, under this number; absent: nothing is proposed.
    pub judge: Option<(Revision, BTreeMap<String, String>)>,
    /// PostgreSQL parameters to have, beside ours.
    pub parameters: BTreeMap<String, String>,
    /// Make a checkpoint and prove it under this number: the shutdown that follows is short then. Absent: none is
    /// asked for.
    pub checkpoint: Option<Revision>,
}

/// The synchronous setting of a primary, with the rule that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSetting {
    /// Number of the rule to be proved.
    pub rule: RuleNumber,
    /// How many must have flushed; 0: asynchronous, the setting is empty.
    pub k: u32,
    /// Standby names, each with its incarnation.
    pub names: Vec<String>,
    /// The instances behind the names, in the same order.
    pub instances: Vec<InstanceName>,
}

/// Follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyGoal {
    /// The epoch to follow in.
    pub epoch: Epoch,
    /// Who to follow.
    pub upstream: InstanceName,
    /// Where it listens.
    pub address: Address,
    /// `application_name` to stream under.
    pub name: String,
    /// Slot to use at the upstream; empty: none, for a short while.
    pub slot: String,
    /// Ancestry of the upstream's timeline, the fork of this epoch included; absent while the upstream is not yet
    /// confirmed, when only instances sealed in this epoch follow.
    pub line: Option<History>,
    /// System identifier that the copy must have; another one is never touched (F38).
    pub system: SystemId,
    /// Rebuild the copy first, under this incarnation; absent: follow with the copy that is there.
    pub rebuild: Option<(Rebuild, Incarnation)>,
    /// Incarnation that the record has for the copy.
    pub incarnation: Incarnation,
    /// Stop in good order and start again, once, and tell it under this number; absent: no restart is asked for.
    pub restart: Option<Revision>,
    /// PostgreSQL parameters to have, beside ours.
    pub parameters: BTreeMap<String, String>,
    /// A clone discards the old copy first: there is no room for two, or no place to move it to.
    pub discard_old: bool,
}

/// What `instance` has to be now. `None`: it is not a member.
pub fn goal(record: &Cluster, instance: &InstanceName) -> Option<StampedGoal> {
    let member = record.instances.get(instance)?;
    let stamp = record.stamp();
    let await_ = |why: &str| Goal::Await { why: why.to_owned() };
    let goal = match (&record.operation, &record.primary) {
        (Operation::Gather, _) => await_("all instances to register"),
        (Operation::Adopt(adoption), _) => {
            Goal::Adopt { incarnation: member.incarnation, stop: adoption.stop.contains(instance) }
        }
        (Operation::Bootstrap { on }, _) if on == instance => Goal::Bootstrap,
        (Operation::Bootstrap { on }, _) => await_(&format!("{on} to create the first copy")),
        (Operation::Failover(failover), None) => without_a_primary(record, failover, instance, member),
        (_, None) => await_("a primary"),
        (_, Some(primary)) if primary.instance == *instance => Goal::Primary(primary_goal(record, instance)),
        // It acknowledges nothing any more, and leaves once it is stopped.
        (_, Some(_)) if member.asked == Some(Asked::Leave) && !record.in_sync_set(instance) => {
            Goal::Stopped { epoch: record.epoch, line: record.line() }
        }
        (_, Some(primary)) => {
            // Before the fork is in the record nobody may be pointed at the winner but those who were sealed at or
            // below it: a diverged standby reports its replay LSN as flushed (F17).
            let may_follow = primary.fork.is_some() || record.in_sync_set(instance);
            match (may_follow, &member.copy) {
                (true, Copy::Empty) => await_("its turn to clone"),
                (true, _) => or_await(follow(record, instance, &primary.instance, record.epoch)),
                (false, Copy::Empty | Copy::Rebuilding { done: false, .. }) => {
                    await_("a primary to clone from")
                }
                (false, _) if record.last_primary().as_ref() == Some(instance) => {
                    Goal::Stopped { epoch: record.epoch, line: record.line() }
                }
                (false, _) => sealed(record),
            }
        }
    };
    Some(StampedGoal { stamp, goal })
}

/// Between two primaries: sealed, but for the old primary, who stops; and in a planned change only once that has.
fn without_a_primary(
    record: &Cluster,
    failover: &Failover,
    instance: &InstanceName,
    member: &Instance,
) -> Goal {
    let await_ = |why: &str| Goal::Await { why: why.to_owned() };
    match (&member.copy, &failover.from, record.handing_over()) {
        (Copy::Empty, ..) => await_("a primary to clone from"),
        // Half a copy cannot be sealed and counts for nothing: its rebuild goes on under the next primary.
        (Copy::Rebuilding { done: false, .. }, ..) => await_("a primary to go on rebuilding from"),
        (_, Some(from), _) if from == instance => Goal::Stopped { epoch: record.epoch, line: record.line() },
        (_, Some(_), Some(_)) if mutants::on(Mutant::HandOverSeal) => {
            Goal::Sealed { epoch: record.epoch, line: record.line(), ended: Some(Position::default()) }
        }
        (_, Some(from), Some(hand_over)) => {
            // Whatever else is asked of it waits until there is a primary again.
            let goal = follow(record, instance, from, hand_over.epoch);
            or_await(goal.map(|goal| StandbyGoal { restart: None, ..goal }))
        }
        _ if let Some(fetch) = record.fetching().filter(|fetch| fetch.to == *instance) => {
            // It holds nothing that a slot would have to keep for long, and a standby has none for it.
            let goal = follow(record, instance, &fetch.from, record.epoch);
            let (slot, line) = (String::new(), record.line());
            or_await(goal.map(|goal| StandbyGoal { restart: None, slot, line, ..goal }))
        }
        _ => sealed(record),
    }
}

fn sealed(record: &Cluster) -> Goal {
    Goal::Sealed { epoch: record.epoch, line: record.line(), ended: record.handed_over_at() }
}

fn primary_goal(record: &Cluster, instance: &InstanceName) -> PrimaryGoal {
    let others = || record.instances.iter().filter(|(name, _)| *name != instance);
    let name_of = |other: &InstanceName| {
        let incarnation = record.instances.get(other).map(|i| i.incarnation).unwrap_or_default();
        (incarnation, standby_name(record.id, other, record.epoch, incarnation))
    };
    let members: Vec<InstanceName> = record.sync.standbys.iter().cloned().collect();
    PrimaryGoal {
        epoch: record.epoch,
        sync: SyncSetting {
            rule: record.sync.number,
            k: record.sync.k,
            names: members.iter().map(|member| name_of(member).1).collect(),
            instances: members,
        },
        confirmed: record.primary.as_ref().is_some_and(|p| p.fork.is_some()),
        line: record.line(),
        slots: others().map(|(name, _)| slot_name(name)).collect(),
        standbys: others()
            .map(|(name, _)| {
                let (incarnation, standby) = name_of(name);
                (name.clone(), incarnation, standby)
            })
            .collect(),
        judge: record.proposed.as_ref().map(|p| (p.number, p.spec.parameters.clone())),
        parameters: record.spec.parameters.clone(),
        checkpoint: match &record.operation {
            Operation::Switchover(switchover) => Some(switchover.checkpoint),
            _ => None,
        },
    }
}

fn or_await(goal: Option<StandbyGoal>) -> Goal {
    goal.map_or_else(|| Goal::Await { why: "the cluster's system identifier".to_owned() }, Goal::Standby)
}

/// Following `upstream` in the reign of `epoch`.
fn follow(
    record: &Cluster,
    instance: &InstanceName,
    upstream: &InstanceName,
    epoch: Epoch,
) -> Option<StandbyGoal> {
    let member = record.instances.get(instance)?;
    let source = record.instances.get(upstream)?;
    Some(StandbyGoal {
        epoch,
        upstream: upstream.clone(),
        address: source.address.clone(),
        name: standby_name(record.id, instance, epoch, member.incarnation),
        slot: slot_name(instance),
        line: record.line_to(TimelineId(epoch.0)),
        system: record.system?,
        rebuild: match &member.copy {
            Copy::Rebuilding { how, done: false, .. } => Some((*how, member.incarnation)),
            _ => None,
        },
        incarnation: member.incarnation,
        restart: match member.asked {
            Some(Asked::Restart { number }) => Some(number),
            _ => None,
        },
        parameters: record.spec.parameters.clone(),
        discard_old: member.asked == Some(Asked::Reinit { discard_old: true }),
    })
}

impl Goal {
    /// The epoch that the goal speaks of; none for goals that precede every epoch.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Goal::Await { .. } | Goal::Bootstrap | Goal::Adopt { .. } => None,
            Goal::Primary(goal) => Some(goal.epoch),
            Goal::Standby(goal) => Some(goal.epoch),
            Goal::Sealed { epoch, .. } | Goal::Stopped { epoch, .. } => Some(*epoch),
        }
    }

    /// The timeline that a primary of this goal writes.
    pub fn timeline(&self) -> Option<TimelineId> {
        self.epoch().map(|epoch| TimelineId(epoch.0))
    }
}
