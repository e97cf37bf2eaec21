//! What a node file says, after every key was understood and no two contradict each other.
//!
//! Defaults are filled in here where they are a matter of the file alone (`name` of an instance,
//! `coordinators` of an agent); what has to be found on the machine (`bin_dir`, the user) stays `None`
//! until [`crate::check`] finds it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use interrex_tls::Files;

use crate::{Address, ClusterName, InstanceName, MachineName, Target};

/// One machine's node: what it is called, where it keeps its own state, and which parts run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The file this came from, as it was named on the command line; opens every error line.
    pub file: PathBuf,
    /// Unique among machines.
    pub name: MachineName,
    /// Failure domain; `None` where the file names none.
    pub zone: Option<String>,
    /// Raft log, epochs, sockets. Absolute.
    pub data_dir: PathBuf,
    /// Where health and metrics are served over HTTP, if at all.
    pub http: Option<SocketAddr>,
    /// How log lines look on stderr.
    pub log_format: LogFormat,
    /// `[tls]`: how this machine proves its name to others. `None`: plain text, which is loopback or somebody's
    /// written will.
    pub tls: Option<Files>,
    /// Present where this machine votes.
    pub coordinator: Option<Coordinator>,
    /// Present where instances run here or `[agent]` is written.
    pub agent: Option<Agent>,
    /// The PostgreSQL servers of this machine, in the order of the file.
    pub instances: Vec<Instance>,
    /// Clusters to be created at first start, should they not exist.
    pub clusters: BTreeMap<ClusterName, Cluster>,
}

/// `log_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// `[coordinator]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinator {
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// The group at first start: 1, 3 or 5 members, this machine among them; all addresses differ. With `join`: any
    /// number of them from 2 on.
    pub members: BTreeMap<MachineName, Address>,
    /// `join`: at first start, wait to be added to the group of the others instead of forming one. False unless written
    /// otherwise.
    pub join: bool,
    /// `yield_to_primary`: whether leadership is handed away from a machine that hosts a primary to one that hosts
    /// none, so that one death rarely costs both. True unless written otherwise.
    pub yield_to_primary: bool,
    /// `admin_token_file`: what an operator without a certificate has to show. Absolute; judged by `check`.
    pub admin_token_file: Option<PathBuf>,
}

/// `[agent]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// To whom this machine reports; at least one. Left out of the file: all members, with their names.
    pub coordinators: Vec<Target>,
    /// The key that they were taken from.
    pub key: &'static str,
}

/// `[[instance]]`: one PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Its name within the cluster; the machine's unless the file says otherwise.
    pub name: InstanceName,
    /// Where PostgreSQL listens; may be a wildcard, and then `advertise` was written.
    pub listen: SocketAddr,
    /// Where others reach it; `listen` unless the file says otherwise. Never a wildcard.
    pub advertise: Address,
    /// The data directory. Absolute; it neither holds nor lies in another instance's.
    pub pgdata: PathBuf,
    /// Where `postgres` and its tools are; `None`: to be found by `check`.
    pub bin_dir: Option<PathBuf>,
    /// The user PostgreSQL runs as, when started as root; `None`: `postgres` then. Never `root`.
    pub run_as: Option<String>,
    /// Which standby is preferred, all else being equal.
    pub priority: Priority,
    /// Given to PostgreSQL by the agent, verbatim.
    pub archive_command: Option<String>,
    /// Given to PostgreSQL by the agent, verbatim.
    pub restore_command: Option<String>,
}

/// `priority`: as the promotion tier of RDS, lower is preferred; a tie-break, never a safety rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// 0–15; 1 where the file is silent.
    Tier(u8),
    /// `"never"`: not to be promoted.
    Never,
}

impl Default for Priority {
    fn default() -> Self {
        Priority::Tier(1)
    }
}

/// `[cluster.NAME]`: a cluster to be created when all its instances have registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// How many instances it has, 1–15.
    pub instances: u8,
    /// How many standbys acknowledge each commit, fewer than `instances`; `None`: the policy's default.
    pub acks: Option<u8>,
    /// What writes do with no standby able to acknowledge; `None`: the policy's default.
    pub when_alone: Option<WhenAlone>,
    /// An application role made at creation, like the master user of RDS.
    pub login: Option<Login>,
}

/// `when_alone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAlone {
    /// Writes go on, unprotected, and every status line says so.
    Continue,
    /// Writes wait.
    Block,
}

/// `user` and `password_file` of `[cluster.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// `[a-z_][a-z0-9_]{0,62}`, none of PostgreSQL's or ours.
    pub user: String,
    /// Absolute; its first line is the password. Its mode is judged by `check`.
    pub password_file: PathBuf,
}
