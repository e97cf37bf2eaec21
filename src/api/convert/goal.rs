//! What an instance has to be. An agent that meets a goal it does not know refuses it: it does not guess.

use super::ids::{name, names, texts};
use super::wal::sound_line;
use super::{BadMessage, Wire, maybe, need, set};
use crate::pb;
use crate::pb::primary_goal::Streaming;
use interrex_cluster::goal::{Goal, PrimaryGoal, StampedGoal, StandbyGoal, SyncSetting};
use interrex_cluster::ids::{Epoch, Incarnation, InstanceName, Revision, RuleNumber, SystemId};
use interrex_cluster::report::Rebuild;

impl Wire for StampedGoal {
    type Pb = pb::StampedGoal;

    fn to_pb(&self) -> pb::StampedGoal {
        use pb::stamped_goal::{Adopt, Await, Bootstrap, Goal as Pb, Sealed};
        let goal = match &self.goal {
            Goal::Await { why } => Pb::Await(Await { why: why.clone() }),
            Goal::Bootstrap => Pb::Bootstrap(Bootstrap {}),
            Goal::Adopt { incarnation, stop } => Pb::Adopt(Adopt { incarnation: incarnation.0, stop: *stop }),
            Goal::Primary(goal) => Pb::Primary(goal.to_pb()),
            Goal::Standby(goal) => Pb::Standby(goal.to_pb()),
            Goal::Sealed { epoch, line, ended } => Pb::Sealed(Sealed {
                epoch: epoch.0,
                line: line.as_ref().map(Wire::to_pb),
                ended: ended.as_ref().map(Wire::to_pb),
            }),
            Goal::Stopped { epoch, line } => {
                Pb::Stopped(Sealed { epoch: epoch.0, line: line.as_ref().map(Wire::to_pb), ended: None })
            }
        };
        pb::StampedGoal { stamp: Some(self.stamp.to_pb()), goal: Some(goal) }
    }

    fn from_pb(pb: pb::StampedGoal) -> Result<Self, BadMessage> {
        use pb::stamped_goal::Goal as Pb;
        let goal = match set(pb.goal, "goal")? {
            Pb::Await(goal) => Goal::Await { why: goal.why },
            Pb::Bootstrap(_) => Goal::Bootstrap,
            Pb::Adopt(goal) => Goal::Adopt { incarnation: Incarnation(goal.incarnation), stop: goal.stop },
            Pb::Primary(goal) => {
                Goal::Primary(PrimaryGoal::from_pb(goal).map_err(|bad| bad.under("primary"))?)
            }
            Pb::Standby(goal) => {
                Goal::Standby(StandbyGoal::from_pb(goal).map_err(|bad| bad.under("standby"))?)
            }
            Pb::Sealed(goal) => Goal::Sealed {
                epoch: Epoch(goal.epoch),
                line: sound_line(goal.line, "sealed.line")?,
                ended: maybe(goal.ended, "sealed.ended")?,
            },
            Pb::Stopped(goal) => {
                Goal::Stopped { epoch: Epoch(goal.epoch), line: sound_line(goal.line, "stopped.line")? }
            }
        };
        Ok(StampedGoal { stamp: need(pb.stamp, "stamp")?, goal })
    }
}

impl Wire for PrimaryGoal {
    type Pb = pb::PrimaryGoal;

    fn to_pb(&self) -> pb::PrimaryGoal {
        let streaming = |(instance, incarnation, name): &(InstanceName, Incarnation, String)| Streaming {
            instance: instance.to_string(),
            incarnation: incarnation.0,
            name: name.clone(),
        };
        pb::PrimaryGoal {
            epoch: self.epoch.0,
            sync: Some(self.sync.to_pb()),
            confirmed: self.confirmed,
            line: self.line.as_ref().map(Wire::to_pb),
            slots: self.slots.clone(),
            standbys: self.standbys.iter().map(streaming).collect(),
            checkpoint: self.checkpoint.map(|number| number.0),
            judge: self
                .judge
                .clone()
                .map(|(number, parameters)| pb::primary_goal::Judge { number: number.0, parameters }),
            parameters: self.parameters.clone(),
        }
    }

    fn from_pb(pb: pb::PrimaryGoal) -> Result<Self, BadMessage> {
        let streaming = |(i, pb): (usize, Streaming)| {
            Ok((name(pb.instance, &format!("standbys[{i}].instance"))?, Incarnation(pb.incarnation), pb.name))
        };
        Ok(PrimaryGoal {
            epoch: Epoch(pb.epoch),
            sync: need(pb.sync, "sync")?,
            confirmed: pb.confirmed,
            line: sound_line(pb.line, "line")?,
            slots: pb.slots,
            standbys: pb.standbys.into_iter().enumerate().map(streaming).collect::<Result<_, _>>()?,
            checkpoint: pb.checkpoint.map(Revision),
            judge: pb.judge.map(|judge| (Revision(judge.number), judge.parameters)),
            parameters: pb.parameters,
        })
    }
}

impl Wire for SyncSetting {
    type Pb = pb::SyncSetting;

    fn to_pb(&self) -> pb::SyncSetting {
        pb::SyncSetting {
            rule: self.rule.0,
            k: self.k,
            names: self.names.clone(),
            instances: texts(&self.instances),
        }
    }

    fn from_pb(pb: pb::SyncSetting) -> Result<Self, BadMessage> {
        if pb.names.len() != pb.instances.len() {
            return Err(BadMessage::new("names", "as many as instances are wanted"));
        }
        Ok(SyncSetting {
            rule: RuleNumber(pb.rule),
            k: pb.k,
            names: pb.names,
            instances: names(pb.instances, "instances")?,
        })
    }
}

impl Wire for StandbyGoal {
    type Pb = pb::StandbyGoal;

    fn to_pb(&self) -> pb::StandbyGoal {
        pb::StandbyGoal {
            epoch: self.epoch.0,
            upstream: self.upstream.to_string(),
            address: Some(self.address.to_pb()),
            name: self.name.clone(),
            slot: self.slot.clone(),
            line: self.line.as_ref().map(Wire::to_pb),
            system: self.system.0,
            rebuild: self.rebuild.map(|(how, incarnation)| pb::standby_goal::Rebuilding {
                how: how.to_pb(),
                incarnation: incarnation.0,
            }),
            incarnation: self.incarnation.0,
            restart: self.restart.map(|number| number.0),
            discard_old: self.discard_old,
            parameters: self.parameters.clone(),
        }
    }

    fn from_pb(pb: pb::StandbyGoal) -> Result<Self, BadMessage> {
        let rebuild = |pb: pb::standby_goal::Rebuilding| {
            let how = Rebuild::from_pb(pb.how).map_err(|bad| bad.under("rebuild"))?;
            Ok((how, Incarnation(pb.incarnation)))
        };
        Ok(StandbyGoal {
            epoch: Epoch(pb.epoch),
            upstream: name(pb.upstream, "upstream")?,
            address: need(pb.address, "address")?,
            name: pb.name,
            slot: pb.slot,
            line: sound_line(pb.line, "line")?,
            system: SystemId(pb.system),
            rebuild: pb.rebuild.map(rebuild).transpose()?,
            incarnation: Incarnation(pb.incarnation),
            restart: pb.restart.map(Revision),
            discard_old: pb.discard_old,
            parameters: pb.parameters,
        })
    }
}
