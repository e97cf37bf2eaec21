//! A coordinator as it ships, in a process of the simulated world: its connections, disk, clock and randomness are of the
//! world, all the rest is the real thing. What it applies, and how it ends, is told.

use crate::disk::Disk;
use crate::entropy::{Seeded, WorldClock};
use crate::net::{Net, PORT};
use crate::process::Process;
use interrex_cluster::command::{Command, Entry};
use interrex_cluster::ids::{ClusterName, MachineName};
use interrex_cluster::record::Cluster;
use interrex_cluster::spec::Spec;
use interrex_coordinator::raft::{Limits, Recovered, recover_disk};
use interrex_coordinator::{Builder, Coordinator, Handle, Witness};
use interrex_rt::Dialer;
use interrex_sim::Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A few writes to a disk take no longer.
const RECOVERS_WITHIN_MS: u64 = 1_000;
/// Bytes of what was not flushed that a power cut may leave.
const LEFT: u64 = 4_096;

/// An entry that a coordinator applied: who, where in the log, of which cluster, what, and what it made.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) c: usize,
    pub(crate) index: u64,
    pub(crate) cluster: ClusterName,
    pub(crate) command: Command,
    pub(crate) record: Cluster,
}

/// What all coordinators applied since it was last asked, in the order in which they did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<Applied>>>);

