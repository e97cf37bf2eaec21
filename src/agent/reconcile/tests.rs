//! Scenes of the loop over a charge that does as it is told, on a paused clock.

use super::*;
use interrex_cluster::ids::{Epoch, Incarnation, Revision, Stamp, SystemId};
use interrex_cluster::instance::gate::Floor;
use interrex_cluster::instance::lease::Lease;
use interrex_cluster::instance::observed::{Data, Memory, Observed, Server, Upstream};
use interrex_cluster::record::Address;
use interrex_cluster::report::{Proofs, Rebuild};
use interrex_cluster::time::Instant;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// An empty directory and no server, whatever is done.
struct Puppet {
    cluster: ClusterName,
    floor: Floor,
    poke: Notify,
    /// Whether stamps can be written down.
    writes: bool,
    /// How a deed ends; absent: not at all.
    ends: Option<Result<(), Undone>>,
    /// What happened, and when.
    diary: Mutex<Vec<(u128, String)>>,
    began: tokio::time::Instant,
}

impl Puppet {
    fn new() -> Self {
        Self {
            cluster: "orders".parse().unwrap(),
            floor: Floor { obeyed: Stamp::default(), registered: Some(Stamp::default()) },
            poke: Notify::new(),
            writes: true,
            ends: None,
            diary: Mutex::default(),
            began: tokio::time::Instant::now(),
        }
    }

    fn write(&self, what: impl Into<String>) {
        self.diary.lock().unwrap().push((self.began.elapsed().as_millis(), what.into()));
    }

    /// All that happened but looks.
    fn deeds(&self) -> Vec<String> {
        self.diary
            .lock()
            .unwrap()
            .iter()
            .map(|(_, what)| what.clone())
            .filter(|what| what != "look")
            .collect()
    }

    /// When it happened.
    fn times(&self, what: &str) -> Vec<u128> {
        self.diary.lock().unwrap().iter().filter(|(_, it)| it == what).map(|(at, _)| *at).collect()
    }
}

/// Tells when a deed is dropped midway.
struct Midway<'a>(&'a Puppet);

impl Drop for Midway<'_> {
    fn drop(&mut self) {
        self.0.write("left midway");
    }
}

impl Charge for Puppet {
    fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    fn now(&self) -> Instant {
        Instant::default()
    }

    fn floor(&self) -> Floor {
        self.floor
    }

    fn poke(&self) -> &Notify {
        &self.poke
    }

    async fn notice_exit(&self) {}

    async fn ended(&self) {
        pending().await
    }

    async fn look(&self, _: Option<&Goal>) -> Observed {
        self.write("look");
        Observed {
            memory: Memory::default(),
            data: Data::Missing,
            server: Server::Gone,
            end: None,
            proofs: Proofs::default(),
            parameters: None,
            lease: Lease::default(),
            deadline: None,
            async_since: None,
            wal_gone: None,
            early_ends: None,
            patience: None,
            told_upstream: Upstream::Other,
            found: None,
            unseen: None,
            too_low: false,
        }
    }

    async fn obey(&self, stamp: Stamp) -> Result<(), String> {
        if !self.writes {
            return Err("the disk is full".to_owned());
        }
        self.write(format!("obey {stamp}"));
        Ok(())
    }

    fn note(&self, _: &StampedGoal, _: &Observed, _: &Step) {}

    fn note_failure(&self, words: String) {
        self.write(words);
    }

    async fn perform(&self, _: &StampedGoal, step: &Step) -> Result<(), Undone> {
        self.write(step.to_string());
        match &self.ends {
            Some(end) => end.clone(),
            None => {
                let _midway = Midway(self);
                pending().await
            }
        }
    }
}

fn stamped(revision: u64, goal: Goal) -> StampedGoal {
    StampedGoal { stamp: Stamp { epoch: Epoch(3), revision: Revision(revision) }, goal }
}

/// Clone the primary.
fn clone_it(parameters: &[(&str, &str)]) -> Goal {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Goal::Standby(StandbyGoal {
        epoch: Epoch(3),
        upstream: "n1".parse().unwrap(),
        address: Address { host: "10.0.0.1".to_owned(), port: 5432 },
        name: "ix2_n2".to_owned(),
        slot: "ix_n2".to_owned(),
        line: None,
        system: SystemId(7),
        rebuild: Some((Rebuild::Clone, Incarnation(2))),
        incarnation: Incarnation(2),
        restart: None,
        parameters: parameters.iter().map(pair).collect::<BTreeMap<_, _>>(),
        discard_old: false,
    })
}

