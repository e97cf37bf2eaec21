//! Scenes of one machine with two instances, of which one cannot go on. The coordinator is a real server that only
//! listens.

use crate::{Agent, AgentConfig, InstanceConfig};
use interrex_api::refused::Refused;
use interrex_api::serve::{Answers, Caller, SessionHandler, session_service};
use interrex_api::session::{GoalUpdate, RegisterRequest, Registered, ReportRequest, Reported, WatchRequest};
use interrex_cluster::ids::{ClusterName, DirectoryId};
use interrex_cluster::policy::Policy;
use interrex_cluster::record::Address;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

/// What was heard, by cluster: whether it registered, and what it said of itself.
type Heard = BTreeMap<ClusterName, (bool, Option<String>)>;

struct Ear(watch::Sender<Heard>);

#[tonic::async_trait]
impl SessionHandler for Ear {
    async fn register(&self, _: Caller, request: RegisterRequest) -> Result<Registered, Refused> {
        self.0.send_modify(|heard| heard.entry(request.cluster).or_default().0 = true);
        Ok(Registered::Waiting { why: "this one only listens".to_owned(), roster: None })
    }

    async fn report(&self, _: Caller, request: ReportRequest) -> Result<Reported, Refused> {
        self.0.send_modify(|heard| heard.entry(request.cluster).or_default().1 = request.report.doing);
        Ok(Reported::default())
    }

    async fn watch(&self, _: Caller, _: WatchRequest) -> Result<Answers<GoalUpdate>, Refused> {
        Ok(Box::pin(tokio_stream::pending()))
    }
}

fn instance(cluster: &str, dir: &Path) -> InstanceConfig {
    let address = Address { host: "127.0.0.1".to_owned(), port: 1 };
    InstanceConfig {
        cluster: cluster.parse().unwrap(),
        name: "n1".parse().unwrap(),
        listen: address.clone(),
        advertise: address,
        pgdata: dir.join(cluster),
        bin_dir: dir.join("bin"),
        run_as: None,
        priority: None,
        archive_command: None,
        restore_command: None,
    }
}

async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test]
async fn an_instance_with_a_damaged_state_says_so_and_others_of_the_machine_go_on() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    let postgres = dir.path().join("bin/postgres");
    fs::write(&postgres, "#!/bin/sh\necho 'postgres (PostgreSQL) 15.18'\n").unwrap();
    fs::set_permissions(&postgres, fs::Permissions::from_mode(0o755)).unwrap();
    let damaged = dir.path().join("instances/bad/state");
    fs::create_dir_all(damaged.parent().unwrap()).unwrap();
    fs::write(&damaged, "interrex-instance 1 00000000\n{}\n").unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ear = watch::Sender::new(Heard::new());
    let mut heard = ear.subscribe();
    let service = session_service(Arc::new(Ear(ear)));
    let coordinator = tonic::transport::Server::builder().add_service(service);
    let coordinator = tokio::spawn(coordinator.serve_with_incoming(TcpListenerStream::new(listener)));

    let config = AgentConfig {
        machine: "n1".parse().unwrap(),
        zone: String::new(),
        data_dir: dir.path().to_owned(),
        directory: DirectoryId("d1".to_owned()),
        coordinators: vec![address],
        tls: None,
        guard: dir.path().join("bin/interrex-guard"),
        policy: Policy::default(),
        written: crate::Written::default(),
    };
    fs::create_dir(dir.path().join("odd")).unwrap();
    fs::write(dir.path().join("odd/letter.txt"), "no data directory").unwrap();
    let instances = ["bad", "good", "odd"].map(|cluster| instance(cluster, dir.path()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let agent = Agent::builder(config).instances(instances).build().unwrap();
    let handle = agent.handle();
    let trouble = |of: usize| handle.instances()[of].trouble.clone().map(|trouble| trouble.what);
    assert_eq!(trouble(0), None, "it does not run yet");
    let agent = tokio::spawn(agent.run(async { drop(stopped.await) }));

    let (bad, good): (ClusterName, ClusterName) = ("bad".parse().unwrap(), "good".parse().unwrap());
    let complaint = |heard: &Heard| {
        heard.get(&bad).and_then(|(_, said)| said.clone()).is_some_and(|said| said.contains("is damaged"))
    };
    within("the damaged one says so", heard.wait_for(complaint)).await.unwrap();
    let goes_on =
        |of: ClusterName| move |heard: &Heard| heard.get(&of).is_some_and(|(registered, _)| *registered);
    within("the other one registers", heard.wait_for(goes_on(good))).await.unwrap();
    let odd = goes_on("odd".parse().unwrap());
    within("so does one whose directory nobody can read: else nobody heard why", heard.wait_for(odd))
        .await
        .unwrap();
    assert!(!heard.borrow()[&bad].0, "the damaged one proves nothing");
    assert!(trouble(0).is_some_and(|what| what.contains("not tended: ") && what.contains("is damaged")));
    let waits = async {
        // Noted once the answer to the registration is back.
        while trouble(1).as_deref() != Some("not registered yet: this one only listens") {
            tokio::task::yield_now().await;
        }
    };
    within("the other one's trouble is that nobody takes it in", waits).await;

    fs::remove_file(&damaged).unwrap();
    let healed = |heard: &Heard| heard.get(&bad).is_some_and(|(registered, _)| *registered);
    within("put right, it goes on by itself", heard.wait_for(healed)).await.unwrap();
    stop.send(()).unwrap();
    within("the agent ends", agent).await.unwrap().unwrap();
    coordinator.abort();
}
