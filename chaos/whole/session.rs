//! An agent in a process of the simulated world, as it ships: its lines to the coordinators (`interrex_agent::Lines`), its
//! loop (`interrex_agent::reconcile`), the keeper of its lease, the beats that renew it, and its knocks at the primary's port.
//! What these look at and move is the world's (`puppet`).

use crate::coordinator::address;
use crate::entropy::{Seeded, WorldClock};
use crate::net::Net;
use crate::process::Process;
use crate::puppet::Puppet;
use crate::running::Running;
use crate::strings::Strings;
use interrex_agent::{
    Ends, Granted, Lines, MemoryShelf, Shelf as _, Surroundings, Switchboard, Told, beat_forever,
    keep_leases, knock_forever, reconcile,
};
use interrex_api::session::{WatchRequest, Welcome};
use interrex_cluster::command::Registration;
use interrex_cluster::ids::{ClusterName, Stamp};
use interrex_cluster::instance::gate::Floor;
use interrex_cluster::policy::Policy;
use interrex_rt::Dialer;
use interrex_sim::Rng;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What every agent's lines have in common.
#[derive(Clone)]
pub(crate) struct Town {
    pub(crate) seed: u64,
    pub(crate) net: Net,
    pub(crate) coordinators: usize,
    /// Clusters, by their numbers.
    pub(crate) clusters: Vec<ClusterName>,
}

/// One agent, running or not.
pub(crate) struct Session {
    /// The number of its cluster, and its own.
    pub(crate) of: usize,
    pub(crate) i: usize,
    clock: WorldClock,
    /// Its own files: they outlive it, and its machine's power.
    shelf: MemoryShelf,
    starts: u64,
    pub(crate) running: Option<Running>,
}

impl Session {
    pub(crate) fn new(of: usize, i: usize, clock: WorldClock) -> Self {
        Self { of, i, clock, shelf: MemoryShelf::default(), starts: 0, running: None }
    }

    /// It wants to be registered, and from then on moves what it is in charge of. `life`: of the server that was found running.
    pub(crate) fn begin(
        &mut self,
        town: &Town,
        run: u32,
        registration: Registration,
        obeyed: Stamp,
        life: Option<u32>,
    ) {
        self.starts += 1;
        let stream = 10_000_000 * self.of as u64 + 100_000 * (self.i as u64 + 1) + self.starts;
        let cluster = town.clusters[self.of].clone();
        let process = Process::new(Rng::new(town.seed, stream).below(u64::MAX));
        let (lines, ends) = self.switchboard(town, stream).lines(cluster.clone());
        let Ends { report, told, granted } = ends;
        let (welcome, welcomed) = oneshot::channel();
        let strings = Strings::default();
        let agent = Agent {
            lines,
            told: told.clone(),
            granted,
            strings: strings.clone(),
            clock: self.clock.clone(),
            cluster,
            registration,
            obeyed,
            life,
        };
        process.spawn(async move { match agent.live(welcome).await {} });
        self.running = Some(Running {
            i: self.i,
            run,
            process,
            report,
            told,
            welcome: Some(welcomed),
            strings,
            deed: None,
            beat: None,
        });
    }

    /// Whether the list of coordinators that it keeps names that one and no other.
    pub(crate) fn knows_only(&self, c: usize, coordinators: usize) -> bool {
        let kept = self.shelf.read("coordinators").ok().flatten().unwrap_or_default();
        let kept = String::from_utf8_lossy(&kept);
        (0..coordinators).all(|one| kept.contains(&address(one)) == (one == c))
    }

    #[expect(clippy::expect_used, reason = "the seed always has another number")]
    fn switchboard(&self, town: &Town, stream: u64) -> Switchboard {
        let around = Surroundings {
            shelf: Arc::new(self.shelf.clone()),
            clock: Arc::new(self.clock.clone()),
            rng: Arc::new(Seeded::new(town.seed, stream)),
            dialer: Dialer::through(Arc::new(town.net.host(self.i))),
        };
        let coordinators = (0..town.coordinators).map(address).collect();
        Switchboard::begin(around, coordinators, None, Policy::default().heartbeat)
            .expect("the seed always has another number")
    }
}

/// An agent's life.
struct Agent {
    lines: Lines,
    told: watch::Receiver<Told>,
    granted: mpsc::Receiver<Granted>,
    strings: Strings,
    clock: WorldClock,
    cluster: ClusterName,
    registration: Registration,
    obeyed: Stamp,
    life: Option<u32>,
}

impl Agent {
    /// Registers, then talks and moves, for ever.
    async fn live(self, welcome: oneshot::Sender<Welcome>) -> Infallible {
        let Self { lines, told, granted, strings, clock, cluster, registration, obeyed, life } = self;
        let watch = WatchRequest {
            cluster: cluster.clone(),
            instance: registration.instance.clone(),
            directory: registration.directory.clone(),
        };
        let name = registration.instance.clone();
        let welcomed = lines.register(registration, Some(obeyed)).await;
        let floor = Floor { obeyed, registered: Some(welcomed.floor) };
        // Whoever waits for it holds this process.
        let _ = welcome.send(welcomed);
        let puppet = Arc::new(Puppet::new(strings, (cluster, name), clock, told.clone(), floor));
        if let Some(life) = life {
            puppet.adopt(life).await;
        }
        let mut parts = JoinSet::new();
        parts.spawn(lines.keep(watch));
        parts.spawn(keep_leases(puppet.clone(), granted));
        parts.spawn(beat_forever(puppet.clone()));
        parts.spawn(knock_forever(puppet.clone(), told.clone()));
        reconcile(puppet, told).await
    }
}
