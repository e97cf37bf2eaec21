//! What `interrex demo` and its hidden sweeper are told on the command line. Parsing only; what does not fit together
//! is refused in `lib.rs`, before anything is made.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `interrex demo`
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Play this script and report, instead of the menu
    #[arg(long, value_enum)]
    pub script: Option<Script>,
    /// Measure this at rest or under load instead, with nothing broken
    #[arg(long, value_enum, conflicts_with = "script")]
    pub measure: Option<Measure>,
    /// Use this directory, which must be empty or absent, and keep it: logs, data, the ledger
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Before the kill, have the coordinators' leader on the primary's machine, or elsewhere
    #[arg(long, value_enum, default_value_t)]
    pub raft_leader: RaftLeader,
    /// As the binary's global `--output` says; set by the binary.
    #[arg(skip)]
    pub output: Output,
}

/// What to do to the cluster's primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Script {
    /// SIGKILL to everything on the primary's machine: agent, guard, PostgreSQL, coordinator
    KillPrimary,
    /// SIGKILL to the primary's postmaster alone
    KillPostmaster,
    /// Nothing dies: the primary is handed over to a standby, as planned
    Switchover,
    /// SIGKILL to everything on a standby's machine, for good; once the commit rule does without it, the same to the
    /// primary's
    StoppedStandby,
}

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// A minute of rest: memory, processor time and written bytes of nodes and guards
    Idle,
    /// pgbench for two minutes in slices of a second, in every other one of which the node of the primary's machine is stopped;
    /// then the same with the nodes of all machines
    Pgbench,
}

impl Script {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Script::KillPrimary => "kill-primary",
            Script::KillPostmaster => "kill-postmaster",
            Script::Switchover => "switchover",
            Script::StoppedStandby => "stopped-standby",
        }
    }

    /// The primary's machine dies, all of it.
    pub(crate) fn kills_the_machine(self) -> bool {
        matches!(self, Script::KillPrimary | Script::StoppedStandby)
    }
}

/// Where the coordinators' leader is to be when the kill comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RaftLeader {
    /// Where it happens to be.
    #[default]
    Any,
    /// On the machine of the primary.
    WithPrimary,
    /// On another machine.
    Elsewhere,
}

impl RaftLeader {
    /// True when `leader` will do while `primary` is the primary's machine.
    pub(crate) fn content_with(self, leader: &str, primary: &str) -> bool {
        match self {
            RaftLeader::Any => true,
            RaftLeader::WithPrimary => leader == primary,
            RaftLeader::Elsewhere => leader != primary,
        }
    }
}

/// How the result looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// An account for people; progress goes to standard output as well.
    #[default]
    Table,
    /// One JSON object on standard output; progress goes to standard error.
    Json,
}

/// `interrex demo-sweeper`: started by the demo, never by a person.
#[derive(Debug, Clone, Args)]
pub struct SweeperArgs {
    /// The demo's directory
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Leave the directory in place
    #[arg(long)]
    pub keep: bool,
}
