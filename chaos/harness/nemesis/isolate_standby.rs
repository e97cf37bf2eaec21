//! A standby's machine hears nobody and nobody hears it. Another standby acknowledges, and nothing else happens.

use super::cut::Cutting;
use crate::catalogue::{Lasts, Row};

pub(crate) const ROW: Row = Row {
    name: "isolate-standby",
    story: "a standby's machine is cut off from all others for longer than a lease",
    promotions: (0, 0),
    gap_ms: 4_000,
    lasts: Lasts::Ms(6_000, 8_000),
    side_door: false,
    nft: true,
    machines: 3,
    volumes: false,
    make: || Cutting::boxed(|scene| scene.between(&scene.standby, &scene.others(&scene.standby), None)),
};
