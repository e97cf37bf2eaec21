//! How a coordinator is put together. Everything it needs comes in here; it reads no environment and no global.

use crate::raft::{Limits, LogDisk, Timing};
use crate::{Coordinator, OpenError, Witness};
use interrex_api::admin::{CreateCluster, NewOwner};
use interrex_api::log::LEVEL;
use interrex_cluster::ids::{ClusterName, MachineName};
use interrex_cluster::policy::Policy;
use interrex_cluster::spec::Spec;
use interrex_rt::{Clock, Dialer, Listen, Rng, Spawner, SystemClock, SystemRng, TokioSpawner};
use interrex_tls::{Tls, Token};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// A coordinator in the making. `machine`, `listen` (or `listener`), `members` and `data_dir` have to be given.
pub struct Builder {
    pub(crate) machine: Option<MachineName>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) listener: Option<std::net::TcpListener>,
    pub(crate) incoming: Option<Box<dyn Listen>>,
    pub(crate) dialer: Dialer,
    pub(crate) disk: Option<Arc<dyn LogDisk>>,
    pub(crate) witness: Option<Arc<dyn Witness>>,
    pub(crate) advertise: Option<String>,
    pub(crate) members: BTreeMap<MachineName, String>,
    pub(crate) join: bool,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) policy: Policy,
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    pub(crate) clusters: Vec<CreateCluster>,
    pub(crate) yield_to_primary: bool,
    pub(crate) members_key: Option<String>,
    /// The highest level of log entries that the others are told this build reads.
    pub(crate) reads_level: u32,
    pub(crate) tls: Option<Tls>,
    pub(crate) admin_token: Option<Token>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) spawner: Arc<dyn Spawner>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            machine: None,
            listen: None,
            listener: None,
            incoming: None,
            dialer: Dialer::default(),
            disk: None,
            witness: None,
            advertise: None,
            members: BTreeMap::new(),
            join: false,
            data_dir: None,
            policy: Policy::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            clusters: Vec::new(),
            yield_to_primary: true,
            members_key: None,
            reads_level: LEVEL,
            tls: None,
            admin_token: None,
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
            spawner: Arc::new(TokioSpawner),
        }
    }
}

impl Builder {
    /// The machine's name, unique in the group.
    #[must_use]
    pub fn machine(mut self, machine: MachineName) -> Self {
        self.machine = Some(machine);
        self
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn listen(mut self, listen: SocketAddr) -> Self {
        self.listen = Some(listen);
        self
    }

    /// An open socket to serve gRPC on, instead of `listen`: for whoever hands sockets down, or wants any free port.
    #[must_use]
    pub fn listener(mut self, listener: std::net::TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Where connections come from instead of a TCP port: a tunnel, a Unix socket, memory.
    #[must_use]
    pub fn incoming(mut self, incoming: Box<dyn Listen>) -> Self {
        self.incoming = Some(incoming);
        self
    }

    /// How connections to the other coordinators are made, instead of by TCP.
    #[must_use]
    pub fn dialer(mut self, dialer: Dialer) -> Self {
        self.dialer = dialer;
        self
    }

    /// Where the log goes instead of into `data_dir`, which then holds nothing of it. What this disk lost, the
    /// coordinator has lost.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn LogDisk>) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Whom to tell of every entry that this coordinator applies.
    #[must_use]
    pub fn witness(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    /// `host:port` under which the others reach this coordinator; absent: what `members` says of this machine.
    #[must_use]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// The machines of the group with the `host:port` of each coordinator, this one among them: 1, 3 or 5. Counts at
    /// the first start; later the log knows the members.
    #[must_use]
    pub fn members(mut self, members: BTreeMap<MachineName, String>) -> Self {
        self.members = members;
        self
    }

    /// Whether this machine is to be added to the group of the other `members` by an operator, instead of forming one
    /// with them; then `members` may be any number. Counts at the first start. Default: false.
    #[must_use]
    pub fn join(mut self, join: bool) -> Self {
        self.join = join;
        self
    }

    /// The node's data directory. The log goes into `raft` below it.
    #[must_use]
    pub fn data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(data_dir.into());
        self
    }

    /// Thresholds; the same on every coordinator of a group. Absent: the defaults.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Heartbeats and elections among coordinators. Absent: the defaults.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Sizes of the log, and how often it is cut short by a snapshot: for simulations. Absent: the defaults, which nobody has
    /// a reason to change.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A cluster to be created unless it exists. May be called once for each.
    #[must_use]
    pub fn cluster(mut self, name: ClusterName, spec: Spec, owner: Option<NewOwner>) -> Self {
        self.clusters.push(CreateCluster { name, spec, owner, adopt: None });
        self
    }

    /// Whether leadership is handed away from a machine that hosts a primary to one that hosts none. Default: true.
    #[must_use]
    pub fn yield_to_primary(mut self, yields: bool) -> Self {
        self.yield_to_primary = yields;
        self
    }

    /// What an operator corrects when `members` are not as they should be, as lines name it: the key, and in which file.
    /// Absent: `coordinator.members`.
    #[must_use]
    pub fn members_key(mut self, key: impl Into<String>) -> Self {
        self.members_key = Some(key.into());
        self
    }

    /// A build of an earlier time, for scenes of an upgrade: it claims to read no more than this.
    #[cfg(test)]
    pub(crate) fn reads_level(mut self, level: u32) -> Self {
        self.reads_level = level;
        self
    }

    /// This machine's certificate, and the CA that is believed: then members, agents and operators have to prove who
    /// they are. Absent: plain text, and everybody who reaches the port is believed.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// What an operator without a certificate has to show; the same on every coordinator of a group, which show it to
    /// each other for calls that they pass on.
    #[must_use]
    pub fn admin_token(mut self, token: Token) -> Self {
        self.admin_token = Some(token);
        self
    }

    /// Another clock than the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of randomness than the kernel's.
    #[must_use]
    pub fn rng(mut self, rng: Arc<dyn Rng>) -> Self {
        self.rng = rng;
        self
    }

    /// Another runtime for background tasks than the caller's own.
    #[must_use]
    pub fn spawner(mut self, spawner: Arc<dyn Spawner>) -> Self {
        self.spawner = spawner;
        self
    }

    /// Takes the port, opens the log and restores the records. The coordinator takes part once it is
    /// [run](Coordinator::run), which is to follow at once.
    ///
    /// # Errors
    /// One line with the way out; see [`OpenError`].
    pub async fn open(self) -> Result<Coordinator, OpenError> {
        Coordinator::open(self).await
    }
}
