//! Many seeds, and what came of them in words: for the programs of both tiers.

use crate::batch::Batch;
use clap::ValueEnum;
use interrex_check::Violation;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

/// So many broken seeds are told one by one.
const TOLD: usize = 20;

/// How a result is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One object for programs.
    Json,
}

/// Runs `seeds` from `from` on, shared among so many threads; `run` runs a stretch of them.
pub fn many(from: u64, seeds: u64, threads: u64, run: impl Fn(u64, u64) -> Batch + Copy + Send) -> Batch {
    let threads = threads.clamp(1, 64);
    let share = seeds.div_ceil(threads);
    let parts =
        (0..threads).map(|n| (from.saturating_add(n * share), share.min(seeds.saturating_sub(n * share))));
    let mut all = Batch::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = parts.map(|(from, count)| scope.spawn(move || run(from, count))).collect();
        for thread in running {
            match thread.join() {
                Ok(batch) => all.join(batch),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all
}

/// Tells what came of a batch that took so many seconds: what it broke, what it never reached, and figures. True when
/// both lists are empty.
///
/// # Errors
/// It cannot be written.
pub fn tell(
    out: &mut impl Write,
    batch: &Batch,
    unreached: &[&str],
    output: Output,
    seconds: f64,
) -> io::Result<bool> {
    let good = batch.violations.is_empty() && unreached.is_empty();
    let seconds = seconds.max(0.001);
    if output == Output::Json {
        let broken = |(seed, violation): &(u64, Violation)| json!({ "seed": seed, "property": violation.property, "story": violation.story });
        let result = json!({
            "runs": batch.runs,
            "failovers": batch.failovers,
            "violations": batch.violations.iter().map(broken).collect::<Vec<_>>(),
            "unreached": unreached,
            "met": batch.met.iter().map(|(danger, runs)| (danger.text(), runs)).collect::<BTreeMap<_, _>>(),
            "seeds_per_s": (batch.runs as f64 / seconds * 10.0).round() / 10.0,
        });
        writeln!(out, "{result}")?;
        return Ok(good);
    }
    for (seed, violation) in batch.violations.iter().take(TOLD) {
        writeln!(out, "seed {seed}: {violation}")?;
    }
    for state in unreached {
        writeln!(out, "never reached: {state}")?;
    }
    let simulated_s = batch.simulated_ms as f64 / 1_000.0;
    writeln!(
        out,
        "{} runs, {} failovers, {} acknowledged commits, {:.1} simulated hours; {} violations; {:.1} seeds/s, {:.0} \
         failovers/s, {:.0} simulated s/s",
        batch.runs,
        batch.failovers,
        batch.acknowledged,
        simulated_s / 3_600.0,
        batch.violations.len(),
        batch.runs as f64 / seconds,
        batch.failovers as f64 / seconds,
        simulated_s / seconds
    )?;
    Ok(good)
}

/// What a program that told its result ends with: success only when that was good.
pub fn exit(program: &str, told: io::Result<bool>) -> ExitCode {
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let _ = writeln!(io::stderr(), "{program}: cannot write the result: {why}");
            ExitCode::FAILURE
        }
    }
}
