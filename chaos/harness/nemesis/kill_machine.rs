//! The primary's machine is gone at once, as in a power cut: first its cable, so that nobody hears it die, then
//! everything that runs on it. It comes back with its disk.

use super::power_cut::PowerCut;
use crate::catalogue::{Lasts, Row};

pub(crate) const ROW: Row = Row {
    name: "kill-machine",
    story: "the primary's machine goes dark: its link first, then kill -9 to everything on it; it is started again later",
    promotions: (1, 1),
    gap_ms: 10_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || PowerCut::boxed(|scene| vec![scene.primary.clone()]),
};
