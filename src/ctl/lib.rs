//! The operator's hand: one file a command, tables for people, JSON for programs.
//!
//! A command asks the coordinators through the admin API and writes to the given output; it never exits the process
//! and knows no files but those that were named to it. Exit classes: 0 done, 1 refused or failed with one clear line,
//! 2 used wrongly (clap's own).

mod coordinator;
mod create;
mod credentials;
mod events;
mod explain;
mod failover;
mod instance;
mod list;
mod parameters;
mod pause;
mod planned;
mod receipt;
mod render;
mod restart;
mod set;
mod show;
mod status;
mod switchover;
mod when;
#[cfg(test)]
#[path = "../../tests/shared/whole_cluster.rs"]
mod whole_cluster;

pub use coordinator::{Coordinator, Recover};
pub use credentials::Credentials;

use clap::{Args, Subcommand, ValueEnum};
use interrex_api::client::{Client, ClientError, ClientOptions};
use std::io::{self, Write};
use std::time::Duration;

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Addresses of coordinators, host:port or MACHINE=host:port, separated by commas; any of them will do.
    #[arg(
        long,
        global = true,
        env = "INTERREX_COORDINATORS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400"
    )]
    pub coordinators: Vec<String>,
    /// How to speak to coordinators over TLS, and as whom.
    #[command(flatten)]
    pub credentials: Credentials,
    /// Tables for people or JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How an answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs: one value, or one object a line for `events`.
    Json,
}

/// What can be asked of the coordinators.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make a cluster: once its instances have registered, one makes the first copy and the others clone it.
    Create(create::Create),
    /// Every cluster, a line each.
    List,
    /// One cluster: instances, lag, commit rule, lease, what is waited for, how to connect.
    Show(show::Show),
    /// Every cluster on one screen, with what is wrong.
    Status,
    /// What happened, oldest first.
    Events(events::Events),
    /// What is wrong with a cluster, who says so, what is done about it, and what is waited for.
    Explain(explain::Explain),
    /// What copies held that nobody else had, when they were given up.
    Receipt(receipt::Receipts),
    /// Change the primary without its help, or say what that would do.
    Failover(failover::Failover),
    /// Change the primary with its help: half a second without writes, and nothing lost.
    Switchover(switchover::Switchover),
    /// Change what is wanted of a cluster: acks, timeouts, PostgreSQL parameters.
    Set(set::Set),
    /// Restart PostgreSQL, the standbys first; the primary by way of a new epoch.
    Restart(restart::Restart),
    /// Give a standby's copy up and clone it anew.
    Reinit(instance::Reinit),
    /// The instances of a cluster.
    #[command(subcommand)]
    Instance(instance::Instance),
    /// No failover, no rebuild and no switchover begins until resumed. Shown on every status line.
    Pause(pause::Pause),
    /// Failovers and rebuilds begin by themselves again.
    Resume(pause::Pause),
    /// The coordinators themselves.
    #[command(subcommand)]
    Coordinator(coordinator::Coordinator),
}

impl Command {
    /// It changes nothing: whoever closed the pipe has read enough.
    fn only_looks(&self) -> bool {
        match self {
            Self::List
            | Self::Show(_)
            | Self::Status
            | Self::Events(_)
            | Self::Explain(_)
            | Self::Receipt(_)
            | Self::Coordinator(coordinator::Coordinator::List) => true,
            // Their verdict does not depend on who reads it.
            Self::Failover(failover) => failover.dry_run,
            Self::Switchover(switchover) => switchover.dry_run,
            Self::Create(_)
            | Self::Set(_)
            | Self::Restart(_)
            | Self::Reinit(_)
            | Self::Instance(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Coordinator(_) => false,
        }
    }
}

/// Why a command failed. Its text is the one line that the operator reads.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// The coordinators refused, or none answered.
    #[error("{0}{hint}", hint = hint(.0))]
    Client(#[from] ClientError),
    /// Arguments that do not fit together.
    #[error("{0}")]
    Usage(String),
    /// The command's own refusal.
    #[error("{0}")]
    Refused(String),
    /// A file named on the command line.
    #[error("{path}: {source}; name a file that can be read")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The output is gone; with a closed pipe nobody is left to be told.
    #[error("write the answer: {0}")]
    Output(#[from] io::Error),
}

/// The way out of what an address that nobody answers at means to an operator.
fn hint(error: &ClientError) -> &'static str {
    match error {
        ClientError::NoAnswer { .. } | ClientError::NotMember { .. } => ": try --coordinators",
        ClientError::NotNow { .. } => ": try again, or see: interrex coordinator list",
        _ => "",
    }
}

impl CtlError {
    /// 2 where an argument is to be edited, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            CtlError::Usage(_)
            | CtlError::File { .. }
            | CtlError::Client(ClientError::NoAddress | ClientError::BadAddress { .. }) => 2,
            CtlError::Client(_) | CtlError::Refused(_) | CtlError::Output(_) => 1,
        }
    }
}

/// What a command needs to do its work.
pub(crate) struct Session<'a> {
    pub(crate) client: Client,
    pub(crate) output: Output,
    pub(crate) out: &'a mut dyn Write,
}

impl Session<'_> {
    /// One JSON value and a newline.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), CtlError> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        writeln!(self.out, "{text}")?;
        Ok(())
    }
}

/// Carries a command out, writing its answer to `out`.
///
/// # Errors
/// [`CtlError`]; nothing was changed unless its text says that the outcome is unknown.
pub async fn run(common: &Common, command: &Command, out: &mut dyn Write) -> Result<(), CtlError> {
    let (tls, token) = common.credentials.load()?;
    let options = ClientOptions { overall: Duration::from_secs(8), tls, token, ..ClientOptions::default() };
    let client = Client::new(common.coordinators.clone(), options)?;
    let mut session = Session { client, output: common.output, out };
    let done = match command {
        Command::Create(create) => create.run(&mut session).await,
        Command::List => list::run(&mut session).await,
        Command::Show(show) => show.run(&mut session).await,
        Command::Status => status::run(&mut session).await,
        Command::Events(events) => events.run(&mut session).await,
        Command::Explain(explain) => explain.run(&mut session).await,
        Command::Receipt(receipt) => receipt.run(&mut session).await,
        Command::Failover(failover) => failover.run(&mut session).await,
        Command::Switchover(switchover) => switchover.run(&mut session).await,
        Command::Set(set) => set.run(&mut session).await,
        Command::Restart(restart) => restart.run(&mut session).await,
        Command::Reinit(reinit) => reinit.run(&mut session).await,
        Command::Instance(instance) => instance.run(&mut session).await,
        Command::Pause(pause) => pause.run(&mut session, true).await,
        Command::Resume(pause) => pause.run(&mut session, false).await,
        Command::Coordinator(coordinator) => coordinator.run(&mut session).await,
    };
    match done {
        // `interrex events --follow | head` is no failure. Whoever changes something, and is not told how it ended, has to know.
        Err(CtlError::Output(gone)) if gone.kind() == io::ErrorKind::BrokenPipe && command.only_looks() => {
            Ok(())
        }
        done => done,
    }
}
