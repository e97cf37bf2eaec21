//! The node: what the rest of the coordinator holds in its hands.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::change::UnderWay;
use super::config::{Config, OpenError, check};
use super::confirm::{ConfirmError, Confirmations};
use super::leadership::{Leadership, Metrics, Told, follow};
use super::log::{LogDisk, LogError, LogStore, Pace, RealDisk, segments};
use super::machine::{Machine, MachineStore};
use super::network::Peers;
use super::runtime::with_source;
use super::server::{RaftServer, service};
use super::snapshot::SnapshotDir;
use super::types::{Command, Peer, StoredMembership, Types};

/// The largest entry, in bytes. A coordinator's commands are below 1 kB.
pub const MAX_ENTRY: usize = 1 << 20;

/// Why a proposal got no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Certainly not in the log: this member does not lead.
    #[error("this coordinator does not lead the group{}", super::leader_hint(.leader.as_ref()))]
    NotLeader {
        /// Who does, as far as known.
        leader: Option<Peer>,
    },
    /// It may be applied later or never: look before proposing it again.
    #[error("the outcome is unknown: no reply in time, or the leader changed meanwhile")]
    UnknownOutcome,
    /// Certainly not in the log.
    #[error("an entry of {0} bytes is larger than the {MAX_ENTRY} that the log takes")]
    TooLarge(usize),
    /// The node has stopped.
    #[error("this coordinator's raft has stopped: {0}")]
    Stopped(String),
}

/// A member of the group. Clones are cheap and mean the same node; [`RaftNode::shutdown`] ends it.
pub struct RaftNode<M: Machine> {
    pub(crate) inner: Arc<Inner<M>>,
}

impl<M: Machine> Clone for RaftNode<M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

pub(crate) struct Inner<M: Machine> {
    pub(crate) config: Config,
    pub(crate) raft: openraft::Raft<Types, MachineStore<M>>,
    pub(crate) log: LogStore,
    pub(crate) peers: Peers,
    /// Held while the members change: one change at a time.
    pub(crate) changes: tokio::sync::Mutex<()>,
    /// The operator's change that this node carries out, or carried out last.
    pub(crate) under_way: Mutex<Option<UnderWay>>,
    /// What formation waits for; `None`: this node votes.
    pub(crate) waiting: watch::Sender<Option<String>>,
    pub(crate) stopped: watch::Receiver<Option<String>>,
    /// When a leader of the group last called.
    pub(crate) called: watch::Sender<Option<Instant>>,
    /// Whom answers of members named as members ([`super::believe`]).
    pub(crate) vouched: Mutex<BTreeSet<String>>,
    /// There is a group, and this node does not belong to it; `waiting` says so in words.
    pub(crate) outside: AtomicBool,
    /// There is no group, and who is to form it with this node is missing; `waiting` says so in words.
    pub(crate) unformed: AtomicBool,
    machine: MachineStore<M>,
    leadership: watch::Receiver<Leadership>,
    confirmations: Arc<Confirmations>,
    tasks: Mutex<JoinSet<()>>,
}

/// See [`RaftNode::ends_with_this`].
pub(crate) struct EndsTasks<M: Machine>(RaftNode<M>);

impl<M: Machine> Drop for EndsTasks<M> {
    fn drop(&mut self) {
        drop(std::mem::take(&mut *self.0.tasks()));
        // openraft's own tasks would go on, and lead a group in which nobody decides any more, for as long as somebody holds
        // the node. One that has ended already ends once more.
        let node = self.0.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { node.shutdown().await });
        }
    }
}

