//! Each trap of PostgreSQL that the model has bites: a rule that is there because of it is missed while it is switched off
//! and the trap is there, and by nobody where PostgreSQL is without it.

use interrex_sim::{BITES, Bite, kindly, mutated};

/// What is wrong with it, in words; nothing, if it bites.
fn toothless(bite: &Bite) -> Option<String> {
    let (trap, missed) = (bite.trap, &bite.missed);
    let (mutant, property, within) = (missed.mutant, missed.property, missed.within);
    let breaks = |seed: &u64| {
        mutated(*seed, missed).violations.first().is_some_and(|broken| broken.property == property)
    };
    if (0..within).find(breaks).is_none() {
        return Some(format!("{trap:?}: {mutant:?} off breaks '{property}' in none of {within} seeds"));
    }
    let breaks = |seed: u64| kindly(seed, bite).violations.first().cloned().map(|broken| (seed, broken));
    let (seed, broken) = (0..within).find_map(breaks)?;
    Some(format!("without {trap:?}, {mutant:?} off, seed {seed}: {broken}: it is not that trap which bites"))
}

#[test]
fn each_trap_is_what_a_rule_is_there_for() {
    let (some, others) = BITES.split_at(BITES.len() / 2);
    let half = std::thread::spawn(|| some.iter().filter_map(toothless).collect::<Vec<_>>());
    let mut wrong: Vec<String> = others.iter().filter_map(toothless).collect();
    wrong.extend(half.join().expect("a run never panics"));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
