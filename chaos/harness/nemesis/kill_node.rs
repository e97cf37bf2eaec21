//! The primary's node dies, agent and coordinator in one; guard and PostgreSQL stay. Back within its lease, nothing has
//! happened; away for longer, the guard ends PostgreSQL at the lease's end, whatever the network says.

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "kill-node",
    story: "kill -9 to the node of the primary's machine, agent and coordinator; it stays away past its lease",
    promotions: (1, 1),
    gap_ms: 10_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(KillNode { killed: 0 }),
};

pub(crate) const BRIEF: Row = Row {
    name: "kill-node-briefly",
    story: "the same, and it is started again within a second",
    promotions: (0, 0),
    gap_ms: 3_000,
    lasts: Lasts::Ms(100, 900),
    ..ROW
};

struct KillNode {
    killed: usize,
}

impl Fault for KillNode {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let (machine, dir, traces) = scene.cluster.doomed(&scene.primary)?;
            self.killed = machine.kill_node(dir, traces).await?.pids.len();
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let left = scene.cluster.machine(&scene.primary)?.programs("interrex")?.len();
            Ok(match (self.killed, left) {
                (1.., 0) => Ok("the node died and none runs".to_owned()),
                (killed, left) => Err(format!("nodes killed: {killed}, nodes that run: {left}")),
            })
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.cluster.machine(&scene.primary)?.start() })
    }
}
