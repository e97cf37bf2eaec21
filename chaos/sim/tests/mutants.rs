//! Each rule, switched off, is missed by the property that is named for it; the same seeds pass with it. A rule whose
//! absence nobody notices is either no rule or not tested.

use interrex_sim::{Mutant, mutated, run};

/// Which rule, which property misses it, and within how many seeds.
const MUTANTS: &[(Mutant, &str, u64)] = &[
    (Mutant::Seal, "no-acknowledged-commit-lost", 600),
    (Mutant::JointRules, "no-acknowledged-commit-lost", 600),
    (Mutant::Barrier, "no-acknowledged-commit-lost", 600),
    (Mutant::RestartGate, "promoted-once-in-an-epoch", 600),
    (Mutant::PositionByEpoch, "no-acknowledged-commit-lost", 600),
    (Mutant::CloneCounts, "only-sound-copies-count", 600),
    (Mutant::LeaseConfirmation, "one-acknowledging-primary", 600),
    (Mutant::HistoryPreWrite, "promoted-once-in-an-epoch", 600),
    (Mutant::EpochPersistence, "no-acknowledged-commit-lost", 600),
    (Mutant::GoalOrder, "no-acknowledged-commit-lost", 600),
    (Mutant::RetireOrder, "no-acknowledged-commit-lost", 600),
];

#[test]
fn each_rule_is_missed_when_it_is_off_and_nothing_is_wrong_while_it_is_on() {
    let mut missed = Vec::new();
    for (mutant, property, within) in MUTANTS {
        let mut seen = std::collections::BTreeMap::new();
        let found = (0..*within).find(|seed| {
            let outcome = mutated(*seed, *mutant);
            for v in &outcome.violations {
                let e = seen.entry(v.property).or_insert((0u64, *seed));
                e.0 += 1;
            }
            outcome.violations.first().is_some_and(|broken| broken.property == *property)
        });
        match found {
            Some(seed) => {
                println!("{mutant:?}: seed {seed}: {property} {seen:?}");
                assert_eq!(run(seed).violations, Vec::new(), "seed {seed} is broken without {mutant:?} off");
            }
            None => {
                println!("{mutant:?} NO {seen:?}");
                missed.push(format!("{mutant:?} off breaks '{property}' in none of {within} seeds {seen:?}"))
            }
        }
    }
    assert!(missed.is_empty(), "\n{}\n", missed.join("\n"));
}