impl<M: Machine> RaftNode<M> {
    /// Opens the directory, restores the machine, and takes part. The caller mounts [`RaftNode::service`] at once:
    /// the others ask for it, and a first start waits for all of them.
    ///
    /// # Errors
    /// One line: what, where, and the way out. See [`OpenError`].
    pub async fn open(config: Config, machine: M) -> Result<Self, OpenError> {
        let raft_config = Arc::new(check(&config)?);
        let place = config.dir.display().to_string();
        let start = |why: String| OpenError::Start { dir: place.clone(), why };
        let fresh_id = config.rng.number().map_err(|e| start(format!("draw a raft id: {e}")))?.max(1);
        let (log, store) = open_files(&config, machine, fresh_id).await?;
        let peers = Peers::new(log.clone(), &config);
        let raft_id = log.look(|c| c.start.raft_id);
        let raft = openraft::Raft::new(raft_id, raft_config, peers.clone(), log.clone(), store.clone());
        let raft = with_source(config.rng.clone(), raft).await.map_err(|e| start(e.to_string()))?;

        let (leadership_tx, leadership) = watch::channel(Leadership::default());
        let (stopped_tx, stopped) = watch::channel(None);
        let confirmations = Arc::new(Confirmations::default());
        let lease = config.timing.election_max;
        // An empty directory does not vote, from its first moment on.
        let waiting = log.look(|c| c.pristine()).then(|| "it has only just begun".to_owned());
        let mut tasks = JoinSet::new();
        let told = Told { leadership: leadership_tx, stopped: stopped_tx };
        let metrics = Metrics { all: raft.metrics(), server: raft.server_metrics() };
        tasks.spawn(follow(metrics, store.clone(), lease, told));
        tasks.spawn(confirmations.clone().run(raft.clone(), store.applied(), 2 * lease));
        let inner = Inner {
            config,
            raft,
            log,
            peers,
            changes: tokio::sync::Mutex::default(),
            under_way: Mutex::default(),
            waiting: watch::Sender::new(waiting),
            stopped,
            called: watch::Sender::new(None),
            vouched: Mutex::default(),
            outside: AtomicBool::new(false),
            unformed: AtomicBool::new(false),
            machine: store,
            leadership,
            confirmations,
            tasks: Mutex::new(tasks),
        };
        let node = Self { inner: Arc::new(inner) };
        node.spawn(super::formation::form(node.clone()));
        node.spawn(super::transition::end_what_was_begun(node.clone()));
        Ok(node)
    }

    /// Ends this node's tasks when dropped: they hold the node, and with it the directory, for as long as they run.
    pub(crate) fn ends_with_this(&self) -> EndsTasks<M> {
        EndsTasks(self.clone())
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work that goes on when whoever asked for it is gone, and ends with this node.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        // What has ended would be kept until it is asked for.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    /// The gRPC service for the other members.
    #[must_use]
    pub fn service(&self) -> RaftServer<M> {
        service(self.clone())
    }

    /// The id of this directory's log.
    #[must_use]
    pub fn raft_id(&self) -> u64 {
        self.inner.log.look(|c| c.start.raft_id)
    }

    /// The group that this directory belongs to; 0: none yet.
    #[must_use]
    pub fn group_id(&self) -> u64 {
        self.inner.log.look(|c| c.start.group_id)
    }

    /// Groups that this one took the place of (`coordinator recover`), oldest first.
    #[must_use]
    pub fn replaced(&self) -> Vec<u64> {
        self.inner.log.look(|c| c.start.replaced.clone())
    }

    /// Puts an entry into the log and returns the machine's reply, once a quorum has it on disk and it is applied here.
    ///
    /// # Errors
    /// See [`ProposeError`]; only `UnknownOutcome` and `Stopped` leave open whether it was applied.
    pub async fn propose(&self, entry: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, ProposeError> {
        if entry.len() > MAX_ENTRY {
            return Err(ProposeError::TooLarge(entry.len()));
        }
        match timeout(deadline, self.inner.raft.client_write(Command(entry))).await {
            Ok(Ok(done)) => Ok(done.data.0),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(f)))) => {
                Err(ProposeError::NotLeader { leader: f.leader_node })
            }
            // The entry was in this leader's log and was cut off or superseded; a new leader may still have it.
            Ok(Err(RaftError::APIError(_))) | Err(_) => Err(ProposeError::UnknownOutcome),
            Ok(Err(RaftError::Fatal(e))) => Err(ProposeError::Stopped(self.why_stopped(&e.to_string()))),
        }
    }

    /// Confirms with a quorum, in a round that begins after this call, that this member leads; then waits until
    /// everything committed by then is applied here, and returns the index applied. Writes nothing.
    ///
    /// # Errors
    /// See [`ConfirmError`].
    pub async fn confirm_leadership(&self, deadline: Duration) -> Result<u64, ConfirmError> {
        self.inner.confirmations.confirm(deadline).await
    }

    /// Follows who leads.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Follows the index of the newest entry applied.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.inner.machine.applied()
    }

    pub(crate) fn applied_membership(&self) -> StoredMembership {
        self.inner.machine.membership()
    }

    /// The place of [`RaftNode::roster`] alone, which is asked for with every report.
    pub(crate) fn roster_index(&self) -> u64 {
        self.inner.machine.membership_index()
    }

    /// Looks at the machine. Short: it holds off `apply`.
    pub fn read<T>(&self, f: impl FnOnce(&M) -> T) -> T {
        self.inner.machine.read(f)
    }

    /// Follows what the formation of the group, or the return to it, waits for; `None`: this member votes.
    #[must_use]
    pub fn waiting(&self) -> watch::Receiver<Option<String>> {
        self.inner.waiting.subscribe()
    }

    /// Follows why the node stopped by itself (a disk error, an unknown entry); `None` while it runs. A stopped node
    /// does not come back: its process should end.
    #[must_use]
    pub fn stopped(&self) -> watch::Receiver<Option<String>> {
        self.inner.stopped.clone()
    }

    pub(crate) fn why_stopped(&self, otherwise: &str) -> String {
        self.inner.stopped.borrow().clone().unwrap_or_else(|| otherwise.to_owned())
    }

    /// Stops taking part, writes what is queued and lets go of the directory. Does not hand leadership away: see
    /// [`RaftNode::transfer_leader`].
    pub async fn shutdown(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
        if let Err(e) = self.inner.raft.shutdown().await {
            tracing::warn!("raft did not stop cleanly: {e}");
        }
        self.inner.log.close().await;
    }
}

