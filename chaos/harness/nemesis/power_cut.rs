//! What power cuts have in common: links go first, so that nobody hears a machine die, then everything that runs. The
//! machines come back with their disks.

use super::{Deed, Fault, Proof};
use crate::scene::Scene;

/// Darkens the machines that `chosen` says, in that order.
pub(super) struct PowerCut {
    chosen: fn(&Scene) -> Vec<String>,
    killed: usize,
}

impl PowerCut {
    pub(super) fn boxed(chosen: fn(&Scene) -> Vec<String>) -> Box<dyn Fault> {
        Box::new(PowerCut { chosen, killed: 0 })
    }
}

impl Fault for PowerCut {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let machines = (self.chosen)(scene);
            self.killed = darken(scene, &machines).await?;
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move { dark(scene, &(self.chosen)(scene), self.killed) })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let machines = (self.chosen)(scene);
            light(scene, &machines)
        })
    }
}

/// Cuts the power of these machines at once. How many processes died.
pub(super) async fn darken(scene: &mut Scene, machines: &[String]) -> anyhow::Result<usize> {
    for name in machines {
        scene.network.set_link(name, false)?;
    }
    let mut killed = 0;
    for name in machines {
        let (machine, dir, traces) = scene.cluster.doomed(name)?;
        killed += machine.kill(dir, traces).await?.pids.len();
    }
    Ok(killed)
}

/// They are dark, and were not before.
pub(super) fn dark(scene: &Scene, machines: &[String], killed: usize) -> anyhow::Result<Proof> {
    for name in machines {
        let (lit, empty) = (scene.network.link_is_up(name)?, scene.groups.machine(name).is_empty()?);
        if lit || !empty {
            return Ok(Err(format!("{name}: link up: {lit}, nothing runs: {empty}")));
        }
    }
    Ok(match killed {
        0 => Err("nothing died".to_owned()),
        killed => {
            Ok(format!("{killed} processes died, nothing runs, the link is down: on {}", machines.join(", ")))
        }
    })
}

/// Switches them on again, in this order.
pub(super) fn light(scene: &mut Scene, machines: &[String]) -> anyhow::Result<()> {
    for name in machines {
        scene.network.set_link(name, true)?;
        scene.cluster.machine(name)?.start()?;
    }
    Ok(())
}
