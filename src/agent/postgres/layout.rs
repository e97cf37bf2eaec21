//! Where one server's things lie, who owns them, and which passwords open it.

use interrex_cluster::record::Address;
use std::path::PathBuf;

/// Where one server's things lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Directory of `postgres`, `initdb`, `pg_basebackup` …
    pub bin_dir: PathBuf,
    /// The data directory. Its parent must be writable: clones are made beside it and renamed.
    pub pgdata: PathBuf,
    /// Directory of the Unix socket; short, for a socket's path must stay under 108 bytes.
    pub socket_dir: PathBuf,
    /// Where the server listens for TCP.
    pub listen: Address,
    /// The operating system's user that PostgreSQL and its tools run as; absent: the agent's own.
    pub run_as: Option<RunAs>,
    /// The server's own log: its stderr, opened by whoever starts it.
    pub log: PathBuf,
    /// Password files and scratch, mode 0700, owned by the user that PostgreSQL runs as.
    pub private_dir: PathBuf,
    /// Operator's `archive_command`; absent: no archiving.
    pub archive_command: Option<String>,
    /// Operator's `restore_command`; used only while following, never while sealed.
    pub restore_command: Option<String>,
    /// Where replaced data directories are kept until the cluster is whole. On the same file system as `pgdata`, or
    /// the old directory stays beside `pgdata` under another name.
    pub aside: PathBuf,
}

/// A user of the operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    /// Its number.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its login name; also the role that may log in by `peer` on the socket.
    pub name: String,
}

/// The roles that the agents use. Role names are fixed: `interrex`, a superuser, and `interrex_repl`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Password of `interrex`.
    pub superuser: String,
    /// Password of `interrex_repl`.
    pub replication: String,
    /// An application's role and password, made with the cluster.
    pub owner: Option<(String, String)>,
}

/// The agents' superuser.
pub(crate) const SUPERUSER: &str = "interrex";
/// The role of streams, clones and rewinds.
pub(crate) const REPLICATION: &str = "interrex_repl";

impl std::fmt::Debug for Credentials {
    /// Never prints a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("owner", &self.owner.as_ref().map(|(name, _)| name))
            .finish_non_exhaustive()
    }
}
