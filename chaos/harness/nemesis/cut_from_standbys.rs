//! The primary is cut off from its standbys and from nobody else: coordinators hear all of them, clients reach it, and
//! none of its commits comes back. Standbys that could acknowledge each other's commits take over (PROTOCOL.md clause 5).

use super::cut::Cutting;
use crate::catalogue::{Lasts, Row};
use crate::ground::POSTGRES_PORT;

pub(crate) const ROW: Row = Row {
    name: "cut-from-standbys",
    story: "PostgreSQL's port is cut between the primary and every standby; coordinators and clients see all of them",
    promotions: (1, 1),
    gap_ms: 15_000,
    lasts: Lasts::UntilFailover,
    side_door: true,
    nft: true,
    machines: 3,
    volumes: false,
    make: || {
        Cutting::boxed(|scene| {
            scene.between(&scene.primary, &scene.others(&scene.primary), Some(POSTGRES_PORT))
        })
    },
};
