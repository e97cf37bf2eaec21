//! Seeds of the second tier: what must hold does, and a seed is one play, byte for byte, in one process and in two, and
//! on any machine.

use std::process::Command;

/// So few, and quick ones: each is a minute of a group's life. `interrex-whole --seeds N` runs more.
const FROM: u64 = 2;
const SEEDS: u64 = 2;
/// The one that is played.
const PLAYED: u64 = 9;
/// Where the hash of its play stands: written anew with `UPDATE_GOLDEN=1 cargo test -p interrex-whole`.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");

#[test]
fn nothing_is_broken_under_a_few_seeds() {
    let all = interrex_whole::batch(FROM, SEEDS);
    let told: Vec<String> =
        all.violations.iter().map(|(seed, what)| format!("seed {seed}: {what}")).collect();
    assert!(told.is_empty(), "play one with: interrex-whole --seed N --trace\n{}", told.join("\n"));
    assert!(all.failovers > 0, "no primary was ever changed");
    assert!(all.acknowledged > 100, "{} acknowledged commits", all.acknowledged);
}

/// Two plays are the same, or the first lines that differ are told.
fn same(first: &[String], second: &[String]) {
    let differs = first.iter().zip(second).position(|(one, other)| one != other);
    if let Some(at) = differs {
        panic!("they part at line {at}:\n{}\n{}", first[at], second[at]);
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn a_seed_is_one_play_byte_for_byte_in_one_process_and_in_two() {
    let first = interrex_whole::play(PLAYED).1;
    assert!(first.len() > 100, "the play has {} lines", first.len());
    same(&first, &interrex_whole::play(PLAYED).1);
    let other = Command::new(env!("CARGO_BIN_EXE_interrex-whole"))
        .args(["--seed", &PLAYED.to_string(), "--trace"])
        .output();
    let other = String::from_utf8(other.expect("the program starts").stdout).expect("a play is text");
    let mut lines: Vec<String> = other.lines().map(str::to_owned).collect();
    // The last line tells what came of it, and how quickly.
    lines.pop();
    same(&first, &lines);
    as_it_ever_was(&first);
}

/// The play is the one that it was on every machine that ever played it.
fn as_it_ever_was(play: &[String]) {
    let told = format!("{PLAYED} {:016x}\n", interrex_sim::hash(play));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &told).expect("the file is ours");
    }
    let golden = std::fs::read_to_string(GOLDEN).expect("the file is there");
    assert_eq!(
        told, golden,
        "the seed plays differently: expected after a change of what coordinators or agents do or log, of the rules or of \
         the model, and a fault without one"
    );
}
