//! What operators and their tools ask.

use super::ids::{maybe_name, name, names, texts};
use super::{BadMessage, Wire, maybe, need};
use crate::admin::{
    ConnectionInfo, Coordinator, CreateCluster, Created, EventsRequest, Explanation, FailoverReply,
    FailoverRequest, NewOwner, SetSpecRequest, SwitchoverRequest,
};
use crate::pb;
use interrex_cluster::ids::{ClusterId, Epoch};

impl Wire for CreateCluster {
    type Pb = pb::CreateClusterRequest;

    fn to_pb(&self) -> pb::CreateClusterRequest {
        pb::CreateClusterRequest {
            name: self.name.to_string(),
            spec: Some(self.spec.to_pb()),
            owner: self.owner.as_ref().map(|owner| owner.name.clone()),
            owner_password: self.owner.as_ref().and_then(|owner| owner.password.clone()),
            adopt: self.adopt.as_ref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: pb::CreateClusterRequest) -> Result<Self, BadMessage> {
        if pb.owner.is_none() && pb.owner_password.is_some() {
            return Err(BadMessage::new("owner", "missing, although owner_password is set"));
        }
        if pb.owner.is_some() && pb.adopt.is_some() {
            return Err(BadMessage::new(
                "owner",
                "is made with a new cluster only; one that is adopted has its roles",
            ));
        }
        Ok(CreateCluster {
            name: name(pb.name, "name")?,
            spec: need(pb.spec, "spec")?,
            owner: pb.owner.map(|name| NewOwner { name, password: pb.owner_password }),
            adopt: maybe(pb.adopt, "adopt")?,
        })
    }
}

impl Wire for Created {
    type Pb = pb::CreateClusterReply;

    fn to_pb(&self) -> pb::CreateClusterReply {
        pb::CreateClusterReply { id: self.id.0, owner: self.owner.as_ref().map(Wire::to_pb) }
    }

    fn from_pb(pb: pb::CreateClusterReply) -> Result<Self, BadMessage> {
        Ok(Created { id: ClusterId(pb.id), owner: maybe(pb.owner, "owner")? })
    }
}

impl Wire for ConnectionInfo {
    type Pb = pb::ConnectionInfoReply;

    fn to_pb(&self) -> pb::ConnectionInfoReply {
        pb::ConnectionInfoReply {
            hosts: self
                .hosts
                .iter()
                .map(|(instance, address)| pb::Peer {
                    instance: instance.to_string(),
                    address: Some(address.to_pb()),
                })
                .collect(),
            primary_first: self.primary_first,
            user: self.user.clone(),
            password: self.password.clone(),
        }
    }

    fn from_pb(pb: pb::ConnectionInfoReply) -> Result<Self, BadMessage> {
        let mut hosts = Vec::new();
        for (i, host) in pb.hosts.into_iter().enumerate() {
            let under = |field: &str| format!("hosts[{i}].{field}");
            hosts.push((name(host.instance, &under("instance"))?, need(host.address, &under("address"))?));
        }
        Ok(ConnectionInfo { hosts, primary_first: pb.primary_first, user: pb.user, password: pb.password })
    }
}

impl Wire for EventsRequest {
    type Pb = pb::EventsRequest;

    fn to_pb(&self) -> pb::EventsRequest {
        pb::EventsRequest {
            cluster: self.cluster.as_ref().map(ToString::to_string),
            after: self.after,
            follow: self.follow,
        }
    }

    fn from_pb(pb: pb::EventsRequest) -> Result<Self, BadMessage> {
        Ok(EventsRequest { cluster: maybe_name(pb.cluster, "cluster")?, after: pb.after, follow: pb.follow })
    }
}

impl Wire for Explanation {
    type Pb = pb::ExplainReply;

    fn to_pb(&self) -> pb::ExplainReply {
        pb::ExplainReply { lines: self.lines.clone(), status: Some(self.status.to_pb()) }
    }

