//! What an agent says: the report, its proofs, its knock. The server itself is in [`super::server`].

use super::ids::name;
use super::wal::sound_line;
use super::{BadMessage, Wire, all, each, known, maybe, need, unspecified};
use crate::pb;
use crate::pb::proofs::Judged;
use interrex_cluster::ids::{DirectoryId, Epoch, Incarnation, Revision, RuleNumber, SystemId};
use interrex_cluster::report::{
    Failing, Found, Knock, Need, Promotion, Proofs, Rebuild, Report, Seal, Unfit,
};
use interrex_cluster::wal::{Lsn, Position, TimelineId};

impl Wire for Report {
    type Pb = pb::Report;

    fn to_pb(&self) -> pb::Report {
        pb::Report {
            instance: self.instance.to_string(),
            directory: self.directory.0.clone(),
            obeyed: Some(self.obeyed.to_pb()),
            incarnation: self.incarnation.0,
            server: Some(self.server.to_pb()),
            proofs: Some(self.proofs.to_pb()),
            needs: self.needs.as_ref().map(Wire::to_pb),
            knock: self.knock.as_ref().map(Wire::to_pb),
            unfit: all(&self.unfit),
            pending_restart: self.pending_restart.clone(),
            parameters: self.parameters,
            doing: self.doing.clone(),
            lease_left_ms: self.lease_left_ms,
            receipt: self.receipt.as_ref().map(Wire::to_pb),
            doubt: self.doubt.clone(),
            failing: self.failing.as_ref().map(Wire::to_pb),
            found: self.found.as_ref().map(Wire::to_pb),
            stale_coordinators: self.stale_coordinators.clone(),
            unseen: self.unseen.clone(),
        }
    }

    fn from_pb(pb: pb::Report) -> Result<Self, BadMessage> {
        Ok(Report {
            instance: name(pb.instance, "instance")?,
            directory: DirectoryId(pb.directory),
            obeyed: need(pb.obeyed, "obeyed")?,
            incarnation: Incarnation(pb.incarnation),
            server: need(pb.server, "server")?,
            proofs: need(pb.proofs, "proofs")?,
            needs: maybe(pb.needs, "needs")?,
            knock: maybe(pb.knock, "knock")?,
            unfit: each(pb.unfit, "unfit")?,
            pending_restart: pb.pending_restart,
            parameters: pb.parameters,
            doing: pb.doing,
            lease_left_ms: pb.lease_left_ms,
            receipt: maybe(pb.receipt, "receipt")?,
            doubt: pb.doubt,
            failing: maybe(pb.failing, "failing")?,
            found: maybe(pb.found, "found")?,
            stale_coordinators: pb.stale_coordinators,
            unseen: pb.unseen,
        })
    }
}

impl Wire for Found {
    type Pb = pb::Found;

    fn to_pb(&self) -> pb::Found {
        pb::Found {
            system: self.system.0,
            standby: self.standby,
            running: self.running,
            end: self.end.as_ref().map(|(position, _)| position.to_pb()),
            line: self.end.as_ref().map(|(_, line)| line.to_pb()),
            highest: self.highest.0,
            refused: self.refused.clone(),
            notes: self.notes.clone(),
            timeline: self.timeline.map(|timeline| timeline.0),
        }
    }

    fn from_pb(pb: pb::Found) -> Result<Self, BadMessage> {
        let end: Option<Position> = maybe(pb.end, "end")?;
        let line = sound_line(pb.line, "line")?;
        if end.map(|end| end.timeline) != line.as_ref().map(|line| line.timeline) {
            return Err(BadMessage::new("line", "the ancestry of the timeline of 'end' is wanted"));
        }
        Ok(Found {
            system: SystemId(pb.system),
            standby: pb.standby,
            running: pb.running,
            end: end.zip(line),
            highest: TimelineId(pb.highest),
            refused: pb.refused,
            notes: pb.notes,
            timeline: pb.timeline.map(TimelineId),
        })
    }
}

impl Wire for Proofs {
    type Pb = pb::Proofs;

    fn to_pb(&self) -> pb::Proofs {
        pb::Proofs {
            created: self.created.map(|(system, position)| pb::proofs::Created {
                system: system.0,
                position: Some(position.to_pb()),
            }),
            sealed: self.sealed.as_ref().map(Wire::to_pb),
            promoted: self.promoted.as_ref().map(Wire::to_pb),
            opened: self.opened.map(|epoch| epoch.0),
            rule: self.rule.map(|(epoch, number)| pb::proofs::Rule { epoch: epoch.0, number: number.0 }),
            rebuilt: self.rebuilt.map(|incarnation| incarnation.0),
            checkpoint: self.checkpoint.map(|number| number.0),
            restarted: self.restarted.map(|number| number.0),
            judged: self.judged.clone().map(|(number, refused)| Judged { number: number.0, refused }),
            promoted_line: self.promoted_line.as_ref().map(Wire::to_pb),
            noted: self.noted.clone(),
        }
    }

