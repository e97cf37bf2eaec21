//! The power fails for everybody at once, switch included. The machines come back one by one, in any order: whoever is
//! first has to wait for enough of the others, however new its own copy is.

use super::power_cut::PowerCut;
use crate::catalogue::{Lasts, Row};

pub(crate) const ROW: Row = Row {
    name: "kill-all",
    story: "every machine goes dark at once: links first, then kill -9 to everything; started again in a drawn order",
    // Who ruled before rules again only by promotion, and may be superseded once by somebody who came back later.
    promotions: (1, 2),
    gap_ms: 30_000,
    lasts: Lasts::Ms(1_000, 3_000),
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || PowerCut::boxed(|scene| scene.order.clone()),
};
