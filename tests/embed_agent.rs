//! An agent inside somebody else's program, beside a coordinator in the same one: it makes a cluster of one on real
//! PostgreSQL, serves, and both end in good order when the program says so. A test program of its own: the agent's child
//! processes belong to it.

use interrex::admin::{CreateCluster, NewOwner};
use interrex::cluster::ids::DirectoryId;
use interrex::cluster::policy::Policy;
use interrex::cluster::record::Address;
use interrex::cluster::report::Server;
use interrex::cluster::spec::Spec;
use interrex::{
    Agent, AgentConfig, AgentHandle, Client, ClientOptions, Coordinator, DataDir, InstanceConfig, RunAs,
};
use interrex::{Tended, Written};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

#[path = "shared/bin_dir.rs"]
mod named;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// As whom PostgreSQL runs: it refuses root.
fn run_as() -> Option<RunAs> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("PostgreSQL's user exists");
    let fields: Vec<&str> = line.split(':').collect();
    Some(RunAs {
        uid: fields[2].parse().unwrap(),
        gid: fields[3].parse().unwrap(),
        name: "postgres".to_owned(),
    })
}

fn config(data: &DataDir, coordinator: String) -> AgentConfig {
    AgentConfig {
        machine: "here".parse().unwrap(),
        zone: String::new(),
        data_dir: data.path().to_owned(),
        directory: DirectoryId(data.identity().to_owned()),
        coordinators: vec![coordinator],
        tls: None,
        guard: env!("CARGO_BIN_EXE_interrex-guard").into(),
        policy: Policy::default(),
        written: Written::default(),
    }
}

fn instance(dir: &Path, port: u16) -> InstanceConfig {
    let room = dir.join("pg");
    fs::create_dir(&room).unwrap();
    let run_as = run_as();
    if let Some(user) = &run_as {
        chown(&room, Some(user.uid), Some(user.gid)).unwrap();
    }
    let address = Address { host: "127.0.0.1".to_owned(), port };
    InstanceConfig {
        cluster: "orders".parse().unwrap(),
        name: "here".parse().unwrap(),
        listen: address.clone(),
        advertise: address,
        pgdata: room.join("data"),
        bin_dir: named::bin_dir(),
        run_as,
        priority: Some(1),
        archive_command: None,
        restore_command: None,
    }
}

/// A row in, and out again, as the application.
async fn write_and_read(port: u16) -> Result<i64, sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
    let options = options.username("app").password("a-secret-of-the-program").database("orders");
    let mut connection = options.ssl_mode(PgSslMode::Disable).connect().await?;
    sqlx::raw_sql("create table t (n bigint); insert into t values (42)").execute(&mut connection).await?;
    sqlx::query_scalar("select n from t").fetch_one(&mut connection).await
}

/// Waits until `holds` of the agent's only instance, as its handle tells it.
async fn until(handle: &AgentHandle, what: &str, holds: impl Fn(&Tended) -> bool) -> Tended {
    let began = Instant::now();
    loop {
        let [tended] = handle.instances().try_into().unwrap();
        if holds(&tended) {
            return tended;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}: {tended:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_and_its_coordinator_serve_inside_one_program_and_end_when_it_says_so() {
    let dir = tempfile::Builder::new().prefix("ix-embed-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let own = dir.path().join("data");
    let data = DataDir::open(&own, &"here".parse().unwrap(), true).unwrap();
    let second = DataDir::open(&own, &"here".parse().unwrap(), true).unwrap_err().to_string();
    assert!(
        second.ends_with("another node runs on it; stop that one, or name another directory"),
        "{second}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let coordinator = Coordinator::builder()
        .machine("here".parse().unwrap())
        .listener(listener)
        .members([("here".parse().unwrap(), address.clone())].into())
        .data_dir(own);
    let coordinator = coordinator.open().await.unwrap();
    let handle = coordinator.handle();
    let (end_coordinator, ended) = oneshot::channel::<()>();
    let coordinating = tokio::spawn(coordinator.run(async { drop(ended.await) }));

    // PostgreSQL takes the port over a moment later; nobody else here asks for one.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let instance = instance(dir.path(), port);
    let pgdata = instance.pgdata.clone();
    let agent = Agent::builder(config(&data, address.clone())).instance(instance).build().unwrap();
    let looked_at = agent.handle();
    assert_eq!(looked_at.machine().as_str(), "here");
    let [before] = looked_at.instances().try_into().unwrap();
    assert_eq!((before.cluster.as_str(), before.instance.as_str()), ("orders", "here"));
    assert_eq!((before.report, before.looked, before.trouble), (None, None, None), "it does not run yet");
    let (end_agent, ended) = oneshot::channel::<()>();
    let mut tending = tokio::spawn(agent.run(async { drop(ended.await) }));

    let client =
        Client::new(vec![address], ClientOptions { overall: PATIENCE, ..ClientOptions::default() }).unwrap();
    // What an embedding program cannot read off PostgreSQL: there is no such cluster yet.
    let waits = |tended: &Tended| {
        tended.trouble.as_ref().is_some_and(|trouble| trouble.what.starts_with("not registered yet: "))
    };
    until(&looked_at, "it says why it does nothing", waits).await;
    let owner = NewOwner { name: "app".to_owned(), password: Some("a-secret-of-the-program".to_owned()) };
    let spec = Spec { instances: 1, acks: 0, min_acks: 0, ..Spec::default() };
    let name = "orders".parse().unwrap();
    client.create_cluster(&CreateCluster { name, spec, owner: Some(owner), adopt: None }).await.unwrap();
    let began = Instant::now();
    loop {
        let status = client.get_cluster(&"orders".parse().unwrap()).await.unwrap();
        if status.open {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it does not open: {status:#?}");
        tokio::select! {
            ended = &mut tending => panic!("the agent ended by itself: {ended:?}"),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    assert_eq!(write_and_read(port).await.unwrap(), 42);
    let serves = |tended: &Tended| match tended.report.as_ref().map(|report| (&report.server, &report.doing))
    {
        Some((Server::Primary(primary), None)) => primary.open,
        _ => false,
    };
    let tended = until(&looked_at, "its primary is open, and nothing is left to be done", serves).await;
    assert!(tended.report.unwrap().lease_left_ms.is_some_and(|left| left > 0), "it serves by a lease");
    assert!(tended.looked.is_some_and(|ago| ago < PATIENCE));

    end_agent.send(()).unwrap();
    tokio::time::timeout(PATIENCE, tending).await.expect("it ends when told to").unwrap().unwrap();
    assert!(!pgdata.join("postmaster.pid").exists(), "PostgreSQL was stopped in good order");
    assert!(pgdata.join("standby.signal").exists(), "and as a standby");
    let [after] = looked_at.instances().try_into().unwrap();
    assert!(matches!(after.report.unwrap().server, Server::Stopped { .. }), "the last word lasts");
    end_coordinator.send(()).unwrap();
    tokio::time::timeout(PATIENCE, coordinating).await.expect("it ends when told to").unwrap().unwrap();
    assert!(!handle.leads());
}
