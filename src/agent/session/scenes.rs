//! Scenes of an agent between two groups of coordinators, of which one replaced the other. Both are real servers that know
//! two answers.

use super::*;
use crate::roster::Coordinators;
use crate::shelf::{Flawed, MemoryShelf, Shelf};
use crate::switchboard::Surroundings;
use interrex_api::refused::Refused;
use interrex_api::serve::{Answers, Caller, SessionHandler, session_service};
use interrex_api::session::{GoalUpdate, Reported, Roster, RosterId};
use interrex_cluster::goal::{Goal, StampedGoal};
use interrex_cluster::ids::{ClusterId, DirectoryId};
use interrex_cluster::policy::Policy;
use interrex_cluster::record::{Address, Secrets};
use interrex_rt::{Dialer, SystemClock, SystemRng};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

/// Leads a group, and lets whoever asks wait so many times.
struct Desk {
    group: u64,
    replaced: BTreeSet<u64>,
    waits: u32,
    asked: AtomicU32,
}

impl Desk {
    /// Opens one; gives its address.
    async fn open(group: u64, replaced: &[u64], waits: u32) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let replaced = replaced.iter().copied().collect();
        let service = session_service(Arc::new(Desk { group, replaced, waits, asked: AtomicU32::new(0) }));
        let server = tonic::transport::Server::builder().add_service(service);
        // It ends with the scene's runtime.
        drop(tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener))));
        address
    }
}

#[tonic::async_trait]
impl SessionHandler for Desk {
    async fn register(&self, _: Caller, _: RegisterRequest) -> Result<Registered, Refused> {
        let id = RosterId { group: self.group, index: 1 };
        let roster = Some(Roster { id, coordinators: BTreeMap::new(), replaced: self.replaced.clone() });
        if self.asked.fetch_add(1, Ordering::SeqCst) < self.waits {
            return Ok(Registered::Waiting { why: "waits until n3 is heard".to_owned(), roster });
        }
        let goal = Goal::Await { why: "nothing".to_owned() };
        Ok(Registered::Welcome(Box::new(Welcome {
            cluster_id: ClusterId(1),
            floor: Stamp::default(),
            goal: StampedGoal { stamp: Stamp::default(), goal },
            secrets: Secrets { superuser: "a".to_owned(), replication: "b".to_owned(), owner: None },
            peers: BTreeMap::new(),
            told: None,
            group: Some(self.group),
            roster,
        })))
    }

    async fn report(&self, _: Caller, _: ReportRequest) -> Result<Reported, Refused> {
        Ok(Reported::default())
    }

    async fn watch(&self, _: Caller, _: WatchRequest) -> Result<Answers<GoalUpdate>, Refused> {
        Ok(Box::pin(tokio_stream::pending()))
    }
}

/// The lines of an agent that was just installed, and its coordinators.
fn lines(written: Vec<String>) -> (Lines, Arc<Coordinators>) {
    lines_with(Arc::new(MemoryShelf::default()), written)
}

fn lines_with(shelf: Arc<dyn Shelf>, written: Vec<String>) -> (Lines, Arc<Coordinators>) {
    let around = Surroundings {
        shelf,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        dialer: Dialer::default(),
    };
    let switchboard = Switchboard::begin(around, written, None, Policy::default().heartbeat).unwrap();
    (switchboard.lines("orders".parse().unwrap()).0, switchboard.coordinators.clone())
}

fn registration() -> Registration {
    Registration {
        instance: "n1".parse().unwrap(),
        machine: "n1".parse().unwrap(),
        zone: String::new(),
        directory: DirectoryId("d1".to_owned()),
        address: Address { host: "127.0.0.1".to_owned(), port: 5432 },
        priority: Some(1),
        major: 15,
        system: None,
        replaces: None,
    }
}

#[tokio::test]
async fn whom_the_newest_group_lets_wait_no_group_welcomes_that_it_replaced() {
    let (newest, old) = (Desk::open(8, &[7], 1).await, Desk::open(7, &[], 0).await);
    let (lines, coordinators) = lines(vec![newest, old]);
    let registered = timeout(Duration::from_secs(20), lines.register(registration(), None)).await;
    assert_eq!(registered.expect("the newest group welcomes it in the end").group, Some(8));
    assert!(coordinators.left(Some(7)) && coordinators.counts(Some(8)));
}

#[tokio::test]
async fn nobody_is_welcomed_by_another_group_before_the_way_back_is_closed_on_disk() {
    let shelf = Flawed::default();
    let (lines, coordinators) = lines_with(Arc::new(shelf.clone()), vec![Desk::open(8, &[7], 0).await]);
    let id = RosterId { group: 7, index: 3 };
    let known = Roster { id, coordinators: BTreeMap::new(), replaced: BTreeSet::new() };
    coordinators.take(known).expect("news").await.unwrap();
    shelf.fails.store(1, Ordering::SeqCst);
    let registered = timeout(Duration::from_secs(20), lines.register(registration(), None)).await;
    assert_eq!(registered.expect("once the disk takes it").group, Some(8));
    let restarted = Coordinators::begin(Arc::new(shelf), Vec::new());
    assert!(restarted.left(Some(7)) && restarted.counts(Some(8)));
}
