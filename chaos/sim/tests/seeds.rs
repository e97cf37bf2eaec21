//! Seeds: what must hold does, everything dangerous was reached, and a seed is one play, byte for byte.

use interrex_sim::{Batch, Danger, Traps};

/// So many, on two threads: well within a minute.
const SEEDS: u64 = 2_000;

fn all() -> Batch {
    let half = SEEDS / 2;
    let other = std::thread::spawn(move || interrex_sim::batch(half, half, Traps::ALL));
    let mut all = interrex_sim::batch(0, half, Traps::ALL);
    all.join(other.join().expect("a run never panics"));
    all
}

#[test]
fn nothing_is_broken_under_two_thousand_seeds_and_every_danger_was_met() {
    let all = all();
    let told: Vec<String> =
        all.violations.iter().map(|(seed, what)| format!("seed {seed}: {what}")).collect();
    assert!(told.is_empty(), "play one with: interrex-sim --seed N --shorten\n{}", told.join("\n"));
    let unreached = all.unreached(Danger::FIRST, SEEDS);
    assert!(unreached.is_empty(), "never reached: {unreached:?}");
    assert!(all.failovers > SEEDS, "{} failovers in {SEEDS} runs", all.failovers);
}

#[test]
fn a_seed_is_one_play_byte_for_byte() {
    for seed in [1, 2, 3, 15, 101] {
        let (first, second) =
            (interrex_sim::play(seed, Traps::ALL).1, interrex_sim::play(seed, Traps::ALL).1);
        assert!(first.len() > 10, "seed {seed} has a play");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn a_play_that_is_not_kept_is_the_same_run() {
    for seed in [4, 5, 6] {
        let (kept, run) = (interrex_sim::play(seed, Traps::ALL).0, interrex_sim::run(seed, Traps::ALL));
        assert_eq!((kept.events, kept.acknowledged), (run.events, run.acknowledged), "seed {seed}");
    }
}

/// Where the hashes of three plays stand: written anew with `UPDATE_GOLDEN=1 cargo test -p interrex-sim --test seeds`.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");

#[test]
fn three_plays_are_what_they_were_on_every_machine_that_ever_ran_them() {
    let told: String =
        [7, 42, 1107].map(|seed| format!("{seed} {:016x}\n", interrex_sim::play_hash(seed))).concat();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &told).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    assert_eq!(
        told, golden,
        "the same seed plays differently: expected after a change of the rules or of the model, and a fault without one"
    );
}

#[test]
fn coordinators_that_take_one_cluster_for_another_are_noticed() {
    for seed in 0..20 {
        let violations = interrex_sim::run_with_mixed_reports(seed).violations;
        let broken = violations.first().map(|broken| broken.property);
        assert_eq!(broken, Some("clusters-are-apart"), "seed {seed}");
    }
}

#[test]
fn a_clock_beyond_the_margin_lets_two_leases_run_at_once() {
    let broken = (0..20).filter(|seed| {
        let violations = interrex_sim::run_beyond_the_margin(*seed).violations;
        violations.first().is_some_and(|broken| broken.property == "one-running-lease")
    });
    assert!(broken.count() > 10, "leases are counted by clocks, and nobody noticed one that is half as fast");
}
