//! The longer changes, each as a function from the view to the next command or to the wait that explains why there is
//! none yet. An operation keeps no state of its own: how far it has come stands in the record.

pub mod adopt;
mod ahead;
pub mod bootstrap;
pub mod contradiction;
pub mod failover;
mod fetch;
pub mod maintenance;
pub mod outage;
pub mod preview;
pub mod rejoin;
pub mod rule_change;
pub mod switchover;

use crate::command::Command;
use crate::problem::Wait;

/// What an operation wants now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advance {
    /// Commands to propose, in order.
    pub commands: Vec<Command>,
    /// What is waited for.
    pub waits: Vec<Wait>,
}

impl Advance {
    /// Nothing to do, nothing to wait for.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One command.
    pub fn command(command: Command) -> Self {
        Self { commands: vec![command], waits: Vec::new() }
    }

    /// One wait.
    pub fn wait(wait: Wait) -> Self {
        Self { commands: Vec::new(), waits: vec![wait] }
    }

    /// Adds another operation's wants to these.
    pub fn and(mut self, other: Advance) -> Self {
        self.commands.extend(other.commands);
        self.waits.extend(other.waits);
        self
    }
}
