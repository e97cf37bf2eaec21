//! The record of one cluster, as snapshots hold it. The operation under way is in [`super::operation`].

use super::ids::{name, names, texts};
use super::{BadMessage, Wire, all, each, maybe, narrow, need, set, unique};
use crate::pb;
use interrex_cluster::ids::{
    ClusterId, DirectoryId, Epoch, Incarnation, InstanceName, Revision, RuleNumber, SystemId,
};
use interrex_cluster::record::{
    Asked, Cluster, CommitRule, Copy, Fork, Instance, Override, Proposed, Reign, Removed, SyncTarget,
};
use interrex_cluster::report::Rebuild;
use interrex_cluster::time::WallMs;
use interrex_cluster::wal::{Lsn, TimelineId};

impl Wire for Cluster {
    type Pb = pb::Cluster;

    fn to_pb(&self) -> pb::Cluster {
        pb::Cluster {
            name: self.name.to_string(),
            id: self.id.0,
            spec: Some(self.spec.to_pb()),
            secrets: Some(self.secrets.to_pb()),
            system: self.system.map(|system| system.0),
            epoch: self.epoch.0,
            revision: self.revision.0,
            primary: self.primary.as_ref().map(Wire::to_pb),
            operation: Some(self.operation.to_pb()),
            rules: all(&self.rules),
            sync: Some(self.sync.to_pb()),
            instances: self.instances.iter().map(member_to_pb).collect(),
            timelines: all(&self.timelines),
            paused: self.paused,
            overrides: all(&self.overrides),
            receipts: all(&self.receipts),
            proposed: self.proposed.as_ref().map(Wire::to_pb),
            removed: self.removed.iter().map(removed_to_pb).collect(),
        }
    }

    fn from_pb(pb: pb::Cluster) -> Result<Self, BadMessage> {
        let mut instances = Vec::new();
        for (i, member) in pb.instances.into_iter().enumerate() {
            instances.push(member_from_pb(member).map_err(|bad| bad.under(&format!("instances[{i}]")))?);
        }
        let mut removed = Vec::new();
        for (i, one) in pb.removed.into_iter().enumerate() {
            let left =
                Removed { directory: DirectoryId(one.directory), incarnation: Incarnation(one.incarnation) };
            removed.push((name(one.instance, &format!("removed[{i}].instance"))?, left));
        }
        Ok(Cluster {
            name: name(pb.name, "name")?,
            id: ClusterId(pb.id),
            spec: need(pb.spec, "spec")?,
            secrets: need(pb.secrets, "secrets")?,
            system: pb.system.map(SystemId),
            epoch: Epoch(pb.epoch),
            revision: Revision(pb.revision),
            primary: maybe(pb.primary, "primary")?,
            operation: need(pb.operation, "operation")?,
            rules: each(pb.rules, "rules")?,
            sync: need(pb.sync, "sync")?,
            instances: unique(instances, "instances")?,
            timelines: each(pb.timelines, "timelines")?,
            paused: pb.paused,
            overrides: each(pb.overrides, "overrides")?,
            receipts: each(pb.receipts, "receipts")?,
            proposed: maybe(pb.proposed, "proposed")?,
            removed: unique(removed, "removed")?,
        })
    }
}

fn removed_to_pb((name, removed): (&InstanceName, &Removed)) -> pb::Removed {
    pb::Removed {
        instance: name.to_string(),
        directory: removed.directory.0.clone(),
        incarnation: removed.incarnation.0,
    }
}

fn member_to_pb((name, member): (&InstanceName, &Instance)) -> pb::Instance {
    pb::Instance {
        name: name.to_string(),
        machine: member.machine.to_string(),
        zone: member.zone.clone(),
        directory: member.directory.0.clone(),
        address: Some(member.address.to_pb()),
        priority: member.priority.map(u32::from),
        major: member.major,
        incarnation: member.incarnation.0,
        copy: Some(member.copy.to_pb()),
        held: member.held.as_ref().map(Wire::to_pb),
        asked: member.asked.as_ref().map(Wire::to_pb),
    }
}

fn member_from_pb(pb: pb::Instance) -> Result<(InstanceName, Instance), BadMessage> {
    let member = Instance {
        machine: name(pb.machine, "machine")?,
        zone: pb.zone,
        directory: DirectoryId(pb.directory),
        address: need(pb.address, "address")?,
        priority: pb.priority.map(|priority| narrow(priority, "priority")).transpose()?,
        major: pb.major,
        incarnation: Incarnation(pb.incarnation),
        copy: need(pb.copy, "copy")?,
        held: maybe(pb.held, "held")?,
        asked: maybe(pb.asked, "asked")?,
    };
    Ok((name(pb.name, "name")?, member))
}

impl Wire for Asked {
    type Pb = pb::Asked;

    fn to_pb(&self) -> pb::Asked {
        use pb::asked::{Asked as Pb, Leave, Reinit, Restart};
        let asked = match self {
            Asked::Restart { number } => Pb::Restart(Restart { number: number.0 }),
            Asked::Reinit { discard_old } => Pb::Reinit(Reinit { discard_old: *discard_old }),
            Asked::Leave => Pb::Leave(Leave {}),
        };
        pb::Asked { asked: Some(asked) }
    }

