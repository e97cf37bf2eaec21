//! An agent's lines to the coordinators, by the session client that ships, over real gRPC. What is said comes from the
//! world's agent, what is heard goes to it. The order of calls is that of `src/agent/session.rs`: registered through
//! whoever answers; then on every line reports, the newest next, and a watch that is opened anew when it breaks.

use crate::coordinator::address;
use crate::entropy::WorldClock;
use crate::net::Net;
use crate::process::Process;
use interrex_api::client::{ClientOptions, SessionClient};
use interrex_api::session::{
    GoalUpdate, RegisterRequest, Registered, ReportRequest, Serial, WatchRequest, Welcome,
};
use interrex_cluster::command::Registration;
use interrex_cluster::ids::{ClusterName, Epoch, Stamp};
use interrex_cluster::report::Report;
use interrex_cluster::time::Instant;
use interrex_rt::{Clock, Dialer};
use interrex_sim::Rng;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// As in the shipped lines.
const REPORT_WITHIN: Duration = Duration::from_millis(600);
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
const HEARTBEAT: Duration = Duration::from_millis(250);

/// What came in on some line.
#[derive(Debug)]
pub(crate) enum Word {
    Welcome(Box<Welcome>),
    Told(Box<GoalUpdate>),
    Granted { epoch: Epoch, sent: Instant },
}

/// What came in for all agents: whose, for which of its runs, and what.
pub(crate) type Inbox = Arc<Mutex<Vec<(usize, u32, Word)>>>;

/// What goes out.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) report: Report,
    pub(crate) wants: Option<Epoch>,
    pub(crate) seen: Instant,
}

/// As what an agent wants to be registered.
#[derive(Debug, Clone)]
struct Wish {
    registration: Registration,
    obeyed: Stamp,
}

/// One agent's process, as far as it speaks to coordinators.
pub(crate) struct Session {
    i: usize,
    pub(crate) process: Option<Process>,
    pub(crate) clock: WorldClock,
    /// How often it was started: on its disk.
    starts: u64,
    wish: watch::Sender<Option<Wish>>,
    report: watch::Sender<Option<Outgoing>>,
}

/// What every agent's lines have in common.
pub(crate) struct Town {
    pub(crate) seed: u64,
    pub(crate) net: Net,
    pub(crate) inbox: Inbox,
    pub(crate) coordinators: usize,
    pub(crate) cluster: ClusterName,
}

impl Session {
    pub(crate) fn new(i: usize, clock: WorldClock) -> Self {
        let (wish, report) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { i, process: None, clock, starts: 0, wish, report }
    }

    /// The agent's process begins.
    pub(crate) fn start(&mut self) {
        self.starts += 1;
        self.wish = watch::Sender::new(None);
        self.report = watch::Sender::new(None);
        self.process = None;
    }

    /// It ends without a word.
    pub(crate) fn end(&mut self) {
        self.process = None;
    }

    /// It wants to be registered; asked again, as this from now on.
    pub(crate) fn register(&mut self, town: &Town, run: u32, registration: Registration, obeyed: Stamp) {
        self.wish.send_replace(Some(Wish { registration, obeyed }));
        if self.process.is_some() {
            return;
        }
        let stream = 100_000 * (self.i as u64 + 1) + self.starts;
        let mut rng = Rng::new(town.seed, stream);
        let process = Process::new(rng.below(u64::MAX));
        let lines = Lines {
            i: self.i,
            run,
            serial: Arc::new((
                Serial { start: self.starts, run: rng.below(u64::MAX), number: 0 },
                AtomicU64::new(0),
            )),
            cluster: town.cluster.clone(),
            dialer: Dialer::through(Arc::new(town.net.host(self.i))),
            coordinators: town.coordinators,
            clock: self.clock.clone(),
            inbox: town.inbox.clone(),
            report: self.report.subscribe(),
        };
        process.spawn(lines.keep(self.wish.subscribe()));
        self.process = Some(process);
    }

