//! Each rule, switched off, is missed by the property that is named for it; the same seed passes with it. A rule whose
//! absence nobody notices is either no rule or not tested.

use interrex_sim::{MUTANTS, mutated, themed};

#[test]
fn each_rule_is_missed_when_it_is_off_and_nothing_is_wrong_while_it_is_on() {
    let mut unnoticed = Vec::new();
    for missed in MUTANTS {
        let (mutant, property, within) = (missed.mutant, missed.property, missed.within);
        let breaks = |seed: &u64| {
            mutated(*seed, missed).violations.first().is_some_and(|broken| broken.property == property)
        };
        match (0..within).find(breaks) {
            Some(seed) => {
                eprintln!("{mutant:?}: {property} with seed {seed}");
                let (whole, told) = (themed(seed, missed), format!("{mutant:?}, seed {seed}, every rule on"));
                assert!(whole.violations.is_empty(), "{told}: {}", whole.violations[0]);
            }
            None => unnoticed.push(format!("{mutant:?} off breaks '{property}' in none of {within} seeds")),
        }
    }
    assert!(unnoticed.is_empty(), "\n{}\n", unnoticed.join("\n"));
}
