//! What an agent is told when it is made, and where it keeps things. The values were checked where they came from
//! (the node file, or the program that embeds the agent).

use crate::postgres::{Layout, RunAs};
use crate::written::Written;
use interrex_cluster::ids::{ClusterName, DirectoryId, InstanceName, MachineName};
use interrex_cluster::policy::Policy;
use interrex_cluster::record::Address;
use interrex_tls::Tls;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// One machine's agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The machine's name.
    pub machine: MachineName,
    /// Failure domain; empty when there is none.
    pub zone: String,
    /// The node's own directory. Nobody else uses it meanwhile: `interrex::DataDir` makes it, locks it and says whose it is.
    pub data_dir: PathBuf,
    /// What identifies that directory, as long as it lives: a lost one comes back under another name.
    pub directory: DirectoryId,
    /// `host:port` or `MACHINE=host:port` of every coordinator; at least one.
    pub coordinators: Vec<String>,
    /// This machine's certificate, and the CA that is believed. Absent: plain text.
    pub tls: Option<Tls>,
    /// The `interrex-guard` program.
    pub guard: PathBuf,
    /// Lease, drift margin and heartbeat; the coordinators' own.
    pub policy: Policy,
    /// Where all this was written down, for lines that ask for an edit.
    pub written: Written,
}

/// One PostgreSQL server.
#[derive(Debug, Clone)]
pub struct InstanceConfig {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Its name there.
    pub name: InstanceName,
    /// Where PostgreSQL listens; may be a wildcard.
    pub listen: Address,
    /// Where others reach it.
    pub advertise: Address,
    /// The data directory.
    pub pgdata: PathBuf,
    /// Where `postgres` and its tools are.
    pub bin_dir: PathBuf,
    /// The user PostgreSQL runs as; absent: the agent's own, which is not root.
    pub run_as: Option<RunAs>,
    /// Promotion preference, 0 first; absent: never.
    pub priority: Option<u8>,
    /// Operator's `archive_command`.
    pub archive_command: Option<String>,
    /// Operator's `restore_command`.
    pub restore_command: Option<String>,
}

/// Where the agent keeps what belongs to one instance: `<data_dir>/instances/<cluster>/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rooms {
    /// The room itself: state and the guard's socket. The agent's own.
    pub(crate) own: PathBuf,
    /// PostgreSQL's Unix socket.
    pub(crate) run: PathBuf,
    /// Password files and scratch, given to PostgreSQL's user.
    pub(crate) private: PathBuf,
    /// Replaced data directories, given to PostgreSQL's user.
    pub(crate) aside: PathBuf,
}

impl Rooms {
    /// Two instances of one cluster on one machine have names of their own, and so have their rooms.
    pub(crate) fn of(agent: &AgentConfig, instance: &InstanceConfig) -> Self {
        let named_by_machine = instance.name.as_str() == agent.machine.as_str();
        let room = match named_by_machine {
            true => instance.cluster.to_string(),
            false => format!("{}.{}", instance.cluster, instance.name),
        };
        let own = agent.data_dir.join("instances").join(room);
        Self { run: own.join("run"), private: own.join("private"), aside: own.join("aside"), own }
    }

    /// Makes what is missing. PostgreSQL's user has to pass through to its socket: directories on the way are 0711.
    pub(crate) fn make(&self, run_as: Option<&RunAs>) -> io::Result<()> {
        let through = if run_as.is_some() { 0o711 } else { 0o700 };
        if let Some(instances) = self.own.parent() {
            directory(instances, through, None)?;
        }
        directory(&self.own, through, None)?;
        directory(&self.run, 0o755, run_as)?;
        directory(&self.private, 0o700, run_as)?;
        directory(&self.aside, 0o700, run_as)
    }

    /// The guard's socket.
    pub(crate) fn guard_socket(&self) -> PathBuf {
        self.own.join("guard.sock")
    }

    /// What PostgreSQL and its guard say.
    pub(crate) fn log(&self) -> PathBuf {
        self.own.join("postgres.log")
    }

    /// Where in that log the next line will stand.
    pub(crate) fn log_end(&self) -> u64 {
        std::fs::metadata(self.log()).map_or(0, |log| log.len())
    }

    /// Where PostgreSQL's things lie.
    pub(crate) fn layout(&self, instance: &InstanceConfig) -> Layout {
        Layout {
            bin_dir: instance.bin_dir.clone(),
            pgdata: instance.pgdata.clone(),
            socket_dir: self.run.clone(),
            listen: instance.listen.clone(),
            run_as: instance.run_as.clone(),
            log: self.log(),
            private_dir: self.private.clone(),
            archive_command: instance.archive_command.clone(),
            restore_command: instance.restore_command.clone(),
            aside: self.aside.clone(),
        }
    }
}

fn directory(path: &Path, mode: u32, owner: Option<&RunAs>) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            made?;
            // What a strict umask took away: without it PostgreSQL's user cannot pass.
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
    }
    match owner {
        Some(user) => std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)),
        None => fs::metadata(path).map(|_| ()),
    }
}
