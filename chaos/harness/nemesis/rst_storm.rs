//! A firewall that has lost its memory: it answers packets of connections that live with a reset. Whoever is told so hangs
//! up at once and dials again; whoever was at the other end hears of it with the next thing that it says. What was under way
//! is unknown, and nobody is dead.

use super::cut::counted;
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::ground::Cut;
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "rst-storm",
    story: "one packet in fifty between the primary's machine and all others is answered with a reset, in both directions",
    promotions: (0, 0),
    // Whoever is reset while it dials begins anew: as long as the storm lasts, nobody has to get through.
    gap_ms: 12_000,
    lasts: Lasts::Ms(8_000, 10_000),
    side_door: false,
    nft: true,
    machines: 3,
    volumes: false,
    make: || Box::new(RstStorm { cuts: Vec::new() }),
};

const PERCENT: u8 = 2;

struct RstStorm {
    cuts: Vec<Cut>,
}

impl Fault for RstStorm {
    fn prepare<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let all = scene.between(&scene.primary, &scene.everybody_but(&scene.primary), None)?;
            self.cuts = all.into_iter().map(|cut| Cut { percent: PERCENT, ..cut }).collect();
            Ok(())
        })
    }

    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.network.reset(&scene.everybody_but(""), &self.cuts) })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let counted = counted(&self.cuts, &scene.network.answered(&self.cuts)?);
            Ok(counted.map(|told| told.replace("taken away", "answered with a reset")))
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.network.calm() })
    }
}
