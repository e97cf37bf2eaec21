//! What agents and coordinators say to each other.

use super::ids::name;
use super::{BadMessage, Wire, maybe, need, set, unique};
use crate::pb;
use crate::session::{
    GoalUpdate, LeaderHint, LeaseGrant, PrimaryPlace, RegisterRequest, Registered, ReportRequest, Reported,
    Roster, RosterId, Serial, WatchRequest, Welcome,
};
use interrex_cluster::command::Registration;
use interrex_cluster::ids::{ClusterId, DirectoryId, Epoch, Incarnation, InstanceName, MachineName};
use interrex_cluster::record::Address;
use std::collections::BTreeMap;
use std::time::Duration;

impl Wire for RegisterRequest {
    type Pb = pb::RegisterRequest;

    fn to_pb(&self) -> pb::RegisterRequest {
        pb::RegisterRequest {
            cluster: self.cluster.to_string(),
            registration: Some(self.registration.to_pb()),
            serial: Some(self.serial.to_pb()),
            obeyed: self.obeyed.as_ref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: pb::RegisterRequest) -> Result<Self, BadMessage> {
        let registration: Registration = need(pb.registration, "registration")?;
        Ok(RegisterRequest {
            cluster: name(pb.cluster, "cluster")?,
            // Only the leader knows how long the other directory was silent; an agent's word on it is void.
            registration: Registration { replaces: None, ..registration },
            serial: need(pb.serial, "serial")?,
            obeyed: maybe(pb.obeyed, "obeyed")?,
        })
    }
}

impl Wire for Serial {
    type Pb = pb::Serial;

    fn to_pb(&self) -> pb::Serial {
        pb::Serial { start: self.start, run: self.run, number: self.number }
    }

    fn from_pb(pb: pb::Serial) -> Result<Self, BadMessage> {
        Ok(Serial { start: pb.start, run: pb.run, number: pb.number })
    }
}

impl Wire for Registered {
    type Pb = pb::RegisterReply;

    fn to_pb(&self) -> pb::RegisterReply {
        use pb::register_reply::{Reply, Waiting};
        let reply = match self {
            Registered::Waiting { why, roster } => {
                Reply::Waiting(Waiting { why: why.clone(), roster: roster.as_ref().map(Wire::to_pb) })
            }
            Registered::Welcome(welcome) => Reply::Welcome(welcome.to_pb()),
        };
        pb::RegisterReply { reply: Some(reply) }
    }

    fn from_pb(pb: pb::RegisterReply) -> Result<Self, BadMessage> {
        use pb::register_reply::Reply;
        Ok(match set(pb.reply, "reply")? {
            Reply::Waiting(waiting) => {
                Registered::Waiting { why: waiting.why, roster: maybe(waiting.roster, "waiting.roster")? }
            }
            Reply::Welcome(welcome) => {
                Registered::Welcome(Box::new(Welcome::from_pb(welcome).map_err(|bad| bad.under("welcome"))?))
            }
        })
    }
}

impl Wire for Welcome {
    type Pb = pb::register_reply::Welcome;

    fn to_pb(&self) -> Self::Pb {
        pb::register_reply::Welcome {
            cluster_id: self.cluster_id.0,
            floor: Some(self.floor.to_pb()),
            goal: Some(self.goal.to_pb()),
            secrets: Some(self.secrets.to_pb()),
            peers: peers_to_pb(&self.peers),
            told: self.told.map(|(incarnation, position)| pb::register_reply::Told {
                incarnation: incarnation.0,
                position: Some(position.to_pb()),
            }),
            group: self.group.unwrap_or_default(),
            roster: self.roster.as_ref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: Self::Pb) -> Result<Self, BadMessage> {
        let told = |told: pb::register_reply::Told| {
            Ok((Incarnation(told.incarnation), need(told.position, "told.position")?))
        };
        Ok(Welcome {
            told: pb.told.map(told).transpose()?,
            cluster_id: ClusterId(pb.cluster_id),
            floor: need(pb.floor, "floor")?,
            goal: need(pb.goal, "goal")?,
            secrets: need(pb.secrets, "secrets")?,
            peers: peers_from_pb(pb.peers)?,
            group: group(pb.group),
            roster: maybe(pb.roster, "roster")?,
        })
    }
}

/// No group has the number 0.
fn group(pb: u64) -> Option<u64> {
    (pb != 0).then_some(pb)
}

fn peers_to_pb(peers: &BTreeMap<InstanceName, Address>) -> Vec<pb::Peer> {
    let peer = |(instance, address): (&InstanceName, &Address)| pb::Peer {
        instance: instance.to_string(),
        address: Some(address.to_pb()),
    };
    peers.iter().map(peer).collect()
}

fn peers_from_pb(pbs: Vec<pb::Peer>) -> Result<BTreeMap<InstanceName, Address>, BadMessage> {
    let mut peers = Vec::new();
    for (i, peer) in pbs.into_iter().enumerate() {
        let under = |field: &str| format!("peers[{i}].{field}");
        peers.push((name(peer.instance, &under("instance"))?, need(peer.address, &under("address"))?));
    }
    unique(peers, "peers")
}

impl Wire for ReportRequest {
    type Pb = pb::ReportRequest;

