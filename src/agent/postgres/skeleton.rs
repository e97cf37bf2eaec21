//! Signatures while their bodies are being moved into files of their own.

use super::{ControlData, Credentials, Error, Layout, Observed, Result, Settings, Upstream, Written};
use interrex_cluster::ids::{ClusterName, Epoch, Incarnation, SystemId};
use interrex_cluster::record::Address;
use interrex_cluster::report::Promotion;
use interrex_cluster::wal::{History, Lsn, Position, TimelineId};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A handle on one server, cheap to clone. Holds connections, but no state that matters.
#[derive(Debug, Clone)]
pub struct Server {
    inner: Arc<(Layout, Credentials)>,
}

/// What lies at `pgdata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    /// Nothing.
    Missing,
    /// An empty directory.
    Empty,
    /// A data directory of this major version.
    Postgres {
        /// From `PG_VERSION`.
        major: u32,
    },
    /// Something else, not to be touched.
    Foreign {
        /// What, in words.
        why: String,
    },
}

/// Whether anybody but the agents may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// As the rest of pg_hba.conf says.
    In,
    /// Nobody but our roles and the server's own operating system user on the socket.
    Out,
}

/// How far a clone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes copied.
    pub done: u64,
    /// Bytes to copy, as estimated by the source; 0 while unknown.
    pub total: u64,
}

/// What lies in `pg_wal` for one timeline's ancestry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryFile {
    /// A real one.
    Real(History),
    /// Ours: the number was never promoted, it only must not be chosen again (F20).
    Placeholder,
    /// Neither; PostgreSQL would trip over it, too.
    Damaged(String),
}

/// What a beat (a small synchronous commit of the agent's own) came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// It came back without a word: under the setting then in force, enough standbys have flushed it.
    Acknowledged {
        /// End of its commit record at the latest.
        lsn: Lsn,
    },
    /// It came back with a warning, which voids it as a proof (F2).
    Voided {
        /// The server's words.
        warning: String,
    },
}

/// What the barrier is to prove of a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `k` and the names.
    pub sync: super::SyncText,
    /// True when the setting before this one was `''`: then the checkpointer has to be proved, too (F7).
    pub from_async: bool,
}

