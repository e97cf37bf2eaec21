//! The binary `interrex-guard`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    interrex_guard::main(std::env::args_os().skip(1))
}
