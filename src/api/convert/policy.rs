//! What the operator wants of a cluster, and the secrets that come with it.

use super::{BadMessage, Wire, known, maybe, unspecified};
use crate::pb;
use interrex_cluster::record::Secrets;
use interrex_cluster::spec::{OnCrash, Spec, Timeouts, WhenAlone};

impl Wire for Spec {
    type Pb = pb::Spec;

    fn to_pb(&self) -> pb::Spec {
        pb::Spec {
            instances: self.instances,
            acks: self.acks,
            min_acks: self.min_acks,
            when_alone: match self.when_alone {
                WhenAlone::Continue => pb::WhenAlone::Continue,
                WhenAlone::Block => pb::WhenAlone::Block,
            }
            .into(),
            max_data_loss: self.max_data_loss,
            on_crash: match self.on_crash {
                OnCrash::Failover => pb::OnCrash::Failover,
                OnCrash::Restart => pb::OnCrash::Restart,
            }
            .into(),
            timeouts: (self.timeouts != Timeouts::default()).then(|| self.timeouts.to_pb()),
            parameters: self.parameters.clone(),
        }
    }

    fn from_pb(pb: pb::Spec) -> Result<Self, BadMessage> {
        Ok(Spec {
            instances: pb.instances,
            acks: pb.acks,
            min_acks: pb.min_acks,
            when_alone: match known(pb.when_alone.try_into(), "when_alone")? {
                pb::WhenAlone::Unspecified => return unspecified("when_alone"),
                pb::WhenAlone::Continue => WhenAlone::Continue,
                pb::WhenAlone::Block => WhenAlone::Block,
            },
            max_data_loss: pb.max_data_loss,
            on_crash: match known(pb.on_crash.try_into(), "on_crash")? {
                pb::OnCrash::Unspecified => return unspecified("on_crash"),
                pb::OnCrash::Failover => OnCrash::Failover,
                pb::OnCrash::Restart => OnCrash::Restart,
            },
            timeouts: maybe(pb.timeouts, "timeouts")?.unwrap_or_default(),
            parameters: pb.parameters,
        })
    }
}

impl Wire for Timeouts {
    type Pb = pb::Timeouts;

    fn to_pb(&self) -> pb::Timeouts {
        pb::Timeouts {
            suspect_after_ms: self.suspect_after_ms,
            hung_after_ms: self.hung_after_ms,
            leaves_after_ms: self.leaves_after_ms,
            alone_after_ms: self.alone_after_ms,
        }
    }

    fn from_pb(pb: pb::Timeouts) -> Result<Self, BadMessage> {
        Ok(Timeouts {
            suspect_after_ms: pb.suspect_after_ms,
            hung_after_ms: pb.hung_after_ms,
            leaves_after_ms: pb.leaves_after_ms,
            alone_after_ms: pb.alone_after_ms,
        })
    }
}

/// An application's role: name and password.
impl Wire for (String, String) {
    type Pb = pb::Owner;

    fn to_pb(&self) -> pb::Owner {
        pb::Owner { name: self.0.clone(), password: self.1.clone() }
    }

    fn from_pb(pb: pb::Owner) -> Result<Self, BadMessage> {
        Ok((pb.name, pb.password))
    }
}

impl Wire for Secrets {
    type Pb = pb::Secrets;

    fn to_pb(&self) -> pb::Secrets {
        pb::Secrets {
            superuser: self.superuser.clone(),
            replication: self.replication.clone(),
            owner: self.owner.as_ref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: pb::Secrets) -> Result<Self, BadMessage> {
        Ok(Secrets { superuser: pb.superuser, replication: pb.replication, owner: maybe(pb.owner, "owner")? })
    }
}
