//! What `interrex-chaos` is told on the command line. Parsing only.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, ValueEnum};

use crate::catalogue;

/// Breaks a cluster of real processes on machines-in-miniature, and judges what came of it
#[derive(Debug, Parser)]
#[command(name = "interrex-chaos", version, propagate_version = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How results are told: for people, or as JSON, an object a line
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run faults one after the other, each against a cluster of its own; needs root
    Run(RunArgs),
    /// Run faults drawn from the catalogue, one after the other, until the time is over; needs root
    Random(RandomArgs),
    /// Run each fault many times, and tell how long writes stood still and how that came about; needs root
    Bench(BenchArgs),
    /// The catalogue: each fault, what is expected of it, and its bound
    List,
    /// Remove what runs that were killed have left behind, and nothing else; needs root
    Clean,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Faults of the catalogue
    #[arg(value_name = "FAULT", required_unless_present = "all", conflicts_with = "all",
          value_parser = PossibleValuesParser::new(catalogue::names()))]
    pub(crate) faults: Vec<String>,
    /// Every fault of the catalogue
    #[arg(long)]
    pub(crate) all: bool,
    /// Keep logs, data and ledgers, in a directory for each fault below this one
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RandomArgs {
    /// No further run begins after so many minutes
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) minutes: u64,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Faults of the catalogue
    #[arg(value_name = "FAULT", required = true, value_parser = PossibleValuesParser::new(catalogue::names()))]
    pub(crate) faults: Vec<String>,
    /// How often each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) runs: u64,
    #[command(flatten)]
    pub(crate) how: How,
}

/// What is the same for every kind of run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct How {
    /// Decides what is left open: which standby, where the coordinators' leader is, when, and for how long. Drawn and
    /// told when left out
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many machines have a PostgreSQL each; an odd number of them, five at most, vote
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=7))]
    pub(crate) machines: u8,
    /// Tell all runs as one page of HTML, too, that opens without a network
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// The program to break; the one beside interrex-chaos when left out
    #[arg(long, value_name = "FILE")]
    pub(crate) interrex: Option<PathBuf>,
}

/// How results are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people; progress goes to standard output as well.
    #[default]
    Table,
    /// One object a line on standard output; progress goes to standard error.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        Args::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn a_run_names_faults_of_the_catalogue() {
        let args = parsed("interrex-chaos run kill-machine kill-postmaster --seed 7 --output json").unwrap();
        assert_eq!(args.output, Output::Json);
        let Command::Run(run) = args.command else { panic!("{args:?}") };
        assert_eq!(run.faults, ["kill-machine", "kill-postmaster"]);
        assert_eq!((run.how.seed, run.how.machines, run.keep), (Some(7), 3, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [
            ("interrex-chaos run", "<FAULT>"),
            ("interrex-chaos run kill-moon", "kill-machine"),
            ("interrex-chaos run kill-machine --all", "cannot be used with"),
            ("interrex-chaos run --all --machines 2", "3..=7"),
            ("interrex-chaos run --all --seed x", "--seed"),
            ("interrex-chaos random --minutes 0", "1..=10000"),
            ("interrex-chaos bench", "<FAULT>"),
            ("interrex-chaos bench kill-machine --runs 0", "1..=1000"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
