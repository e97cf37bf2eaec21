//! Everything is restarted, machine by machine, as for an upgrade of the kernel: the standbys first, the primary last, each
//! in good order and only when all is well. Writes stop once, while the primary hands over.

use std::time::Duration;

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "rolling-restart",
    story: "the node of each machine is stopped in good order and started again, the primary's last",
    promotions: (1, 1),
    gap_ms: 10_000,
    lasts: Lasts::Ms(500, 1_000),
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(RollingRestart { replaced: Vec::new() }),
};

/// PostgreSQL is checkpointed and stopped within it.
const STOPPING: Duration = Duration::from_secs(60);

struct RollingRestart {
    /// A machine, and its postmaster before and after.
    replaced: Vec<(String, i32, i32)>,
}

impl Fault for RollingRestart {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let standbys = scene.order.iter().filter(|name| **name != scene.primary).cloned();
            let all: Vec<String> = standbys.chain([scene.primary.clone()]).collect();
            for name in all {
                scene.well().await?;
                let machine = scene.cluster.machine(&name)?;
                let before = machine.postmaster()?.pid;
                machine.stop(STOPPING).await?;
                // Well again is what comes after the machine was missed, and not before.
                scene.unwell().await?;
                scene.cluster.machine(&name)?.start()?;
                scene.well().await?;
                let after = scene.cluster.machine(&name)?.postmaster()?.pid;
                self.replaced.push((name, before, after));
            }
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let same = self.replaced.iter().find(|(_, before, after)| before == after);
            Ok(match same {
                Some((name, pid, _)) => Err(format!("{name} still has postmaster {pid}")),
                None if self.replaced.len() != scene.order.len() => {
                    Err(format!("{} of {} machines were restarted", self.replaced.len(), scene.order.len()))
                }
                None => {
                    let names: Vec<&str> = self.replaced.iter().map(|(name, ..)| name.as_str()).collect();
                    Ok(format!("another postmaster runs on each of {}", names.join(", ")))
                }
            })
        })
    }
}
