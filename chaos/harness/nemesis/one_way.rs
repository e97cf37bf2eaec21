//! Loss in one direction alone. Whoever still hears thinks that all is well; whoever is not heard has to find out.

use super::cut::Cutting;
use crate::catalogue::{Lasts, Row};
use crate::ground::CLIENT;

pub(crate) const OUT: Row = Row {
    name: "one-way-out",
    story: "nothing that the primary's machine sends arrives, at its peers or at the clients; it hears all of them",
    promotions: (1, 1),
    gap_ms: 12_000,
    lasts: Lasts::UntilFailover,
    side_door: true,
    nft: true,
    machines: 3,
    volumes: false,
    make: || {
        Cutting::boxed(|scene| {
            let all = [scene.others(&scene.primary), vec![CLIENT.to_owned()]].concat();
            scene.one_way(&scene.primary, &all, None)
        })
    },
};

pub(crate) const IN: Row = Row {
    name: "one-way-in",
    story: "nothing that is sent to the primary's machine arrives there, from its peers or from the clients; all hear it",
    make: || {
        Cutting::boxed(|scene| {
            let all = [scene.others(&scene.primary), vec![CLIENT.to_owned()]].concat();
            scene.toward(&scene.primary, &all, None)
        })
    },
    ..OUT
};
