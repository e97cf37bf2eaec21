//! An agent that is a plain client of every coordinator: registers, reports, follows its goals.

use super::postgres::World;
use interrex_api::client::{ClientOptions, SessionClient};
use interrex_api::session::{
    GoalUpdate, LeaseGrant, RegisterRequest, Registered, ReportRequest, Serial, WatchRequest,
};
use interrex_cluster::command::Registration;
use interrex_cluster::goal::{Goal, StampedGoal};
use interrex_cluster::ids::{ClusterName, DirectoryId, Epoch, InstanceName, Stamp};
use interrex_cluster::record::Address;
use interrex_cluster::report::{Knock, Report};
use interrex_tls::Tls;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running agent; dropped, it is dead at once.
pub(crate) struct Agent {
    /// The newest goal, and when it came.
    pub(crate) goal: watch::Receiver<Option<(StampedGoal, Instant)>>,
    /// Leases granted so far.
    pub(crate) leases: watch::Receiver<Vec<LeaseGrant>>,
    /// Reports sent so far.
    pub(crate) reports: watch::Receiver<u64>,
    _tasks: JoinSet<()>,
}

/// Who an agent is.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) cluster: ClusterName,
    pub(crate) name: InstanceName,
    pub(crate) directory: DirectoryId,
    pub(crate) coordinators: Vec<SessionClient>,
    said: Arc<AtomicU64>,
    run: u64,
}

/// Agents of one test process have runs of their own.
static RUNS: AtomicU64 = AtomicU64::new(1);

impl Who {
    /// The next word.
    pub(crate) fn serial(&self) -> Serial {
        Serial { start: self.run, run: self.run, number: self.said.fetch_add(1, Ordering::SeqCst) }
    }

    pub(crate) fn new(cluster: &str, name: &str, coordinators: &[String]) -> Self {
        Self::with(cluster, name, coordinators, None)
    }

    /// An agent that shows a certificate.
    pub(crate) fn with(cluster: &str, name: &str, coordinators: &[String], tls: Option<Tls>) -> Self {
        let client = |address: &String| {
            let (call, tls) = (Duration::from_secs(1), tls.clone());
            let options = ClientOptions { call, tls, ..ClientOptions::default() };
            SessionClient::new(address, options).expect("an address")
        };
        Self {
            cluster: cluster.parse().expect("a name"),
            name: name.parse().expect("a name"),
            directory: DirectoryId(format!("directory of {name}")),
            coordinators: coordinators.iter().map(client).collect(),
            said: Arc::default(),
            run: RUNS.fetch_add(1, Ordering::SeqCst),
        }
    }

    pub(crate) fn registration(&self) -> RegisterRequest {
        RegisterRequest {
            serial: self.serial(),
            obeyed: None,
            cluster: self.cluster.clone(),
            registration: Registration {
                instance: self.name.clone(),
                machine: self.name.as_str().parse().expect("a name"),
                zone: String::new(),
                directory: self.directory.clone(),
                address: Address { host: "127.0.0.1".to_owned(), port: 5432 },
                priority: Some(1),
                major: 15,
                system: None,
                replaces: None,
            },
        }
    }

    /// Asks every coordinator until one answers.
    pub(crate) async fn register(&self) -> Registered {
        loop {
            for coordinator in &self.coordinators {
                if let Ok(answer) = coordinator.register(&self.registration()).await {
                    return answer;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One report, to one coordinator.
    pub(crate) async fn report(&self, to: usize, report: Report, wants: Option<Epoch>) -> Option<LeaseGrant> {
        let (serial, age) = (self.serial(), Duration::ZERO);
        let cluster = self.cluster.clone();
        let request = ReportRequest { cluster, report, wants_lease: wants, serial, age, knows: None };
        self.coordinators[to].report(&request).await.ok()?.lease
    }

    /// Registers, and lives.
    pub(crate) async fn live(self, world: World) -> Agent {
        world.power(&self.name, true);
        let floor = loop {
            match self.register().await {
                Registered::Welcome(welcome) => break welcome.floor,
                Registered::Waiting { .. } => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let who = Arc::new(self);
        let (update_tx, update) = watch::channel(None::<GoalUpdate>);
        let (goal_tx, goal) = watch::channel(None);
        let (lease_tx, leases) = watch::channel(Vec::new());
        let (reports_tx, reports) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for i in 0..who.coordinators.len() {
            tasks.spawn(follow(who.clone(), i, update_tx.clone(), goal_tx.clone(), floor));
        }
        tasks.spawn(speak(who, world, update, goal.clone(), lease_tx, reports_tx));
        Agent { goal, leases, reports, _tasks: tasks }
    }
}

/// Takes goals from one coordinator; what is below the newest seen is refused.
async fn follow(
    who: Arc<Who>,
    from: usize,
    updates: watch::Sender<Option<GoalUpdate>>,
    goals: watch::Sender<Option<(StampedGoal, Instant)>>,
    floor: Stamp,
) {
    let request = WatchRequest {
        cluster: who.cluster.clone(),
        instance: who.name.clone(),
        directory: who.directory.clone(),
    };
    loop {
        if let Ok(mut stream) = who.coordinators[from].watch(&request).await {
            while let Ok(Some(update)) = stream.next().await {
                let Some(goal) = update.goal.clone().filter(|goal| goal.stamp >= floor) else { continue };
                let newer = goals.send_if_modified(|known| {
                    let newer = known.as_ref().is_none_or(|(known, _)| known.stamp < goal.stamp);
                    if newer {
                        *known = Some((goal, Instant::now()));
                    }
                    newer
                });
                if newer {
                    updates.send_replace(Some(update));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Steps and reports: at each new goal, and ten times a second.
async fn speak(
    who: Arc<Who>,
    world: World,
    update: watch::Receiver<Option<GoalUpdate>>,
    mut goal: watch::Receiver<Option<(StampedGoal, Instant)>>,
    leases: watch::Sender<Vec<LeaseGrant>>,
    reports: watch::Sender<u64>,
) {
    let mut sent = JoinSet::new();
    loop {
        let now = goal.borrow_and_update().clone().map(|(goal, _)| goal);
        let (server, own) = world.step(&who.name, now.as_ref());
        let knock = update
            .borrow()
            .as_ref()
            .and_then(|update| update.primary.clone())
            .filter(|p| p.instance != who.name);
        let report = Report {
            obeyed: now.as_ref().map(|goal| goal.stamp).unwrap_or_default(),
            incarnation: own.incarnation(),
            proofs: own.proofs,
            needs: own.needs,
            knock: knock.map(|p| Knock { epoch: p.epoch, answered: world.answers(&p.instance), for_ms: 100 }),
            ..Report::of(who.name.clone(), who.directory.clone(), server)
        };
        let wants = match now.as_ref().map(|goal| &goal.goal) {
            Some(Goal::Primary(goal)) => Some(goal.epoch),
            _ => None,
        };
        for to in 0..who.coordinators.len() {
            let (who, report, leases) = (who.clone(), report.clone(), leases.clone());
            sent.spawn(async move {
                if let Some(lease) = who.report(to, report, wants).await {
                    leases.send_modify(|leases| leases.push(lease));
                }
            });
        }
        while sent.try_join_next().is_some() {}
        reports.send_modify(|count| *count += 1);
        tokio::select! {
            _ = goal.changed() => {}
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
}
