//! Partitions in which everybody hears enough of the others to think well of itself, and no two hear the same: a ring, in
//! which each hears its neighbours, and a bridge, in which one hears both halves. Coordinators that take what they hear for
//! all there is never stop electing; a primary that is not heard by the leader is heard by somebody else.

use super::cut::{Chosen, Cutting};
use crate::catalogue::{Lasts, Row};
use crate::ground::Cut;
use crate::scene::Scene;

pub(crate) const RING: Row = Row {
    name: "ring",
    story: "each machine that votes hears its two neighbours in a drawn ring and nobody else: each a majority, no two the same",
    // Who leads may hear neither the primary nor a standby that streams from it.
    promotions: (0, 1),
    gap_ms: 15_000,
    lasts: Lasts::Ms(10_000, 12_000),
    side_door: false,
    nft: true,
    // Of three machines in a ring each hears both others.
    machines: 5,
    volumes: false,
    make: || {
        let chosen: Chosen = |scene| cuts(scene, |of, one, other| !neighbours(of, one, other));
        Cutting::boxed(chosen)
    },
};

pub(crate) const BRIDGE: Row = Row {
    name: "bridge",
    story: "the machines that vote fall into two halves that do not hear each other, and one machine that hears both",
    make: || {
        let chosen: Chosen = |scene| cuts(scene, apart);
        Cutting::boxed(chosen)
    },
    ..RING
};

/// Both directions between every two of the drawn order for which `cut` says so: how many there are, and their places.
fn cuts(scene: &Scene, cut: fn(usize, usize, usize) -> bool) -> anyhow::Result<Vec<Cut>> {
    let voters = scene.voters();
    let mut cuts = Vec::new();
    for (one, name) in voters.iter().enumerate() {
        for (other, another) in voters.iter().enumerate().skip(one + 1) {
            if cut(voters.len(), one, other) {
                cuts.extend(scene.between(name, std::slice::from_ref(another), None)?);
            }
        }
    }
    Ok(cuts)
}

/// In a ring of `of`; `one` comes before `other`.
fn neighbours(of: usize, one: usize, other: usize) -> bool {
    other - one == 1 || (one == 0 && other + 1 == of)
}

/// On different sides of the one in the middle.
fn apart(of: usize, one: usize, other: usize) -> bool {
    one < of / 2 && other > of / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(cut: fn(usize, usize, usize) -> bool) -> Vec<String> {
        let hears = |one: usize, other: usize| one == other || !cut(5, one.min(other), one.max(other));
        let line = |one| (0..5).filter(|other| hears(one, *other)).map(|other| other.to_string()).collect();
        (0..5).map(line).collect()
    }

    #[test]
    fn in_a_ring_everybody_hears_another_majority_and_over_a_bridge_one_hears_all() {
        assert_eq!(heard(|of, one, other| !neighbours(of, one, other)), ["014", "012", "123", "234", "034"]);
        assert_eq!(heard(apart), ["012", "012", "01234", "234", "234"]);
    }
}
