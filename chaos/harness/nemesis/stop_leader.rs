//! The node that leads the coordinators hangs: SIGSTOP to coordinator and agent in one, on another machine than the
//! primary's. Its connections live and nothing comes. Another one leads; who led wakes up and leads nobody.

use super::stopped::Stopped;
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "stop-leader",
    story: "SIGSTOP to the node that leads the coordinators, for longer than two leases; the primary is on another machine",
    promotions: (0, 0),
    gap_ms: 4_000,
    lasts: Lasts::Ms(7_000, 9_000),
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(StopLeader(Stopped::default())),
};

struct StopLeader(Stopped);

impl Fault for StopLeader {
    fn prepare<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.lead_elsewhere().await })
    }

    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let leader = scene.leader.clone();
            let node = scene.cluster.machine(&leader)?.programs("interrex")?;
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