/// Opens what the configuration names: a disk that was given, or the directory.
async fn open_files<M: Machine>(
    config: &Config,
    machine: M,
    fresh_id: u64,
) -> Result<(LogStore, MachineStore<M>), OpenError> {
    let segment_bytes = config.limits.segment_bytes;
    if let Some(disk) = config.disk.clone()
        && disk.pace() != Pace::Blocks
    {
        return open_disk(disk, machine, fresh_id, segment_bytes);
    }
    let (dir, given) = (config.dir.clone(), config.disk.clone());
    let place = dir.display().to_string();
    let opened = tokio::task::spawn_blocking(move || {
        let disk = match given {
            Some(disk) => disk,
            None => {
                let place = dir.display().to_string();
                Arc::new(RealDisk::lock(&dir).map_err(|source| OpenError::Lock { dir: place, source })?)
            }
        };
        open_disk(disk, machine, fresh_id, segment_bytes)
    });
    opened.await.map_err(|e| OpenError::Start { dir: place, why: e.to_string() })?
}

fn open_disk<M: Machine>(
    disk: Arc<dyn LogDisk>,
    machine: M,
    fresh_id: u64,
    segment_bytes: u64,
) -> Result<(LogStore, MachineStore<M>), OpenError> {
    let snapshots = SnapshotDir::new(disk.clone());
    let list_error = |source| OpenError::Log(LogError::Io { what: "list", place: disk.place(), source });
    let left = snapshots.list().map_err(list_error)?;
    if segments(&*disk)?.is_empty()
        && let Some(snapshot) = left.last()
    {
        let why = format!("its segments are gone, though {snapshot} is there");
        return Err(OpenError::Log(LogError::NotWhole { dir: disk.place(), why }));
    }
    let log = LogStore::open(disk, fresh_id, segment_bytes)?;
    let log_from = log.look(|c| c.start.purged.map_or(0, |id| id.index() + 1));
    let store = MachineStore::open(machine, snapshots, log_from).map_err(OpenError::Snapshot)?;
    Ok((log, store))
}
