//! Coordinators that can be started, looked at and killed.

use super::ports;
use crate::{Builder, Coordinator, Handle};
use interrex_api::client::{Client, ClientOptions};
use interrex_cluster::ids::{ClusterName, InstanceName};
use interrex_cluster::record::{Cluster, Copy, Operation};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One running coordinator.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    run: JoinHandle<()>,
    leave: oneshot::Sender<()>,
}

/// A group of coordinators on loopback.
pub(crate) struct Group {
    dir: tempfile::TempDir,
    pub(crate) addresses: BTreeMap<String, String>,
    pub(crate) running: BTreeMap<String, Running>,
}

impl Group {
    /// `size` coordinators `n1`, `n2`, …, formed and led. `extra` may add to each builder.
    pub(crate) async fn of(size: usize, extra: impl Fn(Builder) -> Builder) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // Ports are found first, because every member has to know all of them.
        let held: Vec<_> = (0..size).map(|_| ports::listener()).collect();
        let addresses: BTreeMap<String, String> = (1..)
            .zip(&held)
            .map(|(i, port)| (format!("n{i}"), port.local_addr().expect("an address").to_string()))
            .collect();
        let mut group = Self { dir, addresses, running: BTreeMap::new() };
        for (name, listener) in group.addresses.clone().keys().zip(held) {
            group.start(name, |builder| extra(builder.listener(listener))).await;
        }
        group.leader().await;
        group
    }

    /// Starts a coordinator, on its own port unless `extra` has another wish.
    async fn start(&mut self, name: &str, extra: impl FnOnce(Builder) -> Builder) {
        let members = self.addresses.iter().map(|(n, a)| (n.parse().expect("a name"), a.clone())).collect();
        let builder = Coordinator::builder()
            .machine(name.parse().expect("a name"))
            .listen(self.addresses[name].parse().expect("an address"))
            .members(members)
            .data_dir(self.dir.path().join(name))
            .yield_to_primary(false);
        let coordinator = extra(builder).open().await.expect("it opens");
        let handle = coordinator.handle();
        let (leave, left) = oneshot::channel::<()>();
        let shutdown = async { drop(left.await) };
        let run = tokio::spawn(async move { coordinator.run(shutdown).await.expect("it runs") });
        self.running.insert(name.to_owned(), Running { handle, run, leave });
    }

    /// One that has ended starts again where it was.
    pub(crate) async fn start_again(&mut self, name: &str) {
        self.start(name, |builder| builder).await;
    }

    /// One machine more, which is to be added by an operator and waits for that.
    pub(crate) async fn start_to_join(&mut self, name: &str) {
        let listener = ports::listener();
        self.addresses.insert(name.to_owned(), listener.local_addr().expect("an address").to_string());
        self.start(name, |builder| builder.listener(listener).join(true)).await;
        let mut waiting = self.handle(name).core.node.waiting();
        within("it waits to be added", waiting.wait_for(Option::is_some)).await.expect("it runs");
    }

    /// Where a coordinator keeps its log.
    pub(crate) fn raft_dir(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name).join("raft")
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.addresses.values().cloned().collect()
    }

    /// A client that knows only these coordinators.
    pub(crate) fn client(&self, of: &[&str]) -> Client {
        let addresses = of.iter().map(|name| self.addresses[*name].clone()).collect();
        Client::new(addresses, ClientOptions::default()).expect("addresses")
    }

    pub(crate) fn handle(&self, name: &str) -> &Handle {
        &self.running[name].handle
    }

    /// Waits for one that leads.
    pub(crate) async fn leader(&self) -> String {
        let waits = self.running.iter().map(|(name, running)| {
            let mut leadership = running.handle.core.node.leadership();
            Box::pin(async move {
                leadership.wait_for(|l| l.mine).await.expect("it runs");
                name.clone()
            })
        });
        within("somebody leads", futures::future::select_all(waits)).await.0
    }

    /// One that does not lead.
    pub(crate) async fn follower(&self) -> String {
        let leader = self.leader().await;
        self.running.keys().find(|name| **name != leader).expect("a group of several").clone()
    }

    /// Asks a coordinator to end, and waits until it has.
    pub(crate) async fn leave(&mut self, name: &str) {
        let Running { run, leave, .. } = self.running.remove(name).expect("it runs");
        leave.send(()).expect("it runs");
        within("it has left", run).await.expect("without a fault");
    }

    /// Ends a coordinator without a word to anybody.
    pub(crate) async fn kill(&mut self, name: &str) {
        let Running { handle, run, .. } = self.running.remove(name).expect("it runs");
        run.abort();
        drop(run.await);
        handle.core.node.shutdown().await;
        // Its server's task is dropped when its runtime comes to that.
        let address = &self.addresses[name];
        until("its port is free again", || std::net::TcpListener::bind(address).is_ok()).await;
    }

    /// Waits until the record of a cluster, as any running coordinator has it, is as wanted; returns it.
    pub(crate) async fn record(
        &self,
        what: &str,
        cluster: &str,
        wanted: impl Fn(&Cluster) -> bool,
    ) -> Cluster {
        let name: ClusterName = cluster.parse().expect("a name");
        let core = &self.running.values().next().expect("one runs").handle.core;
        let mut applied = core.node.applied();
        let seen = async {
            loop {
                applied.mark_unchanged();
                if let Some(record) = core.node.read(|r| r.cluster(&name).filter(|c| wanted(c)).cloned()) {
                    return record;
                }
                applied.changed().await.expect("it runs");
            }
        };
        match tokio::time::timeout(PATIENCE, seen).await {
            Ok(record) => record,
            Err(_) => panic!("{what}: {:#?}", core.node.read(|r| r.cluster(&name).cloned())),
        }
    }

    pub(crate) async fn stop(mut self) {
        for name in self.running.keys().cloned().collect::<Vec<_>>() {
            self.kill(&name).await;
        }
    }
}

/// Waits for something that has to come.
pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("it never came about that {what}"))
}

/// Waits until something is so that nobody tells of.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let poll = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, poll).await;
}

/// Open, every copy whole, the full rule proved: nothing left to do.
pub(crate) fn settled(record: &Cluster) -> bool {
    record.operation == Operation::None
        && record.primary.as_ref().is_some_and(|reign| reign.open)
        && record.instances.values().all(|member| member.copy == Copy::Whole)
        && record.sync.proved
        && record.sync.standbys.len() + 1 == record.instances.len()
}

/// The primary's name.
pub(crate) fn primary(record: &Cluster) -> InstanceName {
    record.primary.as_ref().expect("a primary").instance.clone()
}
