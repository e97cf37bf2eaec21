//! One cluster on one screen.

use super::ids::{maybe_name, name};
use super::{BadMessage, Wire, all, each, known, narrow, need, unspecified};
use crate::pb;
use interrex_cluster::ids::{ClusterId, Epoch, Incarnation, Revision, SystemId};
use interrex_cluster::problem::Severity;
use interrex_cluster::status::{ClusterStatus, InstanceStatus, ProblemLine};
use interrex_cluster::wal::{Lsn, TimelineId};

impl Wire for ClusterStatus {
    type Pb = pb::ClusterStatus;

    fn to_pb(&self) -> pb::ClusterStatus {
        pb::ClusterStatus {
            name: self.name.to_string(),
            id: self.id.0,
            spec: Some(self.spec.to_pb()),
            system: self.system.map(|system| system.0),
            epoch: self.epoch.0,
            revision: self.revision.0,
            operation: self.operation.clone(),
            primary: self.primary.as_ref().map(ToString::to_string),
            open: self.open,
            rule: self.rule.clone(),
            rules: self.rules.clone(),
            instances: all(&self.instances),
            problems: all(&self.problems),
            waits: self.waits.clone(),
            paused: self.paused,
        }
    }

    fn from_pb(pb: pb::ClusterStatus) -> Result<Self, BadMessage> {
        Ok(ClusterStatus {
            name: name(pb.name, "name")?,
            id: ClusterId(pb.id),
            spec: need(pb.spec, "spec")?,
            system: pb.system.map(SystemId),
            epoch: Epoch(pb.epoch),
            revision: Revision(pb.revision),
            operation: pb.operation,
            primary: maybe_name(pb.primary, "primary")?,
            open: pb.open,
            rule: pb.rule,
            rules: pb.rules,
            instances: each(pb.instances, "instances")?,
            problems: each(pb.problems, "problems")?,
            waits: pb.waits,
            paused: pb.paused,
        })
    }
}

impl Wire for InstanceStatus {
    type Pb = pb::InstanceStatus;

    fn to_pb(&self) -> pb::InstanceStatus {
        pb::InstanceStatus {
            name: self.name.to_string(),
            machine: self.machine.to_string(),
            zone: self.zone.clone(),
            address: Some(self.address.to_pb()),
            role: self.role.clone(),
            server: self.server.clone(),
            priority: self.priority.map(u32::from),
            timeline: self.timeline.map(|timeline| timeline.0),
            lsn: self.lsn.map(|lsn| lsn.0),
            lag_bytes: self.lag_bytes,
            lag_ms: self.lag_ms,
            in_sync_set: self.in_sync_set,
            incarnation: self.incarnation.0,
            report_age_ms: self.report_age_ms,
            lease_left_ms: self.lease_left_ms,
            doing: self.doing.clone(),
            pending_restart: self.pending_restart.clone(),
            parameters_read: self.parameters_read,
        }
    }

    fn from_pb(pb: pb::InstanceStatus) -> Result<Self, BadMessage> {
        Ok(InstanceStatus {
            name: name(pb.name, "name")?,
            machine: name(pb.machine, "machine")?,
            zone: pb.zone,
            address: need(pb.address, "address")?,
            role: pb.role,
            server: pb.server,
            priority: pb.priority.map(|priority| narrow(priority, "priority")).transpose()?,
            timeline: pb.timeline.map(TimelineId),
            lsn: pb.lsn.map(Lsn),
            lag_bytes: pb.lag_bytes,
            lag_ms: pb.lag_ms,
            in_sync_set: pb.in_sync_set,
            incarnation: Incarnation(pb.incarnation),
            report_age_ms: pb.report_age_ms,
            lease_left_ms: pb.lease_left_ms,
            doing: pb.doing,
            pending_restart: pb.pending_restart,
            parameters_read: pb.parameters_read,
        })
    }
}

impl Wire for ProblemLine {
    type Pb = pb::ProblemLine;

    fn to_pb(&self) -> pb::ProblemLine {
        pb::ProblemLine {
            code: self.code.clone(),
            severity: match self.severity {
                Severity::Warning => pb::Severity::Warning,
                Severity::Critical => pb::Severity::Critical,
            }
            .into(),
            sentence: self.sentence.clone(),
            evidence: self.evidence.clone(),
        }
    }

    fn from_pb(pb: pb::ProblemLine) -> Result<Self, BadMessage> {
        Ok(ProblemLine {
            code: pb.code,
            severity: match known(pb.severity.try_into(), "severity")? {
                pb::Severity::Unspecified => return unspecified("severity"),
                pb::Severity::Warning => Severity::Warning,
                pb::Severity::Critical => Severity::Critical,
            },
            sentence: pb.sentence,
            evidence: pb.evidence,
        })
    }
}
