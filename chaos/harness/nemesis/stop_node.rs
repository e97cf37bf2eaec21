//! The primary's node hangs: SIGSTOP to agent and coordinator in one. Hung for less than its lease, nothing has happened;
//! for longer, its guard ends PostgreSQL, and an agent that wakes up finds itself superseded.

use super::stopped::Stopped;
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "stop-node",
    story: "SIGSTOP to the node of the primary's machine, agent and coordinator, until another primary serves",
    promotions: (1, 1),
    gap_ms: 10_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(StopNode(Stopped::default())),
};

pub(crate) const BRIEF: Row = Row {
    name: "stop-node-briefly",
    story: "the same for half a lease",
    promotions: (0, 0),
    gap_ms: 3_000,
    lasts: Lasts::Ms(800, 1_500),
    ..ROW
};

struct StopNode(Stopped);

impl Fault for StopNode {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let node = scene.cluster.machine(&scene.primary)?.programs("interrex")?;
            self.0 = Stopped::stop(node).await?;
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move { Ok(self.0.proof()) })
    }

    fn heal<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { self.0.go_on() })
    }
}