    /// It has news.
    pub(crate) fn tell(&self, outgoing: Outgoing) {
        self.report.send_replace(Some(outgoing));
    }
}

/// The lines of one run of an agent.
#[derive(Clone)]
struct Lines {
    i: usize,
    run: u32,
    serial: Arc<(Serial, AtomicU64)>,
    cluster: ClusterName,
    dialer: Dialer,
    coordinators: usize,
    clock: WorldClock,
    inbox: Inbox,
    report: watch::Receiver<Option<Outgoing>>,
}

impl Lines {
    async fn keep(self, mut wish: watch::Receiver<Option<Wish>>) {
        let options = ClientOptions {
            call: REPORT_WITHIN,
            overall: Duration::from_secs(2),
            dialer: self.dialer.clone(),
            ..ClientOptions::default()
        };
        let client = |c| SessionClient::new(&address(c), options.clone()).ok();
        let clients: Vec<SessionClient> = (0..self.coordinators).filter_map(client).collect();
        let watch = self.registered(&clients, &mut wish).await;
        for client in clients {
            drop(tokio::spawn(self.clone().report_on(client.clone())));
            drop(tokio::spawn(self.clone().watch_on(client, watch.clone())));
        }
    }

    fn heard(&self, word: Word) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).push((self.i, self.run, word));
    }

    fn serial(&self) -> Serial {
        let (first, count) = &*self.serial;
        Serial { number: count.fetch_add(1, Ordering::Relaxed) + 1, ..*first }
    }

    fn now(&self) -> Instant {
        Instant(self.clock.boot_ms())
    }

    /// Asks through whichever coordinator answers, until it is a member.
    async fn registered(
        &self,
        clients: &[SessionClient],
        wish: &mut watch::Receiver<Option<Wish>>,
    ) -> WatchRequest {
        loop {
            for client in clients {
                let Some(Wish { registration, obeyed }) = wish.borrow_and_update().clone() else { break };
                let watch = WatchRequest {
                    cluster: self.cluster.clone(),
                    instance: registration.instance.clone(),
                    directory: registration.directory.clone(),
                };
                let (cluster, serial, obeyed) = (self.cluster.clone(), self.serial(), Some(obeyed));
                let request = RegisterRequest { cluster, registration, serial, obeyed };
                match client.register(&request).await {
                    Ok(Registered::Welcome(welcome)) => {
                        self.heard(Word::Welcome(welcome));
                        return watch;
                    }
                    Ok(Registered::Waiting { .. }) => break,
                    Err(_) => {}
                }
            }
            sleep(ASK_AGAIN_AFTER).await;
        }
    }

    async fn report_on(mut self, client: SessionClient) {
        loop {
            let outgoing = self.report.borrow_and_update().clone();
            if let Some(Outgoing { report, wants, seen }) = outgoing {
                // The lease counts from before the request left.
                let sent = self.now();
                let (cluster, serial, age) = (self.cluster.clone(), self.serial(), sent.since(seen));
                let request = ReportRequest { cluster, report, wants_lease: wants, serial, age, knows: None };
                match client.report(&request).await {
                    Ok(reported) => {
                        if let Some(lease) = reported.lease {
                            self.heard(Word::Granted { epoch: lease.epoch, sent });
                        }
                    }
                    Err(_) => {
                        let _ = timeout(AGAIN_AFTER, self.report.changed()).await;
                        continue;
                    }
                }
            }
            if let Ok(Err(_)) = timeout(HEARTBEAT, self.report.changed()).await {
                return;
            }
        }
    }

    async fn watch_on(self, client: SessionClient, request: WatchRequest) {
        loop {
            if let Ok(mut updates) = client.watch(&request).await {
                while let Ok(Some(update)) = updates.next().await {
                    self.heard(Word::Told(Box::new(update)));
                }
            }
            sleep(AGAIN_AFTER).await;
        }
    }
}
