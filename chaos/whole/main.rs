//! `interrex-whole`: runs seeds of the second tier and tells what they broke and what they never reached; or one seed, with
//! its play.
//!
//! Exits 0 only when nothing was broken and, in a batch large enough to expect it, everything was reached; 1 otherwise;
//! 2 for arguments that do not fit.

use clap::Parser;
use interrex_sim::{Batch, Danger, Output};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// Fewer runs than this need not reach every dangerous state.
const EXPECT_ALL_FROM: u64 = 500;

/// Runs the real coordinators of Interrex in a simulated world, one world a seed.
#[derive(Parser)]
#[command(name = "interrex-whole")]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 20, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// How many threads run them, each its own seeds.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    threads: u64,
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints the play of that seed, a line an event.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[expect(clippy::disallowed_methods, reason = "how long all runs took; no run sees it")]
fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let mut out = io::stdout().lock();
    let batch = match args.seed {
        Some(seed) => one(&mut out, seed, &args),
        None => Ok(interrex_sim::many(args.from, args.seeds, args.threads, interrex_whole::batch)),
    };
    let told = batch.and_then(|batch| {
        let unreached = batch.unreached(Danger::SECOND, EXPECT_ALL_FROM);
        interrex_sim::tell(&mut out, &batch, &unreached, args.output, begun.elapsed().as_secs_f64())
    });
    interrex_sim::exit("interrex-whole", told)
}

/// One seed: its play if that is wanted, and what came of it.
fn one(out: &mut impl Write, seed: u64, args: &Args) -> io::Result<Batch> {
    let mut batch = Batch::default();
    if args.trace && args.output == Output::Text {
        let (outcome, lines) = interrex_whole::play(seed);
        for line in lines {
            writeln!(out, "{line}")?;
        }
        batch.add(&outcome);
    } else {
        batch.add(&interrex_whole::run(seed));
    }
    Ok(batch)
}
