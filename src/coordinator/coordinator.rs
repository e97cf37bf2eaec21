//! A running coordinator, from the open port to the last word, and the handle by which others look at it.

use crate::builder::Builder;
use crate::core::{AWAKE_EVERY, Core};
use crate::machine::Records;
use crate::raft::{self, EndsTasks, Mark, RaftNode};
use crate::service::gate::Gate;
use crate::service::relay::Relays;
use crate::service::{Entrance, bind, serve};
use crate::trust::Trust;
use crate::yielding::best_successor;
use crate::{clusters, driver, yielding};
use interrex_api::admin::CreateCluster;
use interrex_api::session::LeaderHint;
use interrex_cluster::ids::{ClusterName, MachineName};
use interrex_cluster::route::{Route, route};
use interrex_rt::Task;
use interrex_tls::Tls;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For calls under way to end, and for leadership to be handed away, when the coordinator is to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a coordinator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something was not given, or does not fit.
    #[error("{0}")]
    Config(String),
    /// The port cannot be had.
    #[error(
        "listen on {listen} for gRPC: {source}; stop what uses the port, or set another coordinator.listen"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The log.
    #[error(transparent)]
    Raft(#[from] raft::OpenError),
}

/// Why a coordinator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log takes nothing any more: a disk error, or an entry of a newer version. In words.
    #[error("the coordinator stopped: {0}")]
    Stopped(String),
    /// The server ended.
    #[error("the coordinator's server ended: {0}")]
    Server(String),
}

/// A coordinator that has its port and its log.
pub struct Coordinator {
    core: Arc<Core>,
    relays: Arc<Relays>,
    gate: Arc<Gate>,
    tls: Option<Tls>,
    entrance: Entrance,
    address: SocketAddr,
    clusters: Vec<CreateCluster>,
    yields: bool,
    /// One that is dropped, run or not, leads nobody and tells nobody anything any more ...
    ending: Ending,
    /// ... and leaves no task behind that keeps its directory.
    ends: EndsTasks<Records>,
}

/// Whatever becomes of the run, streams end with it.
struct Ending(Arc<Core>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ending.send_replace(true);
        self.0.cut.send_replace(true);
    }
}

impl Coordinator {
    /// A coordinator in the making.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn open(builder: Builder) -> Result<Self, OpenError> {
        let missing = |what: &str| OpenError::Config(format!("a coordinator needs its {what}"));
        let machine = builder.machine.ok_or_else(|| missing("machine name"))?;
        let data_dir = builder.data_dir.ok_or_else(|| missing("data directory"))?;
        let listed = builder.members.get(&machine).cloned();
        let Some(advertise) = builder.advertise.or(listed) else {
            return Err(OpenError::Config(format!(
                "coordinator.members does not list this machine, {machine}"
            )));
        };
        let entrance = match (builder.incoming, builder.listener, builder.listen) {
            (Some(other), _, _) => Entrance::Other(other),
            (None, Some(open), _) => {
                adopt(open).map_err(|e| OpenError::Config(format!("use the socket given: {e}")))?
            }
            (None, None, Some(listen)) => bind(listen).await?,
            (None, None, None) => return Err(missing("listen address")),
        };
        let address = entrance.address().map_err(|e| OpenError::Config(format!("name the socket: {e}")))?;
        let members = builder.members.iter().map(|(name, at)| (name.to_string(), at.clone())).collect();
        let mut config = raft::Config::new(machine.as_str(), members, data_dir.join("raft"), &advertise);
        config.timing = builder.timing;
        config.limits = builder.limits;
        config.join = builder.join;
        config.members_key = builder.members_key.unwrap_or(config.members_key);
        config.reads_level = builder.reads_level;
        config.dialer = builder.dialer.clone();
        config.rng = builder.rng.clone();
        config.disk = builder.disk;
        let (tls, token) = (builder.tls, builder.admin_token);
        if tls.as_ref().is_some_and(|tls| tls.server().is_none()) {
            return Err(missing("own certificate, not only those of others"));
        }
        config.tls = tls.clone();
        let gate = Gate { machine: machine.clone(), guarded: tls.is_some(), token: token.clone() };
        let mark = config.disk.clone().map_or_else(|| Mark::within(&config.dir), Mark::on);
        let trust = Trust::of(mark);
        let node = RaftNode::open(config, Records::before(builder.witness)).await?;
        let ends = node.ends_with_this();
        let core =
            Core::new(machine, node, trust, builder.policy, builder.clock, builder.rng, builder.spawner);
        let core = Arc::new(core);
        Ok(Self {
            ending: Ending(core.clone()),
            core,
            relays: Arc::new(Relays::new(tls.clone(), token, builder.dialer)),
            gate: Arc::new(gate),
            tls,
            entrance,
            address,
            clusters: builder.clusters,
            yields: builder.yield_to_primary,
            ends,
        })
    }

    /// A handle, good before, during and after the run.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { core: self.core.clone(), address: self.address }
    }

    /// Takes part until `shutdown` resolves, then hands leadership away, lets calls under way end, and closes the log.
    ///
    /// # Errors
    /// It ended by itself; its process should end too.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        // Whether this ends or is dropped halfway.
        let Self {
            ends: _ends, ending: _ending, core, relays, gate, tls, entrance, clusters, yields, ..
        } = self;
        let mut tasks = background(&core, &relays, clusters, yields);
        if let Some(tls) = tls.clone() {
            tasks.push(core.spawner.spawn(Box::pin(tls.keep_fresh())));
        }
        // In a set, so that it ends with this future, however that ends.
        let mut server = JoinSet::new();
        server.spawn(serve(core.clone(), relays, gate, tls, entrance));
        let mut stopped = core.node.stopped();
        let outcome = tokio::select! {
            () = shutdown => Ok(()),
            why = stopped.wait_for(Option::is_some) => {
                let why = why.ok().and_then(|why| why.clone()).unwrap_or_else(|| "raft is gone".to_owned());
                Err(RunError::Stopped(why))
            }
            ended = server.join_next() => Err(RunError::Server(match ended {
                Some(Ok(Err(why))) => why,
                Some(Err(why)) => why.to_string(),
                Some(Ok(Ok(()))) | None => "without a reason".to_owned(),
            })),
        };
        drop(tasks);
        if outcome.is_ok() {
            hand_over(&core).await;
        }
        core.ending.send_replace(true);
        if timeout(FAREWELL, server.join_next()).await.is_err() {
            tracing::debug!("calls under way were cut off");
        }
        core.cut.send_replace(true);
        server.shutdown().await;
        core.node.shutdown().await;
        outcome
    }
}

