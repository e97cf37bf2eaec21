//! The coordinators' leader loses the others, and nothing else happens: not to its own machine's PostgreSQL, which streams,
//! and not to the primary, which is elsewhere. Another one leads; who led finds out that it leads nobody.

use super::cut::{Chosen, Cutting};
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::ground::COORDINATOR_PORT;
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "cut-leader",
    story: "the coordinators' port is cut between the machine that leads them and all others; the primary is another one",
    promotions: (0, 0),
    gap_ms: 4_000,
    lasts: Lasts::Ms(7_000, 9_000),
    side_door: false,
    nft: true,
    machines: 3,
    volumes: false,
    make: || {
        let chosen: Chosen =
            |scene| scene.between(&scene.leader, &scene.others(&scene.leader), Some(COORDINATOR_PORT));
        Box::new(CutLeader(Cutting::new(chosen)))
    },
};

pub(crate) const FROM_PRIMARY: Row = Row {
    name: "cut-leader-from-primary",
    story: "everything is cut between the coordinators' leader and the primary's machine; all others see both",
    make: || {
        let chosen: Chosen = |scene| scene.between(&scene.leader, std::slice::from_ref(&scene.primary), None);
        Box::new(CutLeader(Cutting::new(chosen)))
    },
    ..ROW
};

struct CutLeader(Cutting);

impl Fault for CutLeader {
    fn prepare<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            scene.lead_elsewhere().await?;
            self.0.prepare(scene).await
        })
    }

    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        self.0.inject(scene)
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        self.0.proof(scene)
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        self.0.heal(scene)
    }
}
