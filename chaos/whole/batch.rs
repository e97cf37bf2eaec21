//! Runs of seeds: one with its play, or many with what they found, in the shapes of the first tier.

use crate::run;
use interrex_sim::{Batch, Outcome};

/// Runs one seed and keeps its play, a line an event: the world's, and what the coordinators log.
pub fn play(seed: u64) -> (Outcome, Vec<String>) {
    run::play(seed)
}

/// Makes a failing seed shorter for as long as the same property stays broken, and plays what is left; none where nothing is
/// broken.
pub fn shorten(seed: u64) -> Option<(Outcome, Vec<String>)> {
    run::shorten(seed)
}

/// The hash of a seed's play.
pub fn play_hash(seed: u64) -> u64 {
    interrex_sim::hash(&play(seed).1)
}

/// Runs `count` seeds from `from` on.
pub fn batch(from: u64, count: u64) -> Batch {
    let mut all = Batch::default();
    for seed in from..from.saturating_add(count) {
        all.add(&run::run(seed));
    }
    all
}
