//! The multi-call binary `interrex`: a node, the demo, and the operator's commands.
//!
//! Only here are logs installed, signals heard and exit codes given: 0 done, 1 refused or failed with one clear line,
//! 2 a file or an argument is to be edited.

mod apart;
mod arguments;
mod log;
mod node;
mod notify;
mod recover;
mod reload;

use clap::{Parser, Subcommand};
use interrex_config::LogFormat;
use interrex_coordinator::raft::LogError;
use interrex_ctl::Common;
use interrex_demo::{DemoArgs, SweeperArgs};
use interrex_ledger::LedgerArgs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// PostgreSQL clusters that fail over by themselves, with no acknowledged commit lost.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Three nodes on loopback, a writer, and a menu: kill the primary and watch.
    Demo(DemoArgs),
    /// Run what a node file names: coordinator, agent, PostgreSQL.
    Node {
        /// The node file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Only read the file and look at the machine; change nothing.
        #[arg(long)]
        check: bool,
    },
    #[command(flatten)]
    Ctl(interrex_ctl::Command),
    /// The records of a coordinator's log as JSON lines; works beside a running node.
    RaftLog {
        /// The `raft` directory below a node's data_dir.
        dir: PathBuf,
    },
    /// The writer that the demo, the benchmark and the tests judge by.
    #[command(hide = true)]
    Ledger(LedgerArgs),
    /// Clears away what a demo leaves, however that ended.
    #[command(hide = true)]
    DemoSweeper(SweeperArgs),
}

/// What went wrong, and what to exit with.
struct Failed {
    why: String,
    code: u8,
}

impl Failed {
    fn new(code: u8, why: impl ToString) -> Self {
        Self { why: why.to_string(), code }
    }

    /// For a program that reads the log as JSON its last lines are in the log, and nowhere else.
    fn told_in(self, log: LogFormat) -> Self {
        match log {
            LogFormat::Text => self,
            LogFormat::Json => {
                self.why.lines().for_each(|line| tracing::error!("{line}"));
                Self { why: String::new(), ..self }
            }
        }
    }
}

fn main() -> ExitCode {
    match run(arguments::parse()) {
        Ok(code) => code,
        Err(Failed { why, code }) => {
            // What the operator reads, a line a problem; when stderr is gone nobody is left to read it.
            for line in why.lines() {
                let _ = writeln!(io::stderr(), "interrex: {line}");
            }
            ExitCode::from(code)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failed> {
    match cli.command {
        Command::Demo(mut args) => {
            args.output = match cli.common.output {
                interrex_ctl::Output::Table => interrex_demo::Output::Table,
                interrex_ctl::Output::Json => interrex_demo::Output::Json,
            };
            let done = runtime()?.block_on(interrex_demo::main(args));
            done.map_err(|e| Failed::new(interrex_demo::exit_code(&e), format!("{e:#}")))
        }
        Command::DemoSweeper(args) => Ok(interrex_demo::sweep_main(args)),
        Command::RaftLog { dir } => {
            match interrex_coordinator::raft::dump(&dir, &tell_entry, &mut io::stdout().lock()) {
                Ok(()) => Ok(ExitCode::SUCCESS),
                // `interrex raft-log DIR | head` is no failure.
                Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
                    Ok(ExitCode::SUCCESS)
                }
                Err(absent @ LogError::Absent { .. }) => Err(Failed::new(2, absent)),
                Err(why) => Err(Failed::new(1, why)),
            }
        }
        Command::Node { config, check } => node::run(&config, check),
        Command::Ledger(args) => {
            runtime()?.block_on(interrex_ledger::main(args)).map_err(|e| Failed::new(e.exit_code(), e))
        }
        Command::Ctl(interrex_ctl::Command::Coordinator(interrex_ctl::Coordinator::Recover(args))) => {
            runtime()?.block_on(recover::run(&args))
        }
        Command::Ctl(command) => {
            let done = runtime()?.block_on(interrex_ctl::run(&cli.common, &command, &mut io::stdout()));
            done.map(|()| ExitCode::SUCCESS).map_err(|e| Failed::new(e.exit_code(), e))
        }
    }
}

/// An entry of the log in words; its passwords are not among them.
fn tell_entry(bytes: &[u8]) -> String {
    match interrex_api::log::decode_entry(bytes) {
        Ok(entry) => format!("{}: {}", entry.cluster, entry.command),
        Err(why) => why.to_string(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    // Two threads: one may be busy with a proof while the other renews leases. A coordinator has its own ([`apart`]).
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|e| {
        Failed::new(1, format!("start the runtime: {e}; is a limit on threads or files too low?"))
    })
}
