//! Coordinators for scenes: real servers on loopback that say what the scene wants them to say.

use crate::admin::{
    ChangeProgress, ConnectionInfo, Coordinator, CoordinatorChange, CreateCluster, Created, EventsRequest,
    Explanation, FailoverReply, FailoverRequest, SetSpecReply, SetSpecRequest, SwitchoverRequest,
};
use crate::convert::samples;
use crate::refused::Refused;
use crate::serve::{AdminHandler, Answers, Caller, SessionHandler, admin_service, session_service};
use crate::session::{
    GoalUpdate, LeaderHint, LeaseGrant, RegisterRequest, Registered, ReportRequest, Reported, WatchRequest,
};
use interrex_cluster::command::Asking;
use interrex_cluster::event::Event;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName, MachineName};
use interrex_cluster::receipt::Kept;
use interrex_cluster::status::ClusterStatus;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;

/// What a coordinator says to the n-th call, counted from 1.
type Says = Box<dyn Fn(u32, &Caller) -> Result<(), Refused> + Send + Sync>;
/// What a coordinator tells of the story.
type Tells = Box<dyn Fn(&EventsRequest) -> Vec<Result<Event, Refused>> + Send + Sync>;

/// The scene's side of a coordinator.
pub(super) struct Script {
    says: Says,
    tells: Tells,
    calls: AtomicU32,
    /// Requests for events, as they came.
    pub(super) asked: Mutex<Vec<EventsRequest>>,
}

impl Script {
    fn turn(&self, caller: &Caller) -> Result<(), Refused> {
        (self.says)(self.calls.fetch_add(1, Ordering::SeqCst) + 1, caller)
    }
}

/// A running coordinator; gone when dropped.
pub(super) struct Playing {
    /// `host:port`.
    pub(super) address: String,
    /// Its script.
    pub(super) script: Arc<Script>,
    /// Its own, so that connections die with it.
    runtime: Option<Runtime>,
}

