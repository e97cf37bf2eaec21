//! `interrex-whole`: runs seeds of the second tier and tells what they broke and what they never reached; or one seed, with
//! its play.
//!
//! Exits 0 only when nothing was broken and, in a batch large enough to expect it, everything was reached; 1 otherwise;
//! 2 for arguments that do not fit.

use clap::Parser;
use interrex_sim::{Batch, Danger, Outcome, Output};
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
    /// Leaves out strikes, and what makes the world harder to follow, for as long as the same property stays broken, and plays
    /// the rest. That takes as many runs as there are pieces, and more.
    #[arg(long, requires = "seed")]
    shorten: bool,
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
    let (outcome, lines): (Outcome, Vec<String>) = match (args.shorten, args.trace) {
        (true, _) => interrex_whole::shorten(seed).unwrap_or_else(|| interrex_whole::play(seed)),
        (false, true) => interrex_whole::play(seed),
        (false, false) => (interrex_whole::run(seed), Vec::new()),
    };
    if args.output == Output::Text {
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    let mut batch = Batch::default();
    batch.add(&outcome);
    Ok(batch)
}
