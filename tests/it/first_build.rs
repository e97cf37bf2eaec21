//! Three machines as the first build left them: `first_build/`, byte by byte.
//!
//! `n1` to `n3` are what Interrex itself wrote up to a second failover (format and identity, the agents' memories, logs
//! with snapshots: its limits were lowered so that there are any). PostgreSQL's own data is not among it, so nobody may
//! be elected. `with_postgresql.tar.xz` has PostgreSQL 15's, too: a cluster with one failover behind it, all of whose
//! processes were killed at once. The logs name the members' addresses, so these are fixed, and each scene is played once
//! at a time on a machine.

use crate::support::{self, Machine, PATIENCE, Town, eventually, major, of_postgres};
use interrex_api::client::{Client, ClientOptions};
use interrex_cluster::ids::Epoch;
use interrex_cluster::status::ClusterStatus;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The network that the logs of the first scene name, and that of the second.
const WITHOUT_POSTGRESQL: &str = "127.83.7";
const WITH_POSTGRESQL: &str = "127.83.8";

/// Held for as long as the addresses of a network are used.
async fn alone(network: &str) -> TcpListener {
    let free = async || TcpListener::bind(format!("{network}.9:7400")).ok();
    eventually(PATIENCE, "another play of this scene to end", free, String::new).await
}

/// The members are where the logs say that they are.
fn settle(town: &mut Town, network: &str) {
    let there = |m: &Machine| format!("{network}.{}:7400", m.name.trim_start_matches('n'));
    let moves: Vec<_> = town.machines.iter().map(|m| (m.coordinator(), there(m))).collect();
    for machine in &town.machines {
        let text = fs::read_to_string(machine.file()).unwrap();
        let text = moves.iter().fold(text, |text, (old, new)| text.replace(old, new));
        fs::write(machine.file(), text).unwrap();
    }
    let coordinators = moves.into_iter().map(|(_, new)| new).collect();
    town.client = Client::new(coordinators, ClientOptions::default()).unwrap();
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/first_build").join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// The first build's files for its own.
fn move_in(machine: &Machine) {
    let data = machine.dir.join("data");
    copy(&fixture(&machine.name), &data);
    fs::set_permissions(&data, Permissions::from_mode(0o711)).unwrap();
}

/// Every agent has spoken, as what the record knows it for.
fn all_heard(status: &ClusterStatus) -> bool {
    let all = &status.instances;
    all.len() == 3 && all.iter().all(|one| one.report_age_ms.is_some() && one.server == "no data")
}

#[tokio::test]
async fn three_machines_of_the_first_build_start_with_all_that_they_knew_and_are_written_on() {
    let _alone = alone(WITHOUT_POSTGRESQL).await;
    let mut town = Town::planned().await;
    town.machines.iter().for_each(move_in);
    settle(&mut town, WITHOUT_POSTGRESQL);

    town.machines.iter_mut().for_each(Machine::start);
    let status = town.until("the first build's members are heard under their names", all_heard).await;
    assert!(status.epoch >= Epoch(4), "{status:?}");
    assert_eq!(status.system.map(|system| system.to_string()).as_deref(), Some("7711360725114727431"));
    assert!(status.instances.iter().all(|one| one.incarnation.0 >= 1), "{status:?}");

    // It is written on, in the words of this build, and read again; and nobody is elected who holds nothing.
    town.client.set_paused(&status.name, true).await.unwrap();
    for machine in &mut town.machines {
        machine.kill();
        machine.start();
    }
    let paused = |status: &ClusterStatus| all_heard(status) && status.paused;
    let status = town.until("what this build wrote is known after a crash of all three", paused).await;
    assert!(!status.open && status.primary.is_none(), "{status:?}");
    for machine in &town.machines {
        let log = machine.log();
        assert!(!log.contains("not tended"), "{log}");
        let state = fs::read_to_string(machine.dir.join("data/instances/demo/state")).unwrap();
        assert_eq!(state.contains("\"promoted\": 4"), machine.name == "n1", "{state}");
    }
}

/// All of the first build's, PostgreSQL's data as well.
fn unpack(town: &Town) {
    let first = town.dir().join("first");
    fs::create_dir(&first).unwrap();
    let unpacked = Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--file"])
        .arg(fixture("with_postgresql.tar.xz"))
        .current_dir(&first)
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    for machine in &town.machines {
        let from = first.join(&machine.name);
        let clusters = machine.pgdata().parent().unwrap().to_owned();
        of_postgres(&clusters, 0o755);
        fs::rename(from.join("data"), machine.dir.join("data")).unwrap();
        for entry in fs::read_dir(from.join("pg")).unwrap().map(Result::unwrap) {
            fs::rename(entry.path(), clusters.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_the_first_build_serves_again_with_every_row_and_fails_over() {
    if major() != 15 || !cfg!(target_arch = "x86_64") {
        eprintln!("skipped: the first build's data is of PostgreSQL 15 on x86-64");
        return;
    }
    let _alone = alone(WITH_POSTGRESQL).await;
    let mut town = Town::planned().await;
    unpack(&town);
    settle(&mut town, WITH_POSTGRESQL);
    let rows = ["before a failover of the first build", "after it", "with everybody back"];

    town.machines.iter_mut().for_each(Machine::start);
    let status = town.healthy("the first build's cluster").await;
    assert_eq!(status.system.map(|system| system.to_string()).as_deref(), Some("7711413394260578795"));
    assert!(status.epoch >= Epoch(3), "{status:?}");
    assert_eq!(town.told("cloning", 3).await, [""; 0], "every copy was good");
    for machine in ["n1", "n2", "n3"] {
        assert_eq!(town.sql(machine, "select what from kept").await.unwrap(), rows, "on {machine}");
    }

    let primary = support::primary(&status);
    town.machine(&primary).kill();
    let later = |now: &ClusterStatus| now.open && now.epoch > status.epoch;
    let now = town.until("a failover of this build", later).await;
    let elected = support::primary(&now);
    town.sql(&elected, "insert into kept values ('under this build')").await.unwrap();
    town.machine(&primary).start();
    town.healthy("the first build's machines under this build").await;
    for machine in ["n1", "n2", "n3"] {
        let kept = town.sql(machine, "select what from kept").await.unwrap();
        assert_eq!((kept.len(), &kept[..3]), (4, rows.map(str::to_owned).as_slice()), "on {machine}");
    }
}
