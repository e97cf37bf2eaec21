//! `interrex-chaos`: breaks a cluster of real processes on machines-in-miniature, and judges what came of it.
//!
//! Exit codes: 0, all that was run held; 1, something did not, or the machine refuses; 2, an argument is to be edited;
//! 3, a fault showed no effect, so that its run says nothing; 130, interrupted.

use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match interrex_harness::main(&interrex_harness::Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            // With standard error gone nobody is left to be told.
            let _ = writeln!(io::stderr(), "interrex-chaos: {error:#}");
            ExitCode::from(interrex_harness::exit_code(&error))
        }
    }
}
