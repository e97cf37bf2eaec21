//! The primary's machine is cut off from every coordinator but its own, which is cut off along. Its standbys stream, and
//! each of its own commits that comes back renews its lease: it goes on, or hands over in good order, and never are
//! there two.

use super::cut::Cutting;
use crate::catalogue::{Lasts, Row};
use crate::ground::COORDINATOR_PORT;

pub(crate) const ROW: Row = Row {
    name: "cut-from-coordinators",
    story: "the coordinators' port is cut between the primary's machine and every other that votes, for longer than two \
            leases; the standbys stream",
    promotions: (0, 1),
    gap_ms: 10_000,
    lasts: Lasts::Ms(7_000, 9_000),
    side_door: true,
    nft: true,
    machines: 3,
    volumes: false,
    make: || {
        Cutting::boxed(|scene| {
            scene.between(&scene.primary, &scene.other_voters(&scene.primary), Some(COORDINATOR_PORT))
        })
    },
};
