//! What was found once is not found again: each pinned play, with the latencies and clocks of forty seeds.

use interrex_sim::PINNED;

const SEEDS: u64 = 40;

#[test]
fn nothing_that_was_mended_is_broken_again() {
    for pinned in PINNED {
        let mut reached = 0;
        for seed in 0..SEEDS {
            let (outcome, came_by) = pinned.play(seed);
            let broken = outcome.violations.first();
            assert!(broken.is_none(), "{}, seed {seed}: {}\n{}", pinned.name, broken.unwrap(), pinned.story);
            reached += u32::from(came_by);
        }
        assert!(reached >= 4, "{}: {reached} of {SEEDS} plays came by what it is about", pinned.name);
    }
}
