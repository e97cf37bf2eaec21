//! What a supervisor and a log collector see of a node: sd_notify, SIGHUP, SIGTERM, and a log whose every line is JSON.

use crate::support::{CLUSTER, INTERREX, PATIENCE, Process, Town, below};
use rustix::process::Signal;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

/// The next word of the node, its first line.
fn heard(by: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let length = by.recv(&mut bytes).expect("a word of the node");
    String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_hears_of_the_node_s_life_and_every_line_of_its_log_is_json() {
    let town = Town::of(&["n1"]).await;
    let machine = &town.machines[0];
    let text = fs::read_to_string(machine.file()).unwrap();
    let json = format!("log_format = \"json\"\n{text}");
    fs::write(machine.file(), &json).unwrap();
    let socket = town.dir().join("notify");
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let log = machine.dir.join("node.log");
    let mut node = Command::new(INTERREX)
        .args(["node", "-c"])
        .arg(machine.file())
        .env("NOTIFY_SOCKET", &socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    assert_eq!(heard(&supervisor), "READY=1");
    town.healthy("a cluster of one under a supervisor").await;
    let process = || -> Process {
        let own = i32::try_from(node.id()).unwrap();
        below(&machine.dir).into_iter().find(|p| p.pid == own).expect("the node runs")
    };

    fs::write(machine.file(), json.replace("zone = \"", "zone = \"another-")).unwrap();
    process().signal(Signal::HUP);
    assert_eq!([heard(&supervisor), heard(&supervisor)], ["RELOADING=1", "READY=1"]);
    let file = machine.file().display().to_string();
    let waits = format!(
        "SIGHUP: key 'zone' of {file} is not what this node runs with: restart the node to put it in force"
    );
    let waiting = lines(&log).iter().filter(|line| line["message"] == waits.as_str()).count();
    assert_eq!(waiting, 1, "{}", machine.log());
    fs::write(machine.file(), "name =").unwrap();
    process().signal(Signal::HUP);
    assert_eq!([heard(&supervisor), heard(&supervisor)], ["RELOADING=1", "READY=1"]);
    assert!(machine.log().contains("the node goes on as it was started"), "{}", machine.log());

    process().signal(Signal::TERM);
    assert_eq!(heard(&supervisor), "STOPPING=1");
    let ended = town.eventually("the node to end", async || node.try_wait().unwrap()).await;
    assert!(ended.success(), "{ended}: {}", machine.log());
    assert!(machine.pgdata().join("standby.signal").exists(), "PostgreSQL was stopped as a standby");
    assert!(!machine.pgdata().join("postmaster.pid").exists(), "PostgreSQL was stopped in good order");

    let lines = lines(&log);
    for line in &lines {
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "no '{key}' in {line}");
        }
    }
    let says = |key: &str, value: &str| lines.iter().any(|line| line[key] == value);
    assert!(says("machine", "n1") && says("cluster", CLUSTER) && says("epoch", "2"), "{}", machine.log());
}

/// A log whose every line is an object.
fn lines(log: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    let object = |line: &str| match serde_json::from_str(line) {
        Ok(object @ Value::Object(_)) => object,
        other => panic!("{other:?}: {line}"),
    };
    text.lines().map(object).collect()
}