#[allow(unused_variables, clippy::unused_async, missing_docs)]
impl Server {
    pub fn new(layout: Layout, credentials: Credentials) -> Self {
        Self { inner: Arc::new((layout, credentials)) }
    }
    pub fn layout(&self) -> &Layout {
        &self.inner.0
    }
    /// Major version of the binaries in `bin_dir`.
    pub async fn version(&self) -> Result<u32> {
        not_yet()
    }
    pub async fn control_data(&self) -> Result<ControlData> {
        not_yet()
    }
    pub async fn has_data(&self) -> Result<DataDir> {
        not_yet()
    }
    /// initdb beside `pgdata`, our files, fsync, rename. Ready to be started, as a standby.
    pub async fn initdb(&self) -> Result<()> {
        not_yet()
    }
    /// Program and arguments; working directory `pgdata`, environment without any PG* variable, stderr to `layout.log`.
    pub fn start_args(&self) -> (PathBuf, Vec<OsString>) {
        (PathBuf::new(), Vec::new())
    }
    /// Server up or down; does not reload.
    pub async fn write_settings(&self, settings: &Settings) -> Result<Written> {
        not_yet()
    }
    /// True when the file changed: a reload is due.
    pub async fn write_hba(&self, clients: Clients) -> Result<bool> {
        not_yet()
    }
    pub async fn put_standby_signal(&self) -> Result<()> {
        not_yet()
    }
    pub async fn has_standby_signal(&self) -> Result<bool> {
        not_yet()
    }
    pub async fn histories(&self) -> Result<BTreeMap<TimelineId, HistoryFile>> {
        not_yet()
    }
    /// Refuses to replace a real history with other contents.
    pub async fn write_history(&self, history: &History) -> Result<()> {
        not_yet()
    }
    /// Leaves any file that is already there.
    pub async fn write_placeholder(&self, timeline: TimelineId) -> Result<()> {
        not_yet()
    }
    /// Durable end of WAL (F16-F19). `from`: replay LSN of a live standby whose receiver is gone; none: server down.
    pub async fn wal_end(&self, from: Option<Lsn>, line: Option<&History>) -> Result<Position> {
        not_yet()
    }
    /// Clone, verify, our files, old directory aside, rename. Leaves settings `Idle`, clients out, standby.signal.
    pub async fn clone_from(
        &self,
        upstream: &Upstream,
        incarnation: Incarnation,
        system: SystemId,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<()> {
        not_yet()
    }
    /// pg_rewind (server down, sentinel set by the caller). Leaves settings `Idle`, clients out, standby.signal.
    pub async fn rewind_from(&self, source: &Address, system: SystemId) -> Result<()> {
        not_yet()
    }
    /// CHECKPOINT at a remote primary: needed before a rewind from majors up to 15 (F26).
    pub async fn remote_checkpoint(&self, address: &Address, deadline: Duration) -> Result<()> {
        not_yet()
    }
    /// System identifier and current position of a remote primary.
    pub async fn remote_position(
        &self,
        address: &Address,
        deadline: Duration,
    ) -> Result<(SystemId, Position)> {
        not_yet()
    }
    /// One look, one round trip on the kept connection. `Starting`, `Silent`, `Down` as errors.
    pub async fn observe(&self, deadline: Duration) -> Result<Observed> {
        not_yet()
    }
    /// `pg_reload_conf` by SQL when it answers, else SIGHUP to the postmaster.
    pub async fn reload(&self) -> Result<()> {
        not_yet()
    }
    /// A setting as a fresh connection sees it.
    pub async fn shown(&self, setting: &str) -> Result<String> {
        not_yet()
    }
    /// Waits until there is neither a row in `pg_stat_wal_receiver` nor a walreceiver process (F40).
    pub async fn receiver_gone(&self, deadline: Duration) -> Result<()> {
        not_yet()
    }
    /// The whole of PROTOCOL clause 3 on a live standby; the epoch must already be fsynced by the caller.
    pub async fn seal(&self, line: Option<&History>, deadline: Duration) -> Result<Position> {
        not_yet()
    }
    /// Histories, settings and the promotion mark are the caller's, before. Granted is irrevocable (F23).
    pub async fn promote(&self, epoch: Epoch, deadline: Duration) -> Result<Promotion> {
        not_yet()
    }
    /// What a server that is already a primary was promoted as: its timeline and fork.
    pub async fn promotion(&self) -> Result<Promotion> {
        not_yet()
    }
    /// Terminates every client backend but the agents'. Returns how many.
    pub async fn cut_clients(&self) -> Result<u64> {
        not_yet()
    }
    /// Physical slots, on a primary or a standby; drops ours (`ix_`) that are not listed.
    pub async fn ensure_slots(&self, names: &[String]) -> Result<()> {
        not_yet()
    }
    /// Roles, grants, the application's database. Primary only.
    pub async fn ensure_roles(&self, cluster: &ClusterName) -> Result<()> {
        not_yet()
    }
    /// One at a time, on a connection of its own.
    pub async fn beat(&self, deadline: Duration) -> Result<Beat> {
        not_yet()
    }
    /// The three-part proof (PROTOCOL 'Commit rules'). `Ok`: the rule is in force.
    pub async fn barrier(&self, rule: &Rule, deadline: Duration) -> Result<()> {
        not_yet()
    }
}

/// TCP connect and an answer to SSLRequest: somebody is there and schedules processes.
pub async fn knock(_address: &Address, _deadline: Duration) -> bool {
    false
}

fn not_yet<T>() -> Result<T> {
    Err(Error::Refused("this build is a skeleton".to_owned()))
}