    fn from_pb(pb: pb::Asked) -> Result<Self, BadMessage> {
        use pb::asked::Asked as Pb;
        Ok(match set(pb.asked, "asked")? {
            Pb::Restart(asked) => Asked::Restart { number: Revision(asked.number) },
            Pb::Reinit(asked) => Asked::Reinit { discard_old: asked.discard_old },
            Pb::Leave(_) => Asked::Leave,
        })
    }
}

impl Wire for Proposed {
    type Pb = pb::Proposed;

    fn to_pb(&self) -> pb::Proposed {
        pb::Proposed { number: self.number.0, spec: Some(self.spec.to_pb()) }
    }

    fn from_pb(pb: pb::Proposed) -> Result<Self, BadMessage> {
        Ok(Proposed { number: Revision(pb.number), spec: need(pb.spec, "spec")? })
    }
}

impl Wire for Reign {
    type Pb = pb::Reign;

    fn to_pb(&self) -> pb::Reign {
        pb::Reign {
            instance: self.instance.to_string(),
            fork: self.fork.as_ref().map(Wire::to_pb),
            open: self.open,
        }
    }

    fn from_pb(pb: pb::Reign) -> Result<Self, BadMessage> {
        Ok(Reign { instance: name(pb.instance, "instance")?, fork: maybe(pb.fork, "fork")?, open: pb.open })
    }
}

impl Wire for CommitRule {
    type Pb = pb::CommitRule;

    fn to_pb(&self) -> pb::CommitRule {
        pb::CommitRule {
            number: self.number.0,
            epoch: self.epoch.0,
            primary: self.primary.to_string(),
            k: self.k,
            standbys: texts(&self.standbys),
            covered_at: self.covered_at.as_ref().map(Wire::to_pb),
        }
    }

    fn from_pb(pb: pb::CommitRule) -> Result<Self, BadMessage> {
        Ok(CommitRule {
            number: RuleNumber(pb.number),
            epoch: Epoch(pb.epoch),
            primary: name(pb.primary, "primary")?,
            k: pb.k,
            standbys: names(pb.standbys, "standbys")?,
            covered_at: maybe(pb.covered_at, "covered_at")?,
        })
    }
}

impl Wire for SyncTarget {
    type Pb = pb::SyncTarget;

    fn to_pb(&self) -> pb::SyncTarget {
        pb::SyncTarget {
            number: self.number.0,
            k: self.k,
            standbys: texts(&self.standbys),
            proved: self.proved,
        }
    }

    fn from_pb(pb: pb::SyncTarget) -> Result<Self, BadMessage> {
        Ok(SyncTarget {
            number: RuleNumber(pb.number),
            k: pb.k,
            standbys: names(pb.standbys, "standbys")?,
            proved: pb.proved,
        })
    }
}

impl Wire for Copy {
    type Pb = pb::CopyState;

    fn to_pb(&self) -> pb::CopyState {
        use pb::copy_state::{Copy as Pb, Empty, Rebuilding, Whole};
        let copy = match self {
            Copy::Empty => Pb::Empty(Empty {}),
            Copy::Rebuilding { how, until, done } => {
                Pb::Rebuilding(Rebuilding { how: how.to_pb(), until: Some(until.to_pb()), done: *done })
            }
            Copy::Whole => Pb::Whole(Whole {}),
        };
        pb::CopyState { copy: Some(copy) }
    }

    fn from_pb(pb: pb::CopyState) -> Result<Self, BadMessage> {
        use pb::copy_state::Copy as Pb;
        Ok(match set(pb.copy, "copy")? {
            Pb::Empty(_) => Copy::Empty,
            Pb::Rebuilding(copy) => Copy::Rebuilding {
                how: Rebuild::from_pb(copy.how).map_err(|bad| bad.under("rebuilding"))?,
                until: need(copy.until, "rebuilding.until")?,
                done: copy.done,
            },
            Pb::Whole(_) => Copy::Whole,
        })
    }
}

impl Wire for Fork {
    type Pb = pb::Fork;

    fn to_pb(&self) -> pb::Fork {
        pb::Fork {
            epoch: self.epoch.0,
            instance: self.instance.to_string(),
            parent: self.parent.0,
            begin: self.begin.0,
        }
    }

    fn from_pb(pb: pb::Fork) -> Result<Self, BadMessage> {
        Ok(Fork {
            epoch: Epoch(pb.epoch),
            instance: name(pb.instance, "instance")?,
            parent: TimelineId(pb.parent),
            begin: Lsn(pb.begin),
        })
    }
}

impl Wire for Override {
    type Pb = pb::Override;

    fn to_pb(&self) -> pb::Override {
        pb::Override { epoch: self.epoch.0, at_ms: self.at.0, what: self.what.clone() }
    }

    fn from_pb(pb: pb::Override) -> Result<Self, BadMessage> {
        Ok(Override { epoch: Epoch(pb.epoch), at: WallMs(pb.at_ms), what: pb.what })
    }
}
