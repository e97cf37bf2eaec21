//! One primary after the other: as soon as all is well, the machine of whoever is the primary goes dark, three times. Each
//! successor inherits what its predecessors acknowledged, and timelines branch from branches.

use super::power_cut::{dark, darken, light};
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "kill-each-primary",
    story: "the primary's machine goes dark; when all is well again, that of the next one; and once more",
    promotions: (ROUNDS, ROUNDS),
    gap_ms: 10_000,
    lasts: Lasts::Ms(500, 1_000),
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(KillEach { fallen: Vec::new(), void: None }),
};

const ROUNDS: u32 = 3;

struct KillEach {
    /// Who was the primary and went dark, in turn.
    fallen: Vec<String>,
    /// A machine that did not go dark.
    void: Option<String>,
}

impl Fault for KillEach {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            for _ in 0..ROUNDS {
                let (status, primary) = scene.well().await?;
                let doomed = vec![primary];
                let killed = darken(scene, &doomed).await?;
                scene.failed_over(status.epoch).await?;
                self.void = self.void.take().or(dark(scene, &doomed, killed)?.err());
                light(scene, &doomed)?;
                self.fallen.extend(doomed);
            }
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            Ok(match self.void.take() {
                Some(void) => Err(void),
                None => {
                    Ok(format!("{} went dark in turn, each while it was the primary", self.fallen.join(", ")))
                }
            })
        })
    }
}
