//! The library inside somebody else's program: the example does what it says, and several parts in one process change
//! nothing of that process. A test program of its own, because what is looked at belongs to the whole process: nobody
//! else may have set it before.

use interrex::cluster::command::Entry;
use interrex::cluster::record::Cluster;
use interrex::cluster::spec::Spec;
use interrex::rt::SystemClock;
use interrex::{
    Client, ClientOptions, Coordinator, CoordinatorBuilder, Handle, LogDisk, MemoryDisk, OpenError,
};
use interrex::{Tls, Witness, admin};
use interrex_authority::Authority;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::CryptoProvider;

#[path = "../examples/embed.rs"]
#[allow(dead_code, reason = "its main is the example's; the scene gives it an end of its own")]
mod example;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the example told so far.
#[derive(Clone)]
struct Told(watch::Sender<String>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_modify(|told| told.push_str(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the example below `dir` until it told of the creation; returns all that it told.
async fn example_tells_of_the_creation(dir: &Path) -> String {
    let told = Told(watch::Sender::default());
    let mut seen = told.0.subscribe();
    let end = async move {
        let created = |told: &String| told.contains("orders created: cluster orders was created\n");
        // Its sender is held by the example.
        drop(seen.wait_for(created).await);
    };
    let run = example::embed(dir, "127.0.0.1:0", end, told.clone());
    tokio::time::timeout(PATIENCE, run).await.expect("it tells of the creation, and ends").unwrap();
    told.0.borrow().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_creates_a_cluster_follows_its_story_and_finds_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = example_tells_of_the_creation(dir.path()).await;
    assert!(!first.contains("there already"), "{first}");
    let again = example_tells_of_the_creation(dir.path()).await;
    assert!(again.starts_with("orders is there already\n"), "{again}");
}

/// A coordinator in its own task.
struct Running {
    handle: Handle,
    end: oneshot::Sender<()>,
    run: JoinHandle<()>,
}

/// What the coordinator applied, by the program's own witness.
#[derive(Debug, Default)]
struct Applied(Mutex<Vec<String>>);

impl Witness for Applied {
    fn applied(&self, _: u64, entry: &Entry, _: &Cluster) {
        self.0.lock().unwrap().push(entry.cluster.to_string());
    }
}

impl Running {
    async fn begin(dir: &Path, tls: Option<Tls>) -> Self {
        Self::begin_with(dir, tls, |builder| builder).await
    }

    async fn begin_with(
        dir: &Path,
        tls: Option<Tls>,
        with: impl Fn(CoordinatorBuilder) -> CoordinatorBuilder,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let members = BTreeMap::from([("n1".parse().unwrap(), address)]);
        let mut builder = Coordinator::builder().machine("n1".parse().unwrap()).listener(listener);
        builder = builder.members(members).data_dir(dir);
        if let Some(tls) = tls {
            builder = builder.tls(tls);
        }
        builder = with(builder);
        let coordinator = builder.open().await.unwrap();
        let handle = coordinator.handle();
        let (end, ended) = oneshot::channel::<()>();
        let run = async move { coordinator.run(async { drop(ended.await) }).await.unwrap() };
        Self { handle, end, run: tokio::spawn(run) }
    }

    fn client(&self, tls: Option<Tls>) -> Client {
        let options = ClientOptions { tls, overall: PATIENCE, ..ClientOptions::default() };
        Client::new(vec![self.handle.address().to_string()], options).unwrap()
    }

    async fn end(self) {
        self.end.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.run).await.expect("it ends when told to").unwrap();
    }
}

/// What a library could change of its process: signals caught and ignored, the working directory, the umask. (What is
/// blocked is a thread's own affair, and changes for a moment whenever one is started.)
fn process() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = ["SigIgn", "SigCgt", "Umask"];
    let lines = status.lines().filter(|line| of.iter().any(|key| line.starts_with(key)));
    lines.map(str::to_owned).chain([std::env::current_dir().unwrap().display().to_string()]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_coordinators_and_their_clients_in_one_process_leave_no_trace_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let before = process();
    let authority = Authority::new(&dir.path().join("tls"));
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    // With a clock, a disk and a witness that the program gives it.
    let (disk, applied) = (MemoryDisk::default(), Arc::new(Applied::default()));
    let given = |builder: CoordinatorBuilder| {
        builder.clock(Arc::new(SystemClock)).disk(Arc::new(disk.clone())).witness(applied.clone())
    };
    let plain = Running::begin_with(&one, None, given).await;
    let secured = Running::begin(&two, Some(authority.machine("n1"))).await;
    let clients = [plain.client(None), secured.client(Some(authority.operator(Some("alice"))))];
    for (client, name) in clients.iter().zip(["orders", "invoices"]) {
        let name: interrex::cluster::ids::ClusterName = name.parse().unwrap();
        let wanted =
            admin::CreateCluster { name: name.clone(), spec: Spec::default(), owner: None, adopt: None };
        client.create_cluster(&wanted).await.unwrap();
        let seen = client.list_clusters().await.unwrap();
        assert_eq!(seen.iter().map(|c| &c.name).collect::<Vec<_>>(), [&name], "each knows its own alone");
    }

    assert_eq!(*applied.0.lock().unwrap(), ["orders"], "its witness was told");
    assert!(!disk.list().unwrap().is_empty(), "its log went to the disk that it was given");

    assert!(!tracing::dispatcher::has_been_set(), "a library installs no logger");
    assert!(CryptoProvider::get_default().is_none(), "a library installs no cryptographic provider");
    assert_eq!(process(), before);
    plain.end().await;
    assert_eq!(secured.handle.clusters().len(), 1, "the other goes on");
    secured.end().await;
    assert_eq!(process(), before);
}

#[tokio::test]
async fn a_run_that_is_dropped_halfway_leads_nobody_and_leaves_its_directory_whoever_holds_a_handle() {
    let dir = tempfile::tempdir().unwrap();
    let Running { handle, run, end: _end } = Running::begin(dir.path(), None).await;
    tokio::time::timeout(PATIENCE, handle.led()).await.expect("it leads").expect("itself");
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    assert!(!handle.leads());
    // What held it ends by itself, a moment later.
    let again = async {
        loop {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let members = [("n1".parse().unwrap(), listener.local_addr().unwrap().to_string())].into();
            let builder = Coordinator::builder().machine("n1".parse().unwrap()).listener(listener);
            if let Ok(opened) = builder.members(members).data_dir(dir.path()).open().await {
                return opened;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("its directory is free");
    drop(handle);
}

#[tokio::test]
async fn a_builder_that_lacks_something_says_so_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let told = |opened: Result<Coordinator, OpenError>| match opened {
        Err(why @ OpenError::Config(_)) => why.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    };
    let machine = || Coordinator::builder().machine("n1".parse().unwrap());
    assert_eq!(told(Coordinator::builder().open().await), "a coordinator needs its machine name");
    assert_eq!(told(machine().open().await), "a coordinator needs its data directory");
    let others = BTreeMap::from([("n2".parse().unwrap(), "127.0.0.1:7400".to_owned())]);
    assert_eq!(
        told(machine().data_dir(&data).members(others).open().await),
        "coordinator.members does not list this machine, n1"
    );
    let own = BTreeMap::from([("n1".parse().unwrap(), "127.0.0.1:7400".to_owned())]);
    assert_eq!(
        told(machine().data_dir(&data).members(own).open().await),
        "a coordinator needs its listen address"
    );
    assert!(!data.exists());
}
