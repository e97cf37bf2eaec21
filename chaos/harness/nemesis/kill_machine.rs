//! The primary's machine is gone at once, as in a power cut: first its cable, so that nobody hears it die, then
//! everything that runs on it. It comes back with its disk.

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "kill-machine",
    story: "the primary's machine goes dark: its link first, then kill -9 to everything on it; it is started again later",
    promotions: (1, 1),
    gap_ms: 10_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    make: || Box::new(KillMachine { killed: 0 }),
};

struct KillMachine {
    killed: usize,
}

impl Fault for KillMachine {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            scene.network.set_link(&scene.primary, false)?;
            let (machine, dir, traces) = scene.cluster.doomed(&scene.primary)?;
            self.killed = machine.kill(dir, traces).await?.pids.len();
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let dark = !scene.network.link_is_up(&scene.primary)?;
            let empty = scene.groups.machine(&scene.primary).is_empty()?;
            Ok(match (dark, empty, self.killed) {
                (true, true, 1..) => {
                    Ok(format!("{} processes died, nothing runs, the link is down", self.killed))
                }
                _ => Err(format!(
                    "link down: {dark}, nothing runs: {empty}, processes killed: {}",
                    self.killed
                )),
            })
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            scene.network.set_link(&scene.primary, true)?;
            scene.cluster.machine(&scene.primary)?.start()
        })
    }
}
