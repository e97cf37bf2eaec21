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
            for name in &machines {
                scene.network.set_link(name, false)?;
            }
            for name in &machines {
                let (machine, dir, traces) = scene.cluster.doomed(name)?;
                self.killed += machine.kill(dir, traces).await?.pids.len();
            }
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let machines = (self.chosen)(scene);
            for name in &machines {
                let (lit, empty) = (scene.network.link_is_up(name)?, scene.groups.machine(name).is_empty()?);
                if lit || !empty {
                    return Ok(Err(format!("{name}: link up: {lit}, nothing runs: {empty}")));
                }
            }
            Ok(match self.killed {
                0 => Err("nothing died".to_owned()),
                killed => Ok(format!(
                    "{killed} processes died, nothing runs, the link is down: on {}",
                    machines.join(", ")
                )),
            })
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            for name in (self.chosen)(scene) {
                scene.network.set_link(&name, true)?;
                scene.cluster.machine(&name)?.start()?;
            }
            Ok(())
        })
    }
}
