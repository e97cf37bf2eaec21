//! The primary's guard dies. PostgreSQL dies with its parent, and the agent sees both.

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "kill-guard",
    story: "kill -9 to the guard of the primary's PostgreSQL",
    promotions: (1, 1),
    gap_ms: 8_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(KillGuard { killed: Vec::new() }),
};

struct KillGuard {
    killed: Vec<i32>,
}

impl Fault for KillGuard {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let (machine, dir, traces) = scene.cluster.doomed(&scene.primary)?;
            self.killed = machine.kill_guard(dir, traces)?.pids;
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            Ok(match self.killed.as_slice() {
                [] => Err("no guard died".to_owned()),
                killed => Ok(format!("guard {killed:?} died")),
            })
        })
    }
}
