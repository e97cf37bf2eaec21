//! `interrex-sim`: runs seeds and tells what they broke and what they never reached; or one seed, with its play.
//!
//! Exits 0 only when nothing was broken and, in a batch large enough to expect it, everything was reached; 1 otherwise;
//! 2 for arguments that do not fit.

use clap::Parser;
use interrex_sim::{Batch, Danger, Outcome, Output, Trap, Traps};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// Fewer runs than this need not reach every dangerous state.
const EXPECT_ALL_FROM: u64 = 1_000;

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
    /// Leaves out strikes, and what makes the world harder to follow, for as long as the same property stays broken, and plays the
    /// rest.
    #[arg(long, requires = "seed")]
    shorten: bool,
    /// Traps of PostgreSQL that these runs are without, by their numbers in docs/POSTGRES.md: "F7,F8".
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    without: Vec<Trap>,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Args {
    fn traps(&self) -> Traps {
        Traps::without(&self.without)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let mut out = io::stdout().lock();
    let done = match args.seed {
        Some(seed) => one(&mut out, seed, &args, begun),
        None => {
            let traps = args.traps();
            let run = |from, count| interrex_sim::batch(from, count, traps);
            let batch = interrex_sim::many(args.from, args.seeds, args.threads, run);
            tell(&mut out, &batch, &args, begun)
        }
    };
    interrex_sim::exit("interrex-sim", done)
}

/// One seed: its play if that is wanted, then what came of it.
fn one(out: &mut impl Write, seed: u64, args: &Args, begun: Instant) -> io::Result<bool> {
    let traps = args.traps();
    let (outcome, lines): (Outcome, Vec<String>) = match (args.shorten, args.trace) {
        (true, _) => interrex_sim::shorten(seed, traps).unwrap_or_else(|| interrex_sim::play(seed, traps)),
        (false, true) => interrex_sim::play(seed, traps),
        (false, false) => (interrex_sim::run(seed, traps), Vec::new()),
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

fn tell(out: &mut impl Write, batch: &Batch, args: &Args, begun: Instant) -> io::Result<bool> {
    // Without a trap, what comes of it is not reached.
    let expected: &[Danger] = if args.without.is_empty() { Danger::FIRST } else { &[] };
    let unreached = batch.unreached(expected, EXPECT_ALL_FROM);
    interrex_sim::tell(out, batch, &unreached, args.output, begun.elapsed().as_secs_f64())
}
