//! The PostgreSQL server as its agent sees it.

use super::ids::{maybe_name, name};
use super::{BadMessage, Wire, all, each, maybe, set};
use crate::pb;
use interrex_cluster::ids::{Incarnation, SystemId};
use interrex_cluster::report::{Primary, Receiver, Sender, Server, Standby};
use interrex_cluster::wal::{Lsn, TimelineId};

impl Wire for Server {
    type Pb = pb::ServerState;

    fn to_pb(&self) -> pb::ServerState {
        use pb::server_state::{NoData, Silent, Starting, State, Stopped};
        let state = match self {
            Server::NoData => State::NoData(NoData {}),
            Server::Stopped { system, exit } => {
                State::Stopped(Stopped { system: system.0, exit: exit.clone() })
            }
            Server::Starting { system } => State::Starting(Starting { system: system.0 }),
            Server::Silent { for_ms, why } => State::Silent(Silent { for_ms: *for_ms, why: why.clone() }),
            Server::Standby(standby) => State::Standby(standby.to_pb()),
            Server::Primary(primary) => State::Primary(primary.to_pb()),
        };
        pb::ServerState { state: Some(state) }
    }

    fn from_pb(pb: pb::ServerState) -> Result<Self, BadMessage> {
        use pb::server_state::State;
        Ok(match set(pb.state, "state")? {
            State::NoData(_) => Server::NoData,
            State::Stopped(stopped) => {
                Server::Stopped { system: SystemId(stopped.system), exit: stopped.exit }
            }
            State::Starting(starting) => Server::Starting { system: SystemId(starting.system) },
            State::Silent(silent) => Server::Silent { for_ms: silent.for_ms, why: silent.why },
            State::Standby(standby) => {
                Server::Standby(Standby::from_pb(standby).map_err(|bad| bad.under("standby"))?)
            }
            State::Primary(primary) => {
                Server::Primary(Primary::from_pb(primary).map_err(|bad| bad.under("primary"))?)
            }
        })
    }
}

impl Wire for Standby {
    type Pb = pb::StandbyServer;

    fn to_pb(&self) -> pb::StandbyServer {
        pb::StandbyServer {
            system: self.system.0,
            replayed: self.replayed.0,
            receiver: self.receiver.as_ref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: pb::StandbyServer) -> Result<Self, BadMessage> {
        Ok(Standby {
            system: SystemId(pb.system),
            replayed: Lsn(pb.replayed),
            receiver: maybe(pb.receiver, "receiver")?,
        })
    }
}

impl Wire for Receiver {
    type Pb = pb::Receiver;

    fn to_pb(&self) -> pb::Receiver {
        pb::Receiver {
            upstream: self.upstream.as_ref().map(ToString::to_string),
            streaming: self.streaming,
            timeline: self.timeline.0,
            flushed: self.flushed.0,
            quiet_ms: self.quiet_ms,
        }
    }

    fn from_pb(pb: pb::Receiver) -> Result<Self, BadMessage> {
        Ok(Receiver {
            upstream: maybe_name(pb.upstream, "upstream")?,
            streaming: pb.streaming,
            timeline: TimelineId(pb.timeline),
            flushed: Lsn(pb.flushed),
            quiet_ms: pb.quiet_ms,
        })
    }
}

impl Wire for Primary {
    type Pb = pb::PrimaryServer;

    fn to_pb(&self) -> pb::PrimaryServer {
        pb::PrimaryServer {
            system: self.system.0,
            timeline: self.timeline.0,
            flushed: self.flushed.0,
            senders: all(&self.senders),
            open: self.open,
            beat_age_ms: self.beat_age_ms,
        }
    }

    fn from_pb(pb: pb::PrimaryServer) -> Result<Self, BadMessage> {
        Ok(Primary {
            system: SystemId(pb.system),
            timeline: TimelineId(pb.timeline),
            flushed: Lsn(pb.flushed),
            senders: each(pb.senders, "senders")?,
            open: pb.open,
            beat_age_ms: pb.beat_age_ms,
        })
    }
}

impl Wire for Sender {
    type Pb = pb::Sender;

    fn to_pb(&self) -> pb::Sender {
        pb::Sender {
            instance: self.instance.to_string(),
            incarnation: self.incarnation.0,
            streaming: self.streaming,
            flushed: self.flushed.0,
            replayed: self.replayed.0,
            reply_age_ms: self.reply_age_ms,
            behind_ms: self.behind_ms,
        }
    }

    fn from_pb(pb: pb::Sender) -> Result<Self, BadMessage> {
        Ok(Sender {
            instance: name(pb.instance, "instance")?,
            incarnation: Incarnation(pb.incarnation),
            streaming: pb.streaming,
            flushed: Lsn(pb.flushed),
            replayed: Lsn(pb.replayed),
            reply_age_ms: pb.reply_age_ms,
            behind_ms: pb.behind_ms,
        })
    }
}
