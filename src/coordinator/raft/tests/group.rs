//! A small group to play with: each node has its own directory, port and server, and can be killed, wiped and started.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::super::*;
use super::wires::Wires;
use crate::tests::ports;
use interrex_authority::Authority;

/// Appends each entry to a list; the reply is its place in it.
#[derive(Default)]
pub(crate) struct List(pub(crate) Vec<String>);

impl Machine for List {
    fn apply(&mut self, _: u64, entry: &[u8]) -> Result<Vec<u8>, Unknown> {
        let entry = String::from_utf8_lossy(entry).into_owned();
        if entry == "from the future" {
            return Err(Unknown("command 99".to_owned()));
        }
        self.0.push(entry);
        Ok(self.0.len().to_string().into_bytes())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.join("\n").into_bytes()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(snapshot);
        self.0 = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

/// `entry 1` to `entry n`.
pub(crate) fn entries(n: usize) -> Vec<String> {
    (1..=n).map(|i| format!("entry {i}")).collect()
}

/// One running node, with a runtime of its own: what dies with a process dies with that.
pub(crate) struct Running {
    pub(crate) node: RaftNode<List>,
    runtime: Runtime,
}

/// The machines of a group, running or not.
pub(crate) struct Group {
    dir: tempfile::TempDir,
    addrs: BTreeMap<String, SocketAddr>,
    /// Who came later: the others' files do not name them.
    newcomers: Vec<String>,
    listeners: BTreeMap<String, std::net::TcpListener>,
    pub(crate) running: BTreeMap<String, Running>,
    pub(crate) limits: Limits,
    /// Present where the group speaks TLS.
    pub(crate) authority: Option<Authority>,
    /// Present where machines can be cut off from the others.
    wires: Option<Wires>,
}

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

impl Group {
    /// Machines `n1`, `n2`, … with free ports and empty directories; none is started.
    pub(crate) fn of(size: usize) -> Self {
        let (mut addrs, mut listeners) = (BTreeMap::new(), BTreeMap::new());
        for i in 1..=size {
            let listener = ports::listener();
            addrs.insert(format!("n{i}"), listener.local_addr().expect("an address"));
            listeners.insert(format!("n{i}"), listener);
        }
        let dir = tempfile::tempdir().expect("a directory");
        let (running, limits, newcomers) = Default::default();
        Self { dir, addrs, newcomers, listeners, running, limits, authority: None, wires: None }
    }

    /// The same, over wires that can be cut.
    pub(crate) fn wired(size: usize) -> Self {
        let group = Self::of(size);
        let ports = group.addrs.iter().map(|(name, addr)| (addr.port(), name.clone()));
        Self { wires: Some(Wires::between(ports)), ..group }
    }

    /// The same, over TLS.
    pub(crate) fn secured(size: usize) -> Self {
        let group = Self::of(size);
        let authority = Authority::new(&group.dir.path().join("tls"));
        Self { authority: Some(authority), ..group }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.addrs.keys().cloned().collect()
    }

    pub(crate) fn dir(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name).join("raft")
    }

    pub(crate) fn addr(&self, name: &str) -> String {
        self.addrs[name].to_string()
    }

    pub(crate) fn config(&self, name: &str) -> Config {
        let listed = |other: &String| other == name || !self.newcomers.contains(other);
        let members = self.addrs.iter().filter(|(other, _)| listed(other));
        let members = members.map(|(n, a)| (n.clone(), a.to_string())).collect();
        let mut config = Config::new(name, members, self.dir(name), &self.addr(name));
        config.limits = self.limits;
        config.tls = self.authority.as_ref().map(|authority| authority.machine(name));
        if let Some(wires) = &self.wires {
            config.dialer = wires.of(name);
        }
        config
    }

    /// What connects the machines of a group that is [`wired`](Self::wired).
    pub(crate) fn wires(&self) -> &Wires {
        self.wires.as_ref().expect("a wired group")
    }

    /// Starts a machine and its server.
    pub(crate) async fn start(&mut self, name: &str) {
        let config = self.config(name);
        self.start_with(name, config).await;
    }

    pub(crate) async fn start_with(&mut self, name: &str, config: Config) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (listener, addr) = (self.listeners.remove(name), self.addrs[name]);
        let begun = runtime.spawn(async move {
            let tls = config.tls.clone();
            let node = RaftNode::open(config, List::default()).await.expect("the node opens");
            let listener = match listener {
                Some(listener) => {
                    listener.set_nonblocking(true).expect("a socket");
                    TcpListener::from_std(listener).expect("a listener")
                }
                None => TcpListener::bind(addr).await.expect("its old port"),
            };
            let (uncut, cut) = tokio::sync::watch::channel(false);
            let incoming = crate::service::connections(crate::service::Entrance::Port(listener), tls, cut);
            let server = tonic::transport::Server::builder().add_service(node.service());
            tokio::spawn(async move {
                // Connections end with it.
                let _uncut = uncut;
                server.serve_with_incoming(incoming).await
            });
            node
        });
        let node = begun.await.expect("it starts");
        self.running.insert(name.to_owned(), Running { node, runtime });
    }