    fn from_pb(pb: pb::Proofs) -> Result<Self, BadMessage> {
        let created = |created: pb::proofs::Created| {
            let position: Position = need(created.position, "created.position")?;
            Ok((SystemId(created.system), position))
        };
        Ok(Proofs {
            created: pb.created.map(created).transpose()?,
            sealed: maybe(pb.sealed, "sealed")?,
            promoted: maybe(pb.promoted, "promoted")?,
            opened: pb.opened.map(Epoch),
            rule: pb.rule.map(|rule| (Epoch(rule.epoch), RuleNumber(rule.number))),
            rebuilt: pb.rebuilt.map(Incarnation),
            checkpoint: pb.checkpoint.map(Revision),
            restarted: pb.restarted.map(Revision),
            judged: pb.judged.map(|judged| (Revision(judged.number), judged.refused)),
            promoted_line: sound_line(pb.promoted_line, "promoted_line")?,
            noted: pb.noted,
        })
    }
}

impl Wire for Seal {
    type Pb = pb::Seal;

    fn to_pb(&self) -> pb::Seal {
        pb::Seal {
            epoch: self.epoch.0,
            position: Some(self.position.to_pb()),
            stopped: self.stopped,
            fork: self.fork.as_ref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: pb::Seal) -> Result<Self, BadMessage> {
        Ok(Seal {
            epoch: Epoch(pb.epoch),
            position: need(pb.position, "position")?,
            stopped: pb.stopped,
            fork: maybe(pb.fork, "fork")?,
        })
    }
}

impl Wire for Promotion {
    type Pb = pb::Promotion;

    fn to_pb(&self) -> pb::Promotion {
        pb::Promotion { epoch: self.epoch.0, parent: self.parent.0, begin: self.begin.0 }
    }

    fn from_pb(pb: pb::Promotion) -> Result<Self, BadMessage> {
        Ok(Promotion { epoch: Epoch(pb.epoch), parent: TimelineId(pb.parent), begin: Lsn(pb.begin) })
    }
}

impl Wire for Rebuild {
    type Pb = i32;

    fn to_pb(&self) -> i32 {
        match self {
            Rebuild::Rewind => pb::Rebuild::Rewind,
            Rebuild::Clone => pb::Rebuild::Clone,
        }
        .into()
    }

    fn from_pb(pb: i32) -> Result<Self, BadMessage> {
        match known(pb.try_into(), "rebuild")? {
            pb::Rebuild::Unspecified => unspecified("rebuild"),
            pb::Rebuild::Rewind => Ok(Rebuild::Rewind),
            pb::Rebuild::Clone => Ok(Rebuild::Clone),
        }
    }
}

impl Wire for Need {
    type Pb = pb::Need;

    fn to_pb(&self) -> pb::Need {
        pb::Need { rebuild: self.rebuild.to_pb(), incarnation: self.incarnation.0, why: self.why.clone() }
    }

    fn from_pb(pb: pb::Need) -> Result<Self, BadMessage> {
        Ok(Need {
            rebuild: Rebuild::from_pb(pb.rebuild)?,
            incarnation: Incarnation(pb.incarnation),
            why: pb.why,
        })
    }
}

impl Wire for Failing {
    type Pb = pb::Failing;

    fn to_pb(&self) -> pb::Failing {
        pb::Failing { times: self.times, clones: self.clones, lines: self.lines.clone() }
    }

    fn from_pb(pb: pb::Failing) -> Result<Self, BadMessage> {
        Ok(Failing { times: pb.times, clones: pb.clones, lines: pb.lines })
    }
}

impl Wire for Knock {
    type Pb = pb::Knock;

    fn to_pb(&self) -> pb::Knock {
        pb::Knock { epoch: self.epoch.0, answered: self.answered, for_ms: self.for_ms }
    }

    fn from_pb(pb: pb::Knock) -> Result<Self, BadMessage> {
        Ok(Knock { epoch: Epoch(pb.epoch), answered: pb.answered, for_ms: pb.for_ms })
    }
}

impl Wire for Unfit {
    type Pb = pb::Unfit;

    fn to_pb(&self) -> pb::Unfit {
        use pb::unfit::{DiskNearlyFull, NotDurable, ParameterTooLow, Reason, ReplayPaused};
        let reason = match self {
            Unfit::ParameterTooLow { name } => {
                Reason::ParameterTooLow(ParameterTooLow { name: name.clone() })
            }
            Unfit::ReplayPaused => Reason::ReplayPaused(ReplayPaused {}),
            Unfit::DiskNearlyFull { free } => Reason::DiskNearlyFull(DiskNearlyFull { free: *free }),
            Unfit::NotDurable { setting } => Reason::NotDurable(NotDurable { setting: setting.clone() }),
        };
        pb::Unfit { reason: Some(reason) }
    }

    fn from_pb(pb: pb::Unfit) -> Result<Self, BadMessage> {
        use pb::unfit::Reason;
        Ok(match super::set(pb.reason, "reason")? {
            Reason::ParameterTooLow(reason) => Unfit::ParameterTooLow { name: reason.name },
            Reason::ReplayPaused(_) => Unfit::ReplayPaused,
            Reason::DiskNearlyFull(reason) => Unfit::DiskNearlyFull { free: reason.free },
            Reason::NotDurable(reason) => Unfit::NotDurable { setting: reason.setting },
        })
    }
}