    fn from_pb(pb: pb::ExplainReply) -> Result<Self, BadMessage> {
        Ok(Explanation { lines: pb.lines, status: need(pb.status, "status")? })
    }
}

impl Wire for FailoverRequest {
    type Pb = pb::FailoverRequest;

    fn to_pb(&self) -> pb::FailoverRequest {
        pb::FailoverRequest {
            name: self.name.to_string(),
            to: self.to.as_ref().map(ToString::to_string),
            dry_run: self.dry_run,
            accept_loss: self.accept_loss,
            fenced: texts(&self.fenced),
        }
    }

    fn from_pb(pb: pb::FailoverRequest) -> Result<Self, BadMessage> {
        if !pb.accept_loss && !pb.fenced.is_empty() {
            return Err(BadMessage::new("fenced", "means something only together with accept_loss"));
        }
        Ok(FailoverRequest {
            name: name(pb.name, "name")?,
            to: maybe_name(pb.to, "to")?,
            dry_run: pb.dry_run,
            accept_loss: pb.accept_loss,
            fenced: names(pb.fenced, "fenced")?,
        })
    }
}

impl Wire for SwitchoverRequest {
    type Pb = pb::SwitchoverRequest;

    fn to_pb(&self) -> pb::SwitchoverRequest {
        pb::SwitchoverRequest {
            name: self.name.to_string(),
            to: self.to.as_ref().map(ToString::to_string),
            dry_run: self.dry_run,
        }
    }

    fn from_pb(pb: pb::SwitchoverRequest) -> Result<Self, BadMessage> {
        Ok(SwitchoverRequest {
            name: name(pb.name, "name")?,
            to: maybe_name(pb.to, "to")?,
            dry_run: pb.dry_run,
        })
    }
}

impl Wire for SetSpecRequest {
    type Pb = pb::SetSpecRequest;

    fn to_pb(&self) -> pb::SetSpecRequest {
        let change = |(key, value): &(String, String)| pb::set_spec_request::Change {
            key: key.clone(),
            value: value.clone(),
        };
        pb::SetSpecRequest { name: self.name.to_string(), changes: self.changes.iter().map(change).collect() }
    }

    fn from_pb(pb: pb::SetSpecRequest) -> Result<Self, BadMessage> {
        let changes = pb.changes.into_iter().map(|change| (change.key, change.value)).collect();
        Ok(SetSpecRequest { name: name(pb.name, "name")?, changes })
    }
}

impl Wire for FailoverReply {
    type Pb = pb::FailoverReply;

    fn to_pb(&self) -> pb::FailoverReply {
        pb::FailoverReply {
            accepted: self.accepted,
            epoch: self.epoch.0,
            would_win: self.would_win.as_ref().map(ToString::to_string),
            refusals: self.refusals.clone(),
            waits: self.waits.clone(),
            expected: self.expected.clone(),
            may_lose: self.may_lose.clone(),
        }
    }

    fn from_pb(pb: pb::FailoverReply) -> Result<Self, BadMessage> {
        Ok(FailoverReply {
            accepted: pb.accepted,
            epoch: Epoch(pb.epoch),
            would_win: maybe_name(pb.would_win, "would_win")?,
            refusals: pb.refusals,
            waits: pb.waits,
            expected: pb.expected,
            may_lose: pb.may_lose,
        })
    }
}

impl Wire for Coordinator {
    type Pb = pb::Coordinator;

    fn to_pb(&self) -> pb::Coordinator {
        pb::Coordinator {
            machine: self.machine.to_string(),
            address: self.address.clone(),
            raft_id: self.raft_id,
            voter: self.voter,
            leader: self.leader,
            heard_ms: self.heard_ms,
            reads_level: self.reads_level,
        }
    }

    fn from_pb(pb: pb::Coordinator) -> Result<Self, BadMessage> {
        Ok(Coordinator {
            machine: name(pb.machine, "machine")?,
            address: pb.address,
            raft_id: pb.raft_id,
            voter: pb.voter,
            leader: pb.leader,
            heard_ms: pb.heard_ms,
            reads_level: pb.reads_level,
        })
    }
}