impl Journal {
    pub(crate) fn take(&self) -> Vec<Applied> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes the journal for one coordinator.
#[derive(Debug)]
struct Clerk {
    c: usize,
    journal: Journal,
}

impl Witness for Clerk {
    fn applied(&self, index: u64, entry: &Entry, record: &Cluster) {
        let (cluster, command, record) = (entry.cluster.clone(), entry.command.clone(), record.clone());
        let mut journal = self.journal.0.lock().unwrap_or_else(PoisonError::into_inner);
        journal.push(Applied { c: self.c, index, cluster, command, record });
    }
}

/// What its process shows.
#[derive(Default)]
struct Shown {
    handle: Option<Handle>,
    ended: Option<String>,
}

/// What every coordinator of a run has in common.
pub(crate) struct Group {
    pub(crate) seed: u64,
    pub(crate) net: Net,
    pub(crate) journal: Journal,
    /// Those who form it; any other one is to be added.
    pub(crate) members: BTreeMap<MachineName, String>,
    pub(crate) clusters: Vec<(ClusterName, Spec)>,
    /// How soon their logs are cut short by a snapshot.
    pub(crate) limits: Limits,
}

/// In half of all runs logs are cut short all the time; in the others never, for runs are short.
pub(crate) fn limits(rng: &mut Rng) -> Limits {
    let often = Limits {
        segment_bytes: rng.range(1, 16) << 10,
        snapshot_every: rng.range(10, 60),
        entries_kept: rng.range(0, 30),
    };
    if rng.percent(50) { often } else { Limits::default() }
}

/// The name of a machine.
#[expect(clippy::expect_used, reason = "a letter and a number are a name")]
pub(crate) fn machine_name(machine: usize) -> MachineName {
    format!("n{}", machine + 1).parse().expect("a letter and a number are a name")
}

/// Where its coordinator is reached.
pub(crate) fn address(machine: usize) -> String {
    format!("n{}:{PORT}", machine + 1)
}

/// A coordinator, running or not.
pub(crate) struct Seat {
    pub(crate) c: usize,
    pub(crate) process: Option<Process>,
    pub(crate) clock: WorldClock,
    disk: Disk,
    shown: Arc<Mutex<Shown>>,
    starts: u64,
    /// Its log is that of a group which was given up.
    pub(crate) given_up: bool,
}

impl Seat {
    pub(crate) fn new(c: usize, clock: WorldClock) -> Self {
        let disk = Disk::default();
        Self { c, process: None, clock, disk, shown: Arc::default(), starts: 0, given_up: false }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its process begins; whether with a snapshot on its disk.
    pub(crate) fn start(&mut self, group: &Group) -> bool {
        let with_snapshot = self.disk.has_snapshot();
        self.starts += 1;
        let stream = 1_000 * (self.c as u64 + 1) + self.starts;
        let process = Process::new(Rng::new(group.seed, stream).below(u64::MAX));
        // Whoever begins waits for what it flushes.
        self.disk.takes(Duration::ZERO);
        self.shown = Arc::default();
        let (builder, shown) = (self.builder(group, stream), self.shown.clone());
        process.spawn(async move {
            let ended = live(builder, &shown).await;
            shown.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(ended);
        });
        self.process = Some(process);
        with_snapshot
    }

    fn builder(&self, group: &Group, stream: u64) -> Builder {
        let (machine, mut members) = (machine_name(self.c), group.members.clone());
        let joins = members.insert(machine.clone(), address(self.c)).is_none();
        let builder = Coordinator::builder()
            .machine(machine)
            .incoming(Box::new(group.net.port(self.c)))
            .dialer(Dialer::through(Arc::new(group.net.host(self.c))))
            .members(members)
            .join(joins)
            .data_dir("/nowhere")
            .disk(Arc::new(self.disk.clone()))
            .limits(group.limits)
            .clock(Arc::new(self.clock.clone()))
            .rng(Arc::new(Seeded::new(group.seed, stream)))
            .witness(Arc::new(Clerk { c: self.c, journal: group.journal.clone() }));
        let clusters = group.clusters.iter().cloned();
        clusters.fold(builder, |builder, (name, spec)| builder.cluster(name, spec, None))
    }

    /// Its process ends without a word; with its machine, if `power`. True when the disk was to keep what it lost then.
    pub(crate) fn end(&mut self, power: bool, rng: &mut Rng) -> bool {
        self.process = None;
        *self.shown() = Shown::default();
        if !power {
            self.disk.is_left();
            return false;
        }
        let left = usize::try_from(rng.below(LEFT)).unwrap_or_default();
        let (disk, lost) = self.disk.after_power_cut(left);
        self.disk = disk;
        lost
    }

    /// The world's time, in milliseconds.
    pub(crate) fn is_at(&self, now: u64) {
        self.disk.is_at(now);
    }

    /// Its disk is gone, and another one is empty.
    pub(crate) fn lose_log(&mut self) {
        self.disk = Disk::default();
    }

    /// A group is made anew out of its log, while it does not run: at once, for an operator's command goes on whatever
    /// becomes of the coordinators.
    pub(crate) fn make_anew(&mut self, group: &Group) -> Result<Recovered, String> {
        self.starts += 1;
        let stream = 1_000 * (self.c as u64 + 1) + self.starts;
        let mut process = Process::new(Rng::new(group.seed, stream).below(u64::MAX));
        self.disk.takes(Duration::ZERO);
        let (disk, rng) = (Arc::new(self.disk.clone()), Seeded::new(group.seed, stream));
        let (name, at) = (machine_name(self.c), address(self.c));
        let (done, mut told) = oneshot::channel();
        process.spawn(async move {
            let made = recover_disk(disk, name.as_str(), &at, &rng).await;
            let _ = done.send(made.map_err(|why| why.to_string()));
        });
        process.step(RECOVERS_WITHIN_MS);
        told.try_recv().unwrap_or_else(|_| Err("it takes too long".to_owned()))
    }

    /// Whether it votes; absent while it does not run.
    pub(crate) fn votes(&self) -> Option<bool> {
        self.process.as_ref()?;
        self.shown().handle.as_ref().map(|handle| handle.waiting().is_none())
    }

    /// From now on what it writes takes so long.
    pub(crate) fn writes_take(&self, ms: u64) {
        self.disk.takes(Duration::from_millis(ms));
    }

    /// Whether it says that it leads.
    pub(crate) fn leads(&self) -> bool {
        self.process.is_some() && self.shown().handle.as_ref().is_some_and(Handle::leads)
    }

    /// Why it ended by itself, told once.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.process.as_ref()?;
        let why = self.shown().ended.take();
        if why.is_some() {
            self.process = None;
        }
        why
    }
}

/// From its start to its end, and why that came.
async fn live(builder: Builder, shown: &Mutex<Shown>) -> String {
    let coordinator = match builder.open().await {
        Ok(coordinator) => coordinator,
        Err(why) => return why.to_string(),
    };
    shown.lock().unwrap_or_else(PoisonError::into_inner).handle = Some(coordinator.handle());
    match coordinator.run(std::future::pending()).await {
        Ok(()) => "it was told to".to_owned(),
        Err(why) => why.to_string(),
    }
}
