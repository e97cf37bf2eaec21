//! The power fails for everybody at once, switch included. The machines come back one by one, in any order: whoever is
//! first has to wait for enough of the others, however new its own copy is.

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "kill-all",
    story: "every machine goes dark at once: links first, then kill -9 to everything; started again in a drawn order",
    // Who ruled before rules again only by promotion, and may be superseded once by somebody who came back later.
    promotions: (1, 2),
    gap_ms: 30_000,
    lasts: Lasts::Ms(1_000, 3_000),
    side_door: false,
    nft: false,
    make: || Box::new(KillAll { killed: 0 }),
};

struct KillAll {
    killed: usize,
}

impl Fault for KillAll {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            for name in &scene.order {
                scene.network.set_link(name, false)?;
            }
            for name in &scene.order {
                let (machine, dir, traces) = scene.cluster.doomed(name)?;
                self.killed += machine.kill(dir, traces).await?.pids.len();
            }
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            for name in &scene.order {
                let (lit, empty) = (scene.network.link_is_up(name)?, scene.groups.machine(name).is_empty()?);
                if lit || !empty {
                    return Ok(Err(format!("{name}: link up: {lit}, nothing runs: {empty}")));
                }
            }
            Ok(Ok(format!("{} processes died, nothing runs on any machine, every link is down", self.killed)))
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            for name in &scene.order {
                scene.network.set_link(name, true)?;
                scene.cluster.machine(name)?.start()?;
            }
            Ok(())
        })
    }
}
