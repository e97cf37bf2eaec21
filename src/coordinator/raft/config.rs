//! What a raft node is told: who it is, whom it starts with, where its files are, and how patient it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use interrex_rt::{Dialer, Rng, SystemRng};
use interrex_tls::Tls;

use super::log::{LogDisk, LogError};

/// Everything a [`RaftNode`](super::RaftNode) needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// This machine's name.
    pub machine_name: String,
    /// The machines that form the group at its first start, with the `host:port` of each coordinator: 1, 3 or 5.
    /// Later the log knows the members, and this is only where to ask for them.
    pub group_members: BTreeMap<String, String>,
    /// A group that exists takes this machine in: an empty directory never forms one, and `group_members` are those of
    /// that group, any number of them, and this machine.
    pub join: bool,
    /// What an operator corrects when `group_members` are not as they should be, as lines name it.
    pub members_key: String,
    /// The highest level of entries that this build reads; told to the others. 0: none is told.
    pub reads_level: u32,
    /// The directory for log and snapshots, of this node alone (`<data_dir>/raft`). Created when missing.
    pub dir: PathBuf,
    /// `host:port` under which the other members reach this one.
    pub advertise: String,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Sizes.
    pub limits: Limits,
    /// How to speak TLS to the other members, who are believed only with a certificate of their own; `None`: plain
    /// text. The server's side of the connection is its owner's affair.
    pub tls: Option<Tls>,
    /// How connections to the other members are made.
    pub dialer: Dialer,
    /// Whence ids come, and how long elections are waited for.
    pub rng: Arc<dyn Rng>,
    /// Where log and snapshots go instead of `dir`.
    pub disk: Option<Arc<dyn LogDisk>>,
}

impl Config {
    /// A configuration with the default timing and limits, without TLS, on this machine's own files and network.
    #[must_use]
    pub fn new(
        machine_name: &str,
        group_members: BTreeMap<String, String>,
        dir: PathBuf,
        advertise: &str,
    ) -> Self {
        Self {
            machine_name: machine_name.to_owned(),
            group_members,
            join: false,
            members_key: "coordinator.members".to_owned(),
            reads_level: 0,
            dir,
            advertise: advertise.to_owned(),
            timing: Timing::default(),
            limits: Limits::default(),
            tls: None,
            dialer: Dialer::default(),
            rng: Arc::new(SystemRng),
            disk: None,
        }
    }
}

/// How long silence is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of a leader; also the deadline of each.
    pub heartbeat: Duration,
    /// An election begins between `election_max + election_min` and twice `election_max` after the last contact.
    pub election_min: Duration,
    /// Also the leader's lease: a leader that no quorum answered for so long takes no proposals.
    pub election_max: Duration,
}

impl Default for Timing {
    /// A new leader 0.9 to 1.2 s after the old one died: six heartbeats in a row have to be lost, which leans towards not
    /// electing on a slow disk; three, and the old one waits with its proposals.
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { heartbeat: ms(120), election_min: ms(300), election_max: ms(600) }
    }
}

/// Sizes, which only tests and simulations change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A log segment is closed once it has this many bytes.
    pub segment_bytes: u64,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot, so that a member that was away briefly needs no snapshot.
    pub entries_kept: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment_bytes: 4 << 20, snapshot_every: 2000, entries_kept: 1000 }
    }
}

/// Why a node cannot start. Nothing was changed on disk, unless the text says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The directory is in use, or cannot be.
    #[error("lock {dir}: {source}")]
    Lock {
        /// The directory.
        dir: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshots, or what is in them.
    #[error("{0}")]
    Snapshot(String),
    /// openraft refused what it found.
    #[error("start raft in {dir}: {why}")]
    Start {
        /// The directory.
        dir: String,
        /// In words.
        why: String,
    },
}

pub(crate) fn check(config: &Config) -> Result<openraft::Config, OpenError> {
    let wrong = |line: String| OpenError::Config(line);
    let (size, key) = (config.group_members.len(), &config.members_key);
    if config.join && size < 2 {
        return Err(wrong(format!(
            "{key} lists nobody else to join: write the members of the group and this machine"
        )));
    }
    if !config.join && ![1, 3, 5].contains(&size) {
        return Err(wrong(format!("{key} lists {size} machines: a group has 1, 3 or 5")));
    }
    for (machine, addr) in &config.group_members {
        let twice = config.group_members.iter().find(|(other, a)| *other != machine && *a == addr);
        if let Some((other, _)) = twice {
            return Err(wrong(format!("{key} gives {addr} to both {machine} and {other}")));
        }
    }
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let openraft = openraft::Config {
        cluster_name: "interrex".to_owned(),
        heartbeat_interval: ms(config.timing.heartbeat),
        // What a member has just answered, a confirmation or an entry, is a heartbeat as good as any.
        heartbeat_min_interval: Some(ms(config.timing.heartbeat / 2)),
        election_timeout_min: ms(config.timing.election_min),
        election_timeout_max: ms(config.timing.election_max),
        install_snapshot_timeout: 10_000,
        // Entries are at most 1 MiB (see `propose`), so a batch always fits into a message.
        max_payload_entries: 32,
        snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(config.limits.snapshot_every),
        max_in_snapshot_log_to_keep: config.limits.entries_kept,
        backoff: "50ms 100ms 200ms ...500ms".to_owned(),
        enable_pre_vote: Some(true),
        // A restarted leader stands for election like anybody else: its state may be older than before the crash.
        enable_leader_restore: Some(false),
        // Under a partial partition, an old leader's heartbeats must not hold off the election of the majority.
        quorum_loss_probe_interval: Some(2 * ms(config.timing.election_max)),
        ..openraft::Config::default()
    };
    openraft.validate().map_err(|e| wrong(format!("raft timing: {e}")))
}
