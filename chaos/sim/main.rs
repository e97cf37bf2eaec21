//! `interrex-sim`: runs seeds and tells what they broke and what they never reached; or one seed, with its play.
//!
//! Exits 0 only when nothing was broken and, in a batch large enough to expect it, everything was reached; 1 otherwise;
//! 2 for arguments that do not fit.

use clap::{Parser, ValueEnum};
use interrex_sim::{Batch, Outcome};
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// Fewer runs than this need not reach every dangerous state.
const EXPECT_ALL_FROM: u64 = 1_000;
/// So many broken seeds are told one by one.
const TOLD: usize = 20;

/// Runs the rules of Interrex in a simulated world, one world a seed.
#[derive(Parser)]
#[command(name = "interrex-sim")]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// How many threads run them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    threads: u64,
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints the play of that seed, a line an event.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Leaves out strikes for as long as the same property stays broken, and plays the rest.
    #[arg(long, requires = "seed")]
    shorten: bool,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One object for programs.
    Json,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let mut out = io::stdout().lock();
    let done = match args.seed {
        Some(seed) => one(&mut out, seed, &args, begun),
        None => {
            let batch = many(&args);
            tell(&mut out, &batch, &args, begun)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let _ = writeln!(io::stderr(), "interrex-sim: cannot write the result: {why}");
            ExitCode::FAILURE
        }
    }
}

/// One seed: its play if that is wanted, then what came of it.
fn one(out: &mut impl Write, seed: u64, args: &Args, begun: Instant) -> io::Result<bool> {
    let (outcome, lines): (Outcome, Vec<String>) = match (args.shorten, args.trace) {
        (true, _) => interrex_sim::shorten(seed).unwrap_or_else(|| interrex_sim::play(seed)),
        (false, true) => interrex_sim::play(seed),
        (false, false) => (interrex_sim::run(seed), Vec::new()),
    };
    if args.output == Output::Text {
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    let mut batch = Batch::default();
    batch.add(&outcome);
    tell(out, &batch, args, begun)
}

/// All seeds, shared among the threads.
fn many(args: &Args) -> Batch {
    let threads = args.threads.clamp(1, 64);
    let share = args.seeds.div_ceil(threads);
    let parts = (0..threads)
        .map(|n| (args.from.saturating_add(n * share), share.min(args.seeds.saturating_sub(n * share))));
    let mut all = Batch::default();
    std::thread::scope(|scope| {
        let running: Vec<_> =
            parts.map(|(from, count)| scope.spawn(move || interrex_sim::batch(from, count))).collect();
        for thread in running {
            match thread.join() {
                Ok(batch) => all.join(batch),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all
}

fn tell(out: &mut impl Write, batch: &Batch, args: &Args, begun: Instant) -> io::Result<bool> {
    let seconds = begun.elapsed().as_secs_f64().max(0.001);
    let unreached = if batch.runs >= EXPECT_ALL_FROM { batch.unreached() } else { Vec::new() };
    let good = batch.violations.is_empty() && unreached.is_empty();
    if args.output == Output::Json {
        let broken = |(seed, violation): &(u64, interrex_sim::Violation)| json!({ "seed": seed, "property": violation.property, "story": violation.story });
        let result = json!({
            "runs": batch.runs,
            "failovers": batch.failovers,
            "acknowledged": batch.acknowledged,
            "simulated_s": batch.simulated_ms / 1_000,
            "violations": batch.violations.iter().map(broken).collect::<Vec<_>>(),
            "unreached": unreached,
            "seeds_per_s": (batch.runs as f64 / seconds * 10.0).round() / 10.0,
            "failovers_per_s": (batch.failovers as f64 / seconds * 10.0).round() / 10.0,
        });
        writeln!(out, "{result}")?;
        return Ok(good);
    }
    for (seed, violation) in batch.violations.iter().take(TOLD) {
        writeln!(out, "seed {seed}: {violation}")?;
    }
    for state in &unreached {
        writeln!(out, "never reached: {state}")?;
    }
    writeln!(
        out,
        "{} runs, {} failovers, {} acknowledged commits, {} simulated hours; {} violations; {:.1} seeds/s, {:.0} failovers/s",
        batch.runs,
        batch.failovers,
        batch.acknowledged,
        batch.simulated_ms / 3_600_000,
        batch.violations.len(),
        batch.runs as f64 / seconds,
        batch.failovers as f64 / seconds
    )?;
    Ok(good)
}
