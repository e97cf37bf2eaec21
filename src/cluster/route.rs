//! Where clients may go, from the record alone. A writer is named only once the epoch is open; between two epochs
//! there is none, so that whoever routes hears 'no primary' before it hears the next.

use crate::ids::{Epoch, InstanceName};
use crate::record::{Address, Cluster, Copy};

/// Where writes and reads of one cluster may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The epoch that the route belongs to; an older route is void.
    pub epoch: Epoch,
    /// The open primary.
    pub writer: Option<(InstanceName, Address)>,
    /// Whole standbys, by name. Whether each is up and close behind is not the record's to say.
    pub readers: Vec<(InstanceName, Address)>,
}

/// The route of a cluster.
pub fn route(record: &Cluster) -> Route {
    let primary = record.primary.as_ref().filter(|reign| reign.open).map(|reign| &reign.instance);
    let place = |name: &InstanceName| Some((name.clone(), record.instances.get(name)?.address.clone()));
    let readers = record.instances.iter().filter(|(name, m)| Some(*name) != primary && m.copy == Copy::Whole);
    Route {
        epoch: record.epoch,
        writer: primary.and_then(place),
        readers: readers.map(|(name, member)| (name.clone(), member.address.clone())).collect(),
    }
}
