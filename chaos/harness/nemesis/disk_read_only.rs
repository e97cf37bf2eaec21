//! The volume of the primary's PostgreSQL becomes read-only, as the kernel makes it after an error of the disk. Its agent,
//! whose own directory is elsewhere, still tells. Whoever runs the machine switches it off, repairs the file system, and
//! starts it again.

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "disk-read-only",
    story: "an error of the file system makes the volume of the primary's PostgreSQL read-only; later it is repaired",
    promotions: (1, 1),
    gap_ms: 10_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: true,
    make: || Box::new(DiskReadOnly),
};

struct DiskReadOnly;

impl Fault for DiskReadOnly {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.volume(&scene.primary)?.fail() })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            Ok(match scene.volume(&scene.primary)?.is_read_only()? {
                true => Ok("the kernel refuses to write to the volume: it is read-only".to_owned()),
                false => Err("the volume can be written to".to_owned()),
            })
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let primary = scene.primary.clone();
            let (machine, dir, traces) = scene.cluster.doomed(&primary)?;
            machine.kill(dir, traces).await?;
            scene.volume(&primary)?.repair()?;
            scene.cluster.machine(&primary)?.start()
        })
    }
}
