//! Names, stamps, addresses and registrations. A name is checked here and trusted everywhere behind.

use super::{BadMessage, Wire, narrow, need};
use crate::pb;
use interrex_cluster::command::Registration;
use interrex_cluster::ids::{BadName, DirectoryId, Epoch, InstanceName, Revision, Stamp, SystemId};
use interrex_cluster::record::Address;

/// A name that must be there.
pub(crate) fn name<N: TryFrom<String, Error = BadName>>(text: String, field: &str) -> Result<N, BadMessage> {
    N::try_from(text).map_err(|bad| BadMessage::new(field, bad))
}

/// A name that may be absent.
pub(crate) fn maybe_name<N: TryFrom<String, Error = BadName>>(
    text: Option<String>,
    field: &str,
) -> Result<Option<N>, BadMessage> {
    text.map(|text| name(text, field)).transpose()
}

/// Names of instances, into whatever collection is wanted.
pub(crate) fn names<C: FromIterator<InstanceName>>(texts: Vec<String>, field: &str) -> Result<C, BadMessage> {
    texts.into_iter().enumerate().map(|(i, text)| name(text, &format!("{field}[{i}]"))).collect()
}

/// Names, outward.
pub(crate) fn texts<'a>(names: impl IntoIterator<Item = &'a InstanceName>) -> Vec<String> {
    names.into_iter().map(InstanceName::to_string).collect()
}

impl Wire for Stamp {
    type Pb = pb::Stamp;

    fn to_pb(&self) -> pb::Stamp {
        pb::Stamp { epoch: self.epoch.0, revision: self.revision.0 }
    }

    fn from_pb(pb: pb::Stamp) -> Result<Self, BadMessage> {
        Ok(Stamp { epoch: Epoch(pb.epoch), revision: Revision(pb.revision) })
    }
}

impl Wire for Address {
    type Pb = pb::Address;

    fn to_pb(&self) -> pb::Address {
        pb::Address { host: self.host.clone(), port: self.port.into() }
    }

    fn from_pb(pb: pb::Address) -> Result<Self, BadMessage> {
        Ok(Address { host: pb.host, port: narrow(pb.port, "port")? })
    }
}

impl Wire for Registration {
    type Pb = pb::Registration;

    fn to_pb(&self) -> pb::Registration {
        pb::Registration {
            instance: self.instance.to_string(),
            machine: self.machine.to_string(),
            zone: self.zone.clone(),
            directory: self.directory.0.clone(),
            address: Some(self.address.to_pb()),
            priority: self.priority.map(u32::from),
            major: self.major,
            system: self.system.map(|system| system.0),
            replaces: self.replaces.as_ref().map(|directory| directory.0.clone()),
        }
    }

    fn from_pb(pb: pb::Registration) -> Result<Self, BadMessage> {
        Ok(Registration {
            instance: name(pb.instance, "instance")?,
            machine: name(pb.machine, "machine")?,
            zone: pb.zone,
            directory: DirectoryId(pb.directory),
            address: need(pb.address, "address")?,
            priority: pb.priority.map(|priority| narrow(priority, "priority")).transpose()?,
            major: pb.major,
            system: pb.system.map(SystemId),
            replaces: pb.replaces.map(DirectoryId),
        })
    }
}