impl Playing {
    /// How many calls it got.
    pub(super) fn calls(&self) -> u32 {
        self.script.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A coordinator that says `says`.
pub(super) fn play(says: impl Fn(u32, &Caller) -> Result<(), Refused> + Send + Sync + 'static) -> Playing {
    start(Box::new(says), Box::new(|_| Vec::new()))
}

/// A coordinator that tells `tells`, and nothing else.
pub(super) fn tell(
    tells: impl Fn(&EventsRequest) -> Vec<Result<Event, Refused>> + Send + Sync + 'static,
) -> Playing {
    start(Box::new(|_, _| Ok(())), Box::new(tells))
}

fn start(says: Says, tells: Tells) -> Playing {
    let script = Arc::new(Script { says, tells, calls: AtomicU32::new(0), asked: Mutex::default() });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = tonic::transport::Server::builder()
        .add_service(admin_service(script.clone()))
        .add_service(session_service(script.clone()));
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    Playing { address, script, runtime: Some(runtime) }
}

/// An address where nobody listens, held for as long as the socket lives.
pub(super) fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// Somebody who takes connections and never says a word.
pub(super) async fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// "Not me; ask there."
pub(super) fn elsewhere(address: &str) -> Refused {
    let machine = "n2".parse().unwrap();
    Refused::NotLeader(Some(LeaderHint { machine, address: address.to_owned() }))
}

fn begun(accepted: bool, would_win: Option<InstanceName>) -> FailoverReply {
    FailoverReply {
        accepted,
        epoch: Epoch(8),
        would_win,
        refusals: Vec::new(),
        waits: Vec::new(),
        expected: None,
        may_lose: None,
    }
}

#[tonic::async_trait]
impl AdminHandler for Script {
    async fn create_cluster(&self, caller: Caller, _: CreateCluster) -> Result<Created, Refused> {
        self.turn(&caller)?;
        Ok(Created { id: interrex_cluster::ids::ClusterId(7), owner: None })
    }

    async fn list_clusters(&self, caller: Caller) -> Result<Vec<ClusterStatus>, Refused> {
        self.turn(&caller)?;
        Ok(samples::statuses())
    }

    async fn get_cluster(&self, caller: Caller, name: ClusterName) -> Result<ClusterStatus, Refused> {
        self.turn(&caller)?;
        Ok(ClusterStatus { name, ..samples::statuses().remove(0) })
    }

    async fn connection_info(
        &self,
        caller: Caller,
        _: ClusterName,
        with_password: bool,
    ) -> Result<ConnectionInfo, Refused> {
        self.turn(&caller)?;
        let password = with_password.then(|| "s3cret".to_owned());
        Ok(ConnectionInfo { hosts: Vec::new(), primary_first: false, user: None, password })
    }

    async fn events(&self, _: Caller, request: EventsRequest) -> Result<Answers<Event>, Refused> {
        let told = (self.tells)(&request);
        self.asked.lock().unwrap().push(request);
        Ok(Box::pin(tokio_stream::iter(told)))
    }

    async fn receipts(&self, caller: Caller, _: ClusterName) -> Result<Vec<Kept>, Refused> {
        self.turn(&caller)?;
        Ok(Vec::new())
    }

    async fn explain(&self, caller: Caller, _: ClusterName) -> Result<Explanation, Refused> {
        self.turn(&caller)?;
        Ok(Explanation { lines: vec!["nothing to do".to_owned()], status: samples::statuses().remove(0) })
    }

    async fn switchover(&self, caller: Caller, request: SwitchoverRequest) -> Result<FailoverReply, Refused> {
        self.turn(&caller)?;
        Ok(begun(!request.dry_run, request.to))
    }

    async fn set_paused(&self, caller: Caller, _: ClusterName, paused: bool) -> Result<bool, Refused> {
        self.turn(&caller)?;
        Ok(paused)
    }

    async fn set_spec(&self, caller: Caller, request: SetSpecRequest) -> Result<SetSpecReply, Refused> {
        self.turn(&caller)?;
        let changed = request.changes.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        Ok(SetSpecReply { changed, proposed: false })
    }

    async fn ask_instance(
        &self,
        caller: Caller,
        _: ClusterName,
        _: InstanceName,
        _: Asking,
    ) -> Result<Option<Epoch>, Refused> {
        self.turn(&caller)?;
        Ok(None)
    }

    async fn failover(&self, caller: Caller, request: FailoverRequest) -> Result<FailoverReply, Refused> {
        self.turn(&caller)?;
        Ok(begun(!request.dry_run, request.to))
    }

    async fn list_coordinators(&self, caller: Caller) -> Result<Vec<Coordinator>, Refused> {
        self.turn(&caller)?;
        Ok(Vec::new())
    }

    async fn transfer_leadership(
        &self,
        caller: Caller,
        to: Option<MachineName>,
    ) -> Result<MachineName, Refused> {
        self.turn(&caller)?;
        to.ok_or_else(|| Refused::Rejected("there is nobody else".to_owned()))
    }

    async fn change_coordinators(
        &self,
        caller: Caller,
        _: CoordinatorChange,
    ) -> Result<ChangeProgress, Refused> {
        self.turn(&caller)?;
        Ok(ChangeProgress::Done { voters: Vec::new(), already: false })
    }
}

#[tonic::async_trait]
impl SessionHandler for Script {
    async fn register(&self, caller: Caller, request: RegisterRequest) -> Result<Registered, Refused> {
        self.turn(&caller)?;
        let why = format!("unknown cluster: interrex create {}", request.cluster);
        Ok(Registered::Waiting { why, roster: None })
    }

    async fn report(&self, caller: Caller, request: ReportRequest) -> Result<Reported, Refused> {
        self.turn(&caller)?;
        let ttl = Duration::from_secs(3);
        Ok(Reported {
            leader: None,
            roster: None,
            group: None,
            another_leads: false,
            lease: request.wants_lease.map(|epoch| LeaseGrant { epoch, ttl }),
        })
    }

    async fn watch(&self, caller: Caller, _: WatchRequest) -> Result<Answers<GoalUpdate>, Refused> {
        use tokio_stream::StreamExt;
        self.turn(&caller)?;
        let first = Ok(GoalUpdate {
            goal: Some(samples::goals().remove(0)),
            peers: BTreeMap::new(),
            primary: None,
            whole: false,
            group: None,
        });
        Ok(Box::pin(tokio_stream::once(first).chain(tokio_stream::pending())))
    }
}
