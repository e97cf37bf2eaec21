//! Loss in part: of what the primary's machine sends and is sent, the kernel takes away a drawn share. Every connection
//! lives, late and in pieces; whoever takes lateness for death has failed over for nothing.

use super::cut::counted;
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::ground::Cut;
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "lossy-link",
    story: "a tenth of all packets between the primary's machine and all others is lost, in both directions",
    promotions: (0, 0),
    gap_ms: 6_000,
    lasts: Lasts::Ms(8_000, 10_000),
    side_door: false,
    nft: true,
    machines: 3,
    volumes: false,
    make: || Loss::boxed(10),
};

pub(crate) const BADLY: Row = Row {
    name: "lossy-link-badly",
    story: "the same of three in ten packets, which may silence the machine for longer than it is believed to live",
    // A connection that loses the same segment four times says nothing for three seconds.
    promotions: (0, 1),
    gap_ms: 15_000,
    make: || Loss::boxed(30),
    ..ROW
};

struct Loss {
    percent: u8,
    cuts: Vec<Cut>,
}

impl Loss {
    fn boxed(percent: u8) -> Box<dyn Fault> {
        Box::new(Loss { percent, cuts: Vec::new() })
    }
}

impl Fault for Loss {
    fn prepare<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let all = scene.between(&scene.primary, &scene.everybody_but(&scene.primary), None)?;
            self.cuts = all.into_iter().map(|cut| Cut { percent: self.percent, ..cut }).collect();
            Ok(())
        })
    }

    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.network.cut(&self.cuts) })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move { Ok(counted(&self.cuts, &scene.network.taken(&self.cuts)?)) })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.network.mend() })
    }
}
