//! A longer change of a cluster, and how far it has come.

use super::ids::{maybe_name, name, names, texts};
use super::{BadMessage, Wire, maybe, need, set, unique};
use crate::pb;
use interrex_cluster::ids::{Epoch, Revision};
use interrex_cluster::record::{
    Adoption, Failover, Fetch, FetchEnd, HandOver, Operation, PhaseTimes, Switchover,
};
use interrex_cluster::time::WallMs;

impl Wire for Operation {
    type Pb = pb::Operation;

    fn to_pb(&self) -> pb::Operation {
        use pb::operation::{Bootstrap, Gather, Operation as Pb, Steady};
        let operation = match self {
            Operation::Gather => Pb::Gather(Gather {}),
            Operation::Bootstrap { on } => Pb::Bootstrap(Bootstrap { on: on.to_string() }),
            Operation::None => Pb::Steady(Steady {}),
            Operation::Failover(failover) => Pb::Failover(failover.to_pb()),
            Operation::Switchover(switchover) => Pb::Switchover(pb::operation::Switchover {
                to: switchover.to.to_string(),
                checkpoint: switchover.checkpoint.0,
            }),
            Operation::Adopt(adoption) => Pb::Adopt(pb::operation::Adoption {
                take_over: adoption.take_over,
                stop: texts(&adoption.stop),
            }),
        };
        pb::Operation { operation: Some(operation) }
    }

    fn from_pb(pb: pb::Operation) -> Result<Self, BadMessage> {
        use pb::operation::Operation as Pb;
        Ok(match set(pb.operation, "operation")? {
            Pb::Gather(_) => Operation::Gather,
            Pb::Bootstrap(bootstrap) => Operation::Bootstrap { on: name(bootstrap.on, "bootstrap.on")? },
            Pb::Steady(_) => Operation::None,
            Pb::Failover(failover) => {
                Operation::Failover(Failover::from_pb(failover).map_err(|bad| bad.under("failover"))?)
            }
            Pb::Switchover(pb) => Operation::Switchover(Switchover {
                to: name(pb.to, "switchover.to")?,
                checkpoint: Revision(pb.checkpoint),
            }),
            Pb::Adopt(pb) => {
                Operation::Adopt(Adoption { take_over: pb.take_over, stop: names(pb.stop, "adopt.stop")? })
            }
        })
    }
}

impl Wire for Failover {
    type Pb = pb::operation::Failover;

    fn to_pb(&self) -> Self::Pb {
        use pb::operation::failover::{LossAccepted, Sealed};
        pb::operation::Failover {
            from: self.from.as_ref().map(ToString::to_string),
            reason: self.reason.clone(),
            wanted: self.wanted.as_ref().map(ToString::to_string),
            seals: self
                .seals
                .iter()
                .map(|(instance, seal)| Sealed { instance: instance.to_string(), seal: Some(seal.to_pb()) })
                .collect(),
            astray: texts(&self.astray),
            loss_accepted: self.loss_accepted.as_ref().map(|fenced| LossAccepted { fenced: texts(fenced) }),
            begun_ms: self.times.begun.0,
            sealed_ms: self.times.sealed.0,
            elected_ms: self.times.elected.0,
            promoted_ms: self.times.promoted.0,
            hand_over: self.hand_over.as_ref().map(|hand_over| pb::operation::HandOver {
                to: hand_over.to.to_string(),
                epoch: hand_over.epoch.0,
            }),
            fetch: self.fetch.as_deref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: Self::Pb) -> Result<Self, BadMessage> {
        let mut seals = Vec::new();
        for (i, sealed) in pb.seals.into_iter().enumerate() {
            let under = |field: &str| format!("seals[{i}].{field}");
            seals.push((name(sealed.instance, &under("instance"))?, need(sealed.seal, &under("seal"))?));
        }
        Ok(Failover {
            from: maybe_name(pb.from, "from")?,
            reason: pb.reason,
            wanted: maybe_name(pb.wanted, "wanted")?,
            hand_over: pb
                .hand_over
                .map(|pb| Ok(HandOver { to: name(pb.to, "hand_over.to")?, epoch: Epoch(pb.epoch) }))
                .transpose()?,
            seals: unique(seals, "seals")?,
            astray: names(pb.astray, "astray")?,
            loss_accepted: pb
                .loss_accepted
                .map(|loss| names(loss.fenced, "loss_accepted.fenced"))
                .transpose()?,
            fetch: maybe(pb.fetch, "fetch")?.map(Box::new),
            times: PhaseTimes {
                begun: WallMs(pb.begun_ms),
                sealed: WallMs(pb.sealed_ms),
                elected: WallMs(pb.elected_ms),
                promoted: WallMs(pb.promoted_ms),
            },
        })
    }
}

impl Wire for Fetch {
    type Pb = pb::operation::Fetch;

    fn to_pb(&self) -> Self::Pb {
        pb::operation::Fetch {
            to: self.to.to_string(),
            from: self.from.to_string(),
            until: Some(self.until.to_pb()),
            told: self.end.map(|end| end == FetchEnd::Told),
        }
    }

    fn from_pb(pb: Self::Pb) -> Result<Self, BadMessage> {
        Ok(Fetch {
            to: name(pb.to, "to")?,
            from: name(pb.from, "from")?,
            until: need(pb.until, "until")?,
            end: pb.told.map(|told| if told { FetchEnd::Told } else { FetchEnd::GivenUp }),
        })
    }
}
