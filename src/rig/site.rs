//! What a machine is before anything is made of it: its name, what runs on it, where its servers listen, and how a
//! program is started there. Whoever builds a cluster chooses: all on loopback, or each in a network of its own.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use interrex_ledger::HostSpec;
use tokio::process::Command;

/// What runs on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// A coordinator and an instance.
    Both,
    /// A vote, and no PostgreSQL.
    Coordinator,
    /// PostgreSQL with its agent, and no vote.
    Instance,
}

impl Duty {
    /// It votes.
    pub fn votes(self) -> bool {
        self != Duty::Instance
    }

    /// It runs PostgreSQL.
    pub fn serves(self) -> bool {
        self != Duty::Coordinator
    }
}

/// How a program is started on a machine: what stands before it on the command line. Nothing does where the machine is
/// the one that this process runs on. Whatever stands there has to end in `exec`: who is started is who is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launcher(pub Vec<OsString>);

impl Launcher {
    /// The command line of `program` up to its own arguments.
    pub fn command(&self, program: &Path) -> Command {
        match self.0.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        }
    }
}

/// A machine to be.
#[derive(Debug, Clone)]
pub struct Site {
    /// Of the machine, and so of its instance.
    pub name: String,
    /// What runs on it.
    pub duty: Duty,
    /// Where both its servers listen.
    pub address: IpAddr,
    /// Its coordinator's.
    pub coordinator_port: u16,
    /// Its PostgreSQL's.
    pub postgres_port: u16,
    /// How its node is started.
    pub launcher: Launcher,
}

impl Site {
    /// Where its coordinator is reached.
    pub fn coordinator(&self) -> String {
        SocketAddr::new(self.address, self.coordinator_port).to_string()
    }

    /// Where its PostgreSQL is reached.
    pub fn host(&self) -> HostSpec {
        HostSpec { host: self.address.to_string(), port: self.postgres_port }
    }
}