    fn to_pb(&self) -> pb::ReportRequest {
        pb::ReportRequest {
            cluster: self.cluster.to_string(),
            report: Some(self.report.to_pb()),
            wants_lease: self.wants_lease.map(|epoch| epoch.0),
            serial: Some(self.serial.to_pb()),
            age_ms: u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX),
            knows: self.knows.as_ref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: pb::ReportRequest) -> Result<Self, BadMessage> {
        Ok(ReportRequest {
            cluster: name(pb.cluster, "cluster")?,
            report: need(pb.report, "report")?,
            wants_lease: pb.wants_lease.map(Epoch),
            serial: need(pb.serial, "serial")?,
            age: Duration::from_millis(pb.age_ms),
            knows: maybe(pb.knows, "knows")?,
        })
    }
}

impl Wire for Reported {
    type Pb = pb::ReportReply;

    fn to_pb(&self) -> pb::ReportReply {
        pb::ReportReply {
            leader: self.leader.as_ref().map(Wire::to_pb),
            lease: self.lease.as_ref().map(Wire::to_pb),
            roster: self.roster.as_ref().map(Wire::to_pb),
            group: self.group.unwrap_or_default(),
            another_leads: self.another_leads,
        }
    }

    fn from_pb(pb: pb::ReportReply) -> Result<Self, BadMessage> {
        Ok(Reported {
            leader: maybe(pb.leader, "leader")?,
            lease: maybe(pb.lease, "lease")?,
            roster: maybe(pb.roster, "roster")?,
            group: group(pb.group),
            another_leads: pb.another_leads,
        })
    }
}

impl Wire for RosterId {
    type Pb = pb::RosterId;

    fn to_pb(&self) -> pb::RosterId {
        pb::RosterId { group: self.group, index: self.index }
    }

    fn from_pb(pb: pb::RosterId) -> Result<Self, BadMessage> {
        Ok(RosterId { group: pb.group, index: pb.index })
    }
}

impl Wire for Roster {
    type Pb = pb::Roster;

    fn to_pb(&self) -> pb::Roster {
        let one = |(machine, address): (&MachineName, &String)| pb::LeaderHint {
            machine: machine.to_string(),
            address: address.clone(),
        };
        let coordinators = self.coordinators.iter().map(one).collect();
        let replaced = self.replaced.iter().copied().collect();
        pb::Roster { id: Some(self.id.to_pb()), coordinators, replaced }
    }

    fn from_pb(pb: pb::Roster) -> Result<Self, BadMessage> {
        let one = |at: pb::LeaderHint| Ok((name(at.machine, "coordinators.machine")?, at.address));
        let coordinators = pb.coordinators.into_iter().map(one).collect::<Result<Vec<_>, BadMessage>>()?;
        Ok(Roster {
            id: need(pb.id, "id")?,
            coordinators: unique(coordinators, "coordinators")?,
            replaced: pb.replaced.into_iter().collect(),
        })
    }
}

impl Wire for LeaseGrant {
    type Pb = pb::report_reply::Lease;

    /// A lease is rounded down to whole milliseconds: nobody serves longer than was granted.
    fn to_pb(&self) -> Self::Pb {
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        pb::report_reply::Lease { epoch: self.epoch.0, ttl_ms }
    }

    fn from_pb(pb: Self::Pb) -> Result<Self, BadMessage> {
        Ok(LeaseGrant { epoch: Epoch(pb.epoch), ttl: Duration::from_millis(pb.ttl_ms) })
    }
}

impl Wire for LeaderHint {
    type Pb = pb::LeaderHint;

    fn to_pb(&self) -> pb::LeaderHint {
        pb::LeaderHint { machine: self.machine.to_string(), address: self.address.clone() }
    }

    fn from_pb(pb: pb::LeaderHint) -> Result<Self, BadMessage> {
        Ok(LeaderHint { machine: name(pb.machine, "machine")?, address: pb.address })
    }
}

impl Wire for WatchRequest {
    type Pb = pb::WatchRequest;

    fn to_pb(&self) -> pb::WatchRequest {
        pb::WatchRequest {
            cluster: self.cluster.to_string(),
            instance: self.instance.to_string(),
            directory: self.directory.0.clone(),
        }
    }

    fn from_pb(pb: pb::WatchRequest) -> Result<Self, BadMessage> {
        Ok(WatchRequest {
            cluster: name(pb.cluster, "cluster")?,
            instance: name(pb.instance, "instance")?,
            directory: DirectoryId(pb.directory),
        })
    }
}

impl Wire for GoalUpdate {
    type Pb = pb::watch_reply::Update;

    fn to_pb(&self) -> Self::Pb {
        pb::watch_reply::Update {
            goal: self.goal.as_ref().map(Wire::to_pb),
            peers: peers_to_pb(&self.peers),
            primary: self.primary.as_ref().map(Wire::to_pb),
            whole: self.whole,
            group: self.group.unwrap_or_default(),
        }
    }

    fn from_pb(pb: Self::Pb) -> Result<Self, BadMessage> {
        Ok(GoalUpdate {
            goal: maybe(pb.goal, "goal")?,
            peers: peers_from_pb(pb.peers)?,
            primary: maybe(pb.primary, "primary")?,
            whole: pb.whole,
            group: group(pb.group),
        })
    }
}

impl Wire for PrimaryPlace {
    type Pb = pb::watch_reply::Primary;

    fn to_pb(&self) -> Self::Pb {
        pb::watch_reply::Primary {
            instance: self.instance.to_string(),
            epoch: self.epoch.0,
            address: Some(self.address.to_pb()),
        }
    }

    fn from_pb(pb: Self::Pb) -> Result<Self, BadMessage> {
        Ok(PrimaryPlace {
            instance: name(pb.instance, "instance")?,
            epoch: Epoch(pb.epoch),
            address: need(pb.address, "address")?,
        })
    }
}