/// A socket that somebody else opened.
fn adopt(listener: std::net::TcpListener) -> std::io::Result<Entrance> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Entrance::Port)
}

/// Everything that goes on by itself.
fn background(core: &Arc<Core>, relays: &Arc<Relays>, wanted: Vec<CreateCluster>, yields: bool) -> Vec<Task> {
    let spawn = |work| core.spawner.spawn(work);
    let awake = core.clone();
    let mut tasks = vec![
        spawn(Box::pin(driver::run(core.clone()))),
        spawn(Box::pin(async move {
            loop {
                awake.awake();
                awake.settle();
                tokio::time::sleep(AWAKE_EVERY).await;
            }
        })),
        spawn(Box::pin(clusters::found(core.clone(), relays.clone(), wanted))),
    ];
    if yields {
        tasks.push(spawn(Box::pin(yielding::run(core.clone()))));
    }
    tasks
}

/// A leader that leaves spares the others an election.
async fn hand_over(core: &Core) {
    if core.reign().is_none() {
        return;
    }
    let handed = async {
        let to = best_successor(core, false).await?;
        core.node.transfer_leader(to.as_str()).await.ok()?;
        Some(to)
    };
    match timeout(FAREWELL, handed).await {
        Ok(Some(to)) => tracing::info!(machine = %to, "leadership was handed over"),
        _ => tracing::info!("leadership was not handed over: nobody else could take it"),
    }
}

/// A look at a coordinator from the same process. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) core: Arc<Core>,
    address: SocketAddr,
}

impl Handle {
    /// Where its gRPC is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its machine.
    #[must_use]
    pub fn machine(&self) -> &MachineName {
        &self.core.machine
    }

    /// Who leads the group, as far as this coordinator knows.
    #[must_use]
    pub fn leader(&self) -> Option<LeaderHint> {
        self.core.leader()
    }

    /// True while this coordinator leads, has applied all that earlier leaders did, and hears a quorum. One that has
    /// ended leads nobody.
    #[must_use]
    pub fn leads(&self) -> bool {
        !*self.core.ending.borrow() && self.core.node.leadership().borrow().mine
    }

    /// Index of the newest log entry applied here. Does not move while nothing happens.
    #[must_use]
    pub fn applied(&self) -> u64 {
        *self.core.node.applied().borrow()
    }

    /// What this coordinator waits for before it votes; `None`: it votes.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        self.core.node.waiting().borrow().clone()
    }

    /// Waits until somebody leads, and returns who.
    pub async fn led(&self) -> Option<LeaderHint> {
        let mut leadership = self.core.node.leadership();
        let known = leadership.wait_for(|l| l.leader.is_some()).await.ok()?.leader.clone();
        known.as_ref().and_then(crate::core::hint)
    }

    /// Names of the clusters, as this coordinator knows them.
    #[must_use]
    pub fn clusters(&self) -> Vec<ClusterName> {
        self.core.node.read(|records| records.clusters().keys().cloned().collect())
    }

    /// Where clients of a cluster may go, as this coordinator knows it.
    #[must_use]
    pub fn route(&self, cluster: &ClusterName) -> Option<Route> {
        self.core.node.read(|records| records.cluster(cluster).map(route))
    }
}
