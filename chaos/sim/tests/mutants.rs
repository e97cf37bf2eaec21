//! Each rule, switched off, is missed by the property that is named for it; the same seed passes with it. A rule whose
//! absence nobody notices is either no rule or not tested.
//!
//! Not every rule that can be switched off (`interrex_cluster::mutants`) is listed yet: those whose absence takes more
//! seeds to be noticed than a test may run are still to get strikes of their own.

use interrex_sim::{Mutant, mutated, run};

/// Which rule, which property misses it, and within how many seeds.
const MUTANTS: &[(Mutant, &str, u64)] = &[
    (Mutant::HistoryPreWrite, "promoted-once-in-an-epoch", 20),
    (Mutant::Seal, "no-acknowledged-commit-lost", 100),
];

#[test]
fn each_rule_is_missed_when_it_is_off_and_nothing_is_wrong_while_it_is_on() {
    let mut unnoticed = Vec::new();
    for (mutant, property, within) in MUTANTS {
        let breaks = |seed: &u64| {
            mutated(*seed, *mutant).violations.first().is_some_and(|broken| broken.property == *property)
        };
        match (0..*within).find(breaks) {
            Some(seed) => {
                eprintln!("{mutant:?}: {property} with seed {seed}");
                assert!(run(seed).violations.is_empty(), "seed {seed} is broken with every rule on, too");
            }
            None => unnoticed.push(format!("{mutant:?} off breaks '{property}' in none of {within} seeds")),
        }
    }
    assert!(unnoticed.is_empty(), "\n{}\n", unnoticed.join("\n"));
}
