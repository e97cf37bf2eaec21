//! Three machines as the first build left them after two failovers: `first_build/`, byte by byte what Interrex itself wrote
//! (format and identity, the agents' memories, logs with snapshots: its limits were lowered so that there are any).
//! PostgreSQL's own data is not among it, so nobody may be elected. The logs name the members' addresses, so these are
//! fixed, and the scene is played once at a time on a machine.

use crate::support::{Machine, PATIENCE, Town, eventually};
use interrex_api::client::{Client, ClientOptions};
use interrex_cluster::ids::Epoch;
use interrex_cluster::status::ClusterStatus;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where the logs say that a machine's coordinator is.
fn address(machine: &str) -> String {
    format!("127.83.7.{}:7400", machine.trim_start_matches('n'))
}

/// Held for as long as the addresses are used.
async fn alone() -> TcpListener {
    let free = async || TcpListener::bind("127.83.7.9:7400").ok();
    eventually(PATIENCE, "another play of this scene to end", free, String::new).await
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

/// The first build's files for its own, and the members where its log has them.
fn move_in(machine: &Machine) {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/first_build").join(&machine.name);
    let data = machine.dir.join("data");
    copy(&first, &data);
    fs::set_permissions(&data, Permissions::from_mode(0o711)).unwrap();
}

/// Every agent has spoken, as what the record knows it for.
fn all_heard(status: &ClusterStatus) -> bool {
    let all = &status.instances;
    all.len() == 3 && all.iter().all(|one| one.report_age_ms.is_some() && one.server == "no data")
}

#[tokio::test]
async fn three_machines_of_the_first_build_start_with_all_that_they_knew_and_are_written_on() {
    let _alone = alone().await;
    let mut town = Town::planned().await;
    let moves: Vec<_> = town.machines.iter().map(|m| (m.coordinator(), address(&m.name))).collect();
    for machine in &town.machines {
        move_in(machine);
        let text = fs::read_to_string(machine.file()).unwrap();
        let text = moves.iter().fold(text, |text, (old, new)| text.replace(old, new));
        fs::write(machine.file(), text).unwrap();
    }
    let coordinators = moves.into_iter().map(|(_, new)| new).collect();
    town.client = Client::new(coordinators, ClientOptions::default()).unwrap();

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
