//! A rule of the agent's own lines, switched off, is missed by the property that is named for it; the same seed passes with
//! it.

use interrex_cluster::mutants::{Mutant, switch};

const WITHIN: u64 = 50;

#[test]
fn a_group_that_was_replaced_is_missed_to_be_refused() {
    let broken = |seed: u64| {
        switch(Some(Mutant::ReplacedGroup));
        let outcome = interrex_whole::run_two_groups(seed);
        switch(None);
        eprintln!("seed {seed}: {:?}", outcome.violations.first());
        outcome.violations.first().is_some_and(|broken| broken.property == "only-the-elected-are-promoted")
    };
    let seed = (0..WITHIN).find(|seed| broken(*seed));
    let seed = seed.expect("the rule is missed");
    let whole = interrex_whole::run_two_groups(seed);
    assert!(whole.violations.is_empty(), "seed {seed}, every rule on: {}", whole.violations[0]);
}
