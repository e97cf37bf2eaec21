//! Everything on the primary's machine stands still at once, guard included, as when a virtual machine is paused; its
//! kernel goes on answering for it. When it wakes up it believes that no time has passed, and must not acknowledge.

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "freeze-machine",
    story: "everything on the primary's machine is frozen until another primary serves, then wakes up",
    promotions: (1, 1),
    gap_ms: 12_000,
    lasts: Lasts::UntilFailover,
    side_door: true,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(FreezeMachine),
};

pub(crate) const HALF: Row = Row {
    name: "freeze-machine-half-a-lease",
    story: "the same for about half a lease, within which its peers may testify against it or not",
    // From a second of silence on, peers that get nothing from it and no answer on its port are believed.
    promotions: (0, 1),
    gap_ms: 8_000,
    lasts: Lasts::Ms(1_200, 1_800),
    ..ROW
};

pub(crate) const BRIEF: Row = Row {
    name: "freeze-machine-briefly",
    story: "the same for less than the second from which on its peers are believed",
    promotions: (0, 0),
    gap_ms: 4_000,
    lasts: Lasts::Ms(300, 700),
    ..ROW
};

struct FreezeMachine;

impl Fault for FreezeMachine {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.groups.machine(&scene.primary).freeze().await })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let group = scene.groups.machine(&scene.primary);
            Ok(match (group.is_frozen()?, group.is_empty()?) {
                (true, false) => Ok("the kernel says that the machine's group is frozen".to_owned()),
                (frozen, empty) => Err(format!("frozen: {frozen}, nothing in the group: {empty}")),
            })
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.groups.machine(&scene.primary).thaw() })
    }
}
