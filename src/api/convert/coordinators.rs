//! Changes of the group of coordinators, and how far they are.

use super::ids::name;
use super::{BadMessage, Wire, set};
use crate::admin::{ChangeProgress, CoordinatorChange};
use crate::pb;

impl Wire for CoordinatorChange {
    type Pb = pb::ChangeCoordinatorsRequest;

    fn to_pb(&self) -> pb::ChangeCoordinatorsRequest {
        use pb::change_coordinators_request::{Add, Change, Remove};
        let change = match self {
            CoordinatorChange::Add { machine, address } => {
                Change::Add(Add { machine: machine.to_string(), address: address.clone() })
            }
            CoordinatorChange::Remove { machine } => Change::Remove(Remove { machine: machine.to_string() }),
        };
        pb::ChangeCoordinatorsRequest { change: Some(change) }
    }

    fn from_pb(pb: pb::ChangeCoordinatorsRequest) -> Result<Self, BadMessage> {
        use pb::change_coordinators_request::Change;
        Ok(match set(pb.change, "change")? {
            Change::Add(add) => {
                CoordinatorChange::Add { machine: name(add.machine, "machine")?, address: add.address }
            }
            Change::Remove(remove) => CoordinatorChange::Remove { machine: name(remove.machine, "machine")? },
        })
    }
}

impl Wire for ChangeProgress {
    type Pb = pb::ChangeCoordinatorsReply;

    fn to_pb(&self) -> pb::ChangeCoordinatorsReply {
        use pb::change_coordinators_reply::{Done, Reply};
        let reply = match self {
            ChangeProgress::Doing(stage) => Reply::Doing(stage.clone()),
            ChangeProgress::Done { voters, already } => Reply::Done(Done {
                voters: voters.iter().map(ToString::to_string).collect(),
                already: *already,
            }),
        };
        pb::ChangeCoordinatorsReply { reply: Some(reply) }
    }

    fn from_pb(pb: pb::ChangeCoordinatorsReply) -> Result<Self, BadMessage> {
        use pb::change_coordinators_reply::Reply;
        Ok(match set(pb.reply, "reply")? {
            Reply::Doing(stage) => ChangeProgress::Doing(stage),
            Reply::Done(done) => ChangeProgress::Done {
                voters: done.voters.into_iter().map(|m| name(m, "voters")).collect::<Result<_, _>>()?,
                already: done.already,
            },
        })
    }
}