fn stopped() -> Goal {
    Goal::Stopped { epoch: Epoch(3), line: None }
}

/// The loop over it, under way, and where goals are told.
fn moved(puppet: Puppet) -> (Arc<Puppet>, watch::Sender<Told>, JoinHandle<Infallible>) {
    let puppet = Arc::new(puppet);
    let told = watch::Sender::new(Told::default());
    let task = tokio::spawn(reconcile(puppet.clone(), told.subscribe()));
    (puppet, told, task)
}

fn tell(told: &watch::Sender<Told>, goal: StampedGoal) {
    told.send_modify(|told| told.goal = Some(goal));
}

async fn pass(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn a_clone_goes_on_under_the_same_goal_and_gives_way_to_another_one() {
    let (puppet, told, _loop) = moved(Puppet::new());
    tell(&told, stamped(5, clone_it(&[])));
    pass(2_000).await;
    assert_eq!(puppet.deeds(), ["obey 3.5", "clone as incarnation 2"]);
    assert!(puppet.times("look").len() >= 8, "reports go on beside it");
    tell(&told, stamped(6, clone_it(&[("work_mem", "8MB")])));
    pass(2_000).await;
    assert_eq!(puppet.deeds().len(), 2, "it is the same copy of the same upstream");
    tell(&told, stamped(7, stopped()));
    pass(10).await;
    assert_eq!(puppet.deeds()[2..], ["left midway", "obey 3.7"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_directory_that_is_being_created_gives_way_to_nothing() {
    let (puppet, told, _loop) = moved(Puppet::new());
    tell(&told, stamped(5, Goal::Bootstrap));
    pass(10).await;
    tell(&told, stamped(6, stopped()));
    puppet.poke.notify_one();
    pass(5_000).await;
    assert_eq!(puppet.deeds(), ["obey 3.5", "create the first directory"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_is_tried_again_with_growing_patience_and_reports_go_on() {
    let failed = Err(Undone::Failed("no room".to_owned()));
    let (puppet, told, _loop) = moved(Puppet { ends: Some(failed), ..Puppet::new() });
    tell(&told, stamped(5, Goal::Bootstrap));
    pass(30_000).await;
    let tries = puppet.times("create the first directory");
    let pauses: Vec<u128> = tries.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(pauses[..7], [100, 200, 400, 800, 1_600, 3_200, 5_000].map(|ms| ms + pauses[0] - 100));
    let words = "create the first directory: no room; it is tried again and again";
    assert_eq!(puppet.times(words).len(), tries.len());
    let looks = puppet.times("look");
    assert!(looks.windows(2).all(|two| two[1] - two[0] <= 260), "{looks:?}");
    let before = puppet.deeds().len();
    tell(&told, stamped(6, stopped()));
    pass(10).await;
    assert_eq!(puppet.deeds()[before..], ["obey 3.6"], "a newer goal waits for no patience");
}

#[tokio::test(start_paused = true)]
async fn a_goal_below_the_floor_is_reported_under_and_not_obeyed() {
    let floor = Floor { obeyed: stamped(9, stopped()).stamp, ..Puppet::new().floor };
    let (puppet, told, _loop) = moved(Puppet { floor, ..Puppet::new() });
    tell(&told, stamped(8, Goal::Bootstrap));
    pass(1_000).await;
    assert_eq!(puppet.deeds(), [""; 0]);
    assert!(puppet.times("look").len() >= 4);
    tell(&told, stamped(9, Goal::Bootstrap));
    pass(10).await;
    assert_eq!(puppet.deeds(), ["obey 3.9", "create the first directory"]);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_written_down_nothing_is_done_but_a_stop() {
    let (puppet, told, _loop) = moved(Puppet { writes: false, ends: Some(Ok(())), ..Puppet::new() });
    tell(&told, stamped(5, Goal::Bootstrap));
    pass(600).await;
    assert_eq!(puppet.deeds(), [""; 0]);
    tell(&told, stamped(6, stopped()));
    pass(10).await;
    assert_eq!(puppet.deeds(), ["kill: it is to be stopped, whether that can be written down or not"]);
}