    pub(crate) async fn start_all(&mut self) {
        for name in self.names() {
            self.start(&name).await;
        }
    }

    /// Ends a machine without a word to the others: connections break, nothing is handed away.
    pub(crate) async fn kill(&mut self, name: &str) {
        let Running { node, runtime } = self.running.remove(name).expect("it runs");
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.expect("it ends");
        // A process that ends lets go of its lock.
        node.inner.log.close().await;
    }

    /// Empties a machine's directory.
    pub(crate) fn wipe(&self, name: &str) {
        std::fs::remove_dir_all(self.dir(name)).expect("the directory goes");
    }

    pub(crate) fn node(&self, name: &str) -> &RaftNode<List> {
        &self.running[name].node
    }

    /// Waits for a running machine that may say that it leads.
    pub(crate) async fn leader(&self) -> String {
        let waits = self.running.iter().map(|(name, r)| {
            let (name, mut leadership) = (name.clone(), r.node.leadership());
            Box::pin(async move {
                leadership.wait_for(|l| l.mine).await.expect("the node runs");
                name
            })
        });
        let all = futures::future::select_all(waits);
        tokio::time::timeout(PATIENCE, all).await.expect("somebody leads").0
    }

    /// Proposes at whoever leads, until it is certainly in the log, and returns the reply.
    pub(crate) async fn propose(&self, entry: &str) -> String {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{entry} was never taken");
            let leader = self.leader().await;
            match self.node(&leader).propose(entry.into(), PATIENCE).await {
                Ok(reply) => return String::from_utf8(reply).expect("a number"),
                Err(ProposeError::NotLeader { .. }) => {}
                Err(e) => panic!("{entry}: {e}"),
            }
        }
    }

    /// Waits until every running machine has exactly this list.
    pub(crate) async fn everywhere(&self, list: &[String]) {
        for (name, running) in &self.running {
            let node = &running.node;
            let mut applied = node.applied();
            let same = applied.wait_for(|_| node.read(|l| l.0.len() >= list.len()));
            tokio::time::timeout(PATIENCE, same)
                .await
                .unwrap_or_else(|_| panic!("{name} caught up"))
                .expect("it runs");
            assert_eq!(node.read(|l| l.0.clone()), list, "{name}");
            // Of what is committed it has queued a note.
            node.inner.log.settle().await;
        }
    }

    /// Waits until a machine that lost its log votes under the id that it drew, and its former one is gone.
    pub(crate) async fn votes_under_its_new_id(&self, name: &str) {
        let node = self.node(name);
        let mut metrics = node.inner.raft.metrics();
        let back = async {
            loop {
                let members = node.members();
                let own = |member: &MemberInfo| member.voter && member.raft_id == node.raft_id();
                if members.len() == self.addrs.len() && members.iter().any(own) {
                    return;
                }
                metrics.changed().await.expect("it runs");
            }
        };
        tokio::time::timeout(PATIENCE, back)
            .await
            .unwrap_or_else(|_| panic!("{name} votes under its new id"));
    }

    /// One machine more, with a free port and an empty directory, that is to join; not started.
    pub(crate) fn newcomer(&mut self, name: &str) {
        let listener = ports::listener();
        self.addrs.insert(name.to_owned(), listener.local_addr().expect("an address"));
        self.listeners.insert(name.to_owned(), listener);
        self.newcomers.push(name.to_owned());
    }

    /// Starts a machine that is to join.
    pub(crate) async fn start_to_join(&mut self, name: &str) {
        let config = Config { join: true, ..self.config(name) };
        self.start_with(name, config).await;
    }

    pub(crate) fn adding(&self, name: &str) -> Wish {
        Wish::Add(Peer { machine: name.to_owned(), addr: self.addr(name) })
    }

    /// Asks whoever leads, again and again, until it is done or refused; gives the voters.
    pub(crate) async fn change(&self, wish: &Wish) -> Result<Vec<String>, MemberError> {
        self.change_to(wish, &[]).await.map(|(voters, _)| voters)
    }

    /// The same, with machines that are to lead only where nobody else will do; tells whether it was so already.
    pub(crate) async fn change_to(
        &self,
        wish: &Wish,
        last: &[&str],
    ) -> Result<(Vec<String>, bool), MemberError> {
        let last: BTreeSet<String> = last.iter().map(ToString::to_string).collect();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{wish:?} was never done");
            let leader = self.leader().await;
            match self.node(&leader).change_members(wish.clone(), last.clone()).await {
                Ok(Progress::Done { voters, already }) => return Ok((voters, already)),
                Ok(Progress::Doing(_)) | Err(MemberError::NotLeader { .. }) => {}
                Err(why) => return Err(why),
            }
        }
    }

    /// Why the group does not change so.
    pub(crate) async fn refusal(&self, wish: &Wish) -> String {
        match self.change(wish).await {
            Err(MemberError::Refused(why)) => why,
            other => panic!("{wish:?}: {other:?}"),
        }
    }

    /// Waits until a machine waits for something, and gives its words.
    pub(crate) async fn waits_for(&self, name: &str, words: &str) -> String {
        let mut waiting = self.node(name).waiting();
        let says = waiting.wait_for(|line| line.as_ref().is_some_and(|line| line.contains(words)));
        let line = tokio::time::timeout(PATIENCE, says).await.unwrap_or_else(|_| panic!("{name}: {words}"));
        line.expect("it runs").clone().expect("a line")
    }

    /// Waits until a leader's heartbeats were answered by a quorum so many times more.
    pub(crate) async fn heartbeats(&self, leader: &str, times: usize) {
        let raft = &self.node(leader).inner.raft;
        let mut metrics = raft.metrics();
        let count = async {
            let acked = |m: &openraft::RaftMetrics<_>| m.last_quorum_acked.as_ref().map(|at| **at);
            let (mut seen, mut last) = (0, acked(&metrics.borrow_watched()));
            while seen < times {
                metrics.changed().await.expect("it runs");
                let now = acked(&metrics.borrow_watched());
                seen += usize::from(now != last);
                last = now;
            }
        };
        tokio::time::timeout(PATIENCE, count).await.expect("heartbeats go on");
    }

    /// Every file of every machine: name, length, time of the last change; and the newest index of each log.
    pub(crate) fn on_disk(&self) -> Vec<(String, u64, std::time::SystemTime)> {
        let mut files = Vec::new();
        for (name, running) in &self.running {
            let last = running.node.inner.log.look(|c| c.last().map_or(0, |id| id.index()));
            files.push((format!("{name}: newest entry"), last, std::time::SystemTime::UNIX_EPOCH));
            for entry in std::fs::read_dir(self.dir(name)).expect("its directory") {
                let entry = entry.expect("an entry");
                let meta = entry.metadata().expect("its metadata");
                files.push((
                    entry.path().display().to_string(),
                    meta.len(),
                    meta.modified().expect("a time"),
                ));
            }
        }
        files.sort();
        files
    }

    pub(crate) async fn stop(mut self) {
        for name in self.running.keys().cloned().collect::<Vec<_>>() {
            self.kill(&name).await;
        }
    }
}
