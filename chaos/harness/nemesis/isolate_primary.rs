//! The primary's machine hears nobody and nobody hears it: neither its peers nor the clients. On its own side a client
//! goes on writing: nothing that it is told may be an acknowledgement once another epoch has begun.

use super::cut::Cutting;
use crate::catalogue::{Lasts, Row};
use crate::ground::CLIENT;

pub(crate) const ROW: Row = Row {
    name: "isolate-primary",
    story: "the primary's machine is cut off from all others and from the clients, with a client on its own side",
    promotions: (1, 1),
    gap_ms: 12_000,
    lasts: Lasts::UntilFailover,
    side_door: true,
    nft: true,
    machines: 3,
    volumes: false,
    make: || {
        Cutting::boxed(|scene| {
            let peers = scene.between(&scene.primary, &scene.others(&scene.primary), None)?;
            Ok([peers, scene.between(&scene.primary, &[CLIENT.to_owned()], None)?].concat())
        })
    },
};
