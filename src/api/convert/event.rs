//! Lines of the story.

use super::ids::name;
use super::{BadMessage, Wire};
use crate::pb;
use interrex_cluster::event::Event;
use interrex_cluster::ids::Epoch;
use interrex_cluster::time::WallMs;

impl Wire for Event {
    type Pb = pb::Event;

    fn to_pb(&self) -> pb::Event {
        pb::Event {
            index: self.index,
            at_ms: self.at.0,
            cluster: self.cluster.to_string(),
            epoch: self.epoch.0,
            kind: self.kind.clone(),
            text: self.text.clone(),
        }
    }

    fn from_pb(pb: pb::Event) -> Result<Self, BadMessage> {
        Ok(Event {
            index: pb.index,
            at: WallMs(pb.at_ms),
            cluster: name(pb.cluster, "cluster")?,
            epoch: Epoch(pb.epoch),
            kind: pb.kind,
            text: pb.text,
        })
    }
}
