//! The chaos harness: a cluster of the shipped programs on machines-in-miniature, each a network namespace with a control
//! group of its own; one fault a run, with proof that it took effect; a client that keeps every answer; a verdict.
//!
//! What runs is what ships: `interrex node`, its guard, PostgreSQL. Nothing of it knows that it is being watched, and
//! nothing here knows how it works: what must hold is said by `chaos/check`, and by each fault's row of the catalogue.
//! Nothing outside of the run's own namespaces, groups and directory is touched, and all of that is removed at its end.

mod args;
mod bank;
mod bench;
mod busy;
mod catalogue;
mod clients;
mod evidence;
mod film;
mod ground;
mod nemesis;
mod page;
mod picture;
mod play;
mod report;
mod run;
mod scene;
mod story;
mod tools;
mod verdict;

use std::process::ExitCode;

pub use args::Args;
pub use interrex_rig::exit_code;

use crate::args::Command;

/// Does what the arguments say; the exit code is that of `main.rs`.
///
/// # Errors
/// One line: what this machine refuses, or which argument is to be edited ([`exit_code`] tells them apart).
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Run(run) => run::run(run, args.output),
        Command::Random(random) => run::random(random, args.output),
        Command::Bench(bench) => run::bench(bench, args.output),
        Command::List => report::say(&catalogue::listed(args.output)?),
        Command::Clean => ground::clean(),
    }
}
