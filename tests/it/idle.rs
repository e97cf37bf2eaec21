//! A cluster at rest: reports, leases and heartbeats go on, and nothing of them is written down. A minute of it is
//! measured, as no shorter time shows what happens now and then; hence it runs only when it is asked for:
//! `cargo test --test it -- --ignored idle`, or `make idle`.

use crate::support::{Machine, Town, run, tree};
use std::fs;
use std::time::Duration;

/// How long nothing may be written.
const REST: Duration = Duration::from_secs(60);
/// What still follows the start has come to its end when so long nothing was written: agents keep the highest position
/// that they saw every ten seconds at most.
const CALM: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes more than a minute: cargo test --test it -- --ignored idle"]
async fn idle_for_a_minute_no_log_grows_and_no_node_writes_a_byte() {
    let town = Town::up().await;
    let mut last = Vec::new();
    town.eventually("the writing after the start to end", async || {
        let seen = std::mem::replace(&mut last, written(&town));
        tokio::time::sleep(CALM).await;
        (seen == last && written(&town) == last).then_some(())
    })
    .await;

    let before = (newest(&town).await, written(&town), files(&town));
    let calm = town.status().await.expect("a healthy cluster answers");
    tokio::time::sleep(REST).await;
    let after = (newest(&town).await, written(&town), files(&town));
    eprintln!("after {} s: newest index {:?}, written bytes {:?}", REST.as_secs(), after.0, after.1);
    assert_eq!(before.0, after.0, "a log grew");
    assert_eq!(before.1, after.1, "a node wrote");
    assert!(before.2 == after.2, "files of a coordinator changed");

    // It was rest, not death.
    let status = town.healthy("the cluster after a minute of rest").await;
    assert_eq!((status.epoch, &status.primary), (calm.epoch, &calm.primary));
    let fresh = |age: Option<u64>| age.is_some_and(|ms| ms < 5_000);
    assert!(status.instances.iter().all(|instance| fresh(instance.report_age_ms)), "{status:#?}");
}

/// The index of the newest entry of each machine's log, as `interrex raft-log` tells it.
async fn newest(town: &Town) -> Vec<u64> {
    let mut newest = Vec::new();
    for machine in &town.machines {
        let answer = run(["raft-log".as_ref(), raft(machine).as_os_str()]).await;
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{answer:?}");
        let records = answer.out.lines().map(|line| serde_json::from_str(line).unwrap());
        let indexes = records.filter_map(|record: serde_json::Value| record["value"]["id"]["index"].as_u64());
        newest.push(indexes.max().expect("a log has entries"));
    }
    newest
}

/// Bytes that each node, coordinator and agent together, caused to be written to disk since its start.
fn written(town: &Town) -> Vec<u64> {
    let of_one = |machine: &Machine| {
        let text = fs::read_to_string(format!("/proc/{}/io", machine.node().pid)).unwrap();
        let bytes = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        bytes.and_then(|bytes| bytes.parse().ok()).expect("the kernel counts written bytes")
    };
    town.machines.iter().map(of_one).collect()
}

/// What each coordinator keeps: names, contents, times of change.
fn files(town: &Town) -> Vec<crate::support::Tree> {
    town.machines.iter().map(|machine| tree(&raft(machine))).collect()
}

fn raft(machine: &Machine) -> std::path::PathBuf {
    machine.dir.join("data/raft")
}
