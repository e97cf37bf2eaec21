//! The preferred standby is behind when the primary's machine dies: it fetches what it lacks from the other one, and is
//! promoted with all of it. Where the other one dies meanwhile, nobody is promoted with less than was acknowledged.

use crate::support::{CLUSTER, Machine, PATIENCE, Process, Town, healthy, now_ms, primary};
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;
use std::fs;
use tokio::time::timeout;

/// More than the buffers of two sockets hold, so that whoever reads nothing lacks some of it.
const ROWS: u32 = 24_000;
/// So much that whoever fetches it is met at it, and not more than anybody would fetch (64 MiB).
const MANY_ROWS: u32 = 50_000;

/// A running town whose first copy is made on n1, and where n3 is preferred to n2 after that.
async fn preferring_n3(town: &mut Town) -> ClusterStatus {
    for (name, priority) in [("n1", 0), ("n2", 2), ("n3", 1)] {
        let file = town.machine(name).file();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\npgdata = ", &format!("\npriority = {priority}\npgdata = ")))
            .unwrap();
    }
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster from nothing").await;
    assert_eq!(primary(&before), "n1");
    before
}

/// Writes what n3 does not receive. Gives its receiver, which is stopped.
async fn write_past_n3(town: &mut Town, rows: u32) -> Process {
    town.sql("n1", "create table pile (what text)").await.unwrap();
    let [receiver] = town.machine("n3").backends("walreceiver").try_into().expect("one receiver");
    receiver.signal(Signal::STOP);
    let fill = format!("insert into pile select repeat('x', 1000) from generate_series(1, {rows})");
    town.sql("n1", &fill).await.unwrap();
    receiver
}

async fn holds_the_pile(town: &Town, machine: &str, rows: u32) {
    assert_eq!(town.sql(machine, "select count(*)::text from pile").await.unwrap(), [rows.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_preferred_standby_is_behind_and_is_promoted_with_all_that_the_other_one_has() {
    let mut town = Town::planned().await;
    let before = preferring_n3(&mut town).await;
    let receiver = write_past_n3(&mut town, ROWS).await;
    let killed_at = now_ms();
    town.machine("n1").kill();
    // It reads what its socket still holds and finds the end, as after a slow network.
    receiver.signal(Signal::CONT);

    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    eprintln!("open again {} ms after the kill", now_ms() - killed_at);
    let told = town.told("fetching", after.epoch.0).await;
    let [fetching] = told.as_slice() else { panic!("{told:?}") };
    assert!(
        fetching.starts_with("n3 is preferred and fetches ") && fetching.ends_with(" from n2"),
        "{fetching}"
    );
    assert_eq!(town.told("fetched", after.epoch.0).await, ["n3 has what n2 had, and is sealed again"]);
    assert_eq!((primary(&after).as_str(), after.epoch), ("n3", before.epoch.next()));
    holds_the_pile(&town, "n3", ROWS).await;

    town.machine("n1").start();
    town.until("the old primary streams again", healthy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_that_it_fetches_from_dies_and_nobody_is_promoted_with_less_than_was_acknowledged() {
    // The coordinator is apart: with two machines of three, the votes would be gone as well.
    let mut town = Town::of_agents_and_coordinators(&["n1", "n2", "n3"], &["n4"]).await;
    let before = preferring_n3(&mut town).await;
    let receiver = write_past_n3(&mut town, MANY_ROWS).await;
    // The pile was acknowledged by n2 alone.
    town.machine("n1").kill();
    receiver.signal(Signal::CONT);
    let fetches = async || {
        let waits = "waits for n3, which is preferred, to have all that n2 has";
        town.status().await.is_some_and(|status| status.waits.iter().any(|wait| wait == waits))
    };
    // Struck at once: what is fetched takes a second or two.
    let begun = timeout(PATIENCE, async { while !fetches().await {} });
    begun.await.expect("n3 to fetch what it lacks from n2");
    town.machine("n2").kill();

    let nobody = "waits for somebody who may be promoted: ";
    let waiting =
        town.until("nobody to be electable", |s| s.waits.iter().any(|w| w.starts_with(nobody))).await;
    assert_eq!((waiting.primary, waiting.epoch), (None, before.epoch.next()));
    let abandoned = town.told("fetch-abandoned", waiting.epoch.0).await;
    let [why] = abandoned.as_slice() else { panic!("{abandoned:?}") };
    assert!(why.starts_with("n3 does not get what it lacks from n2: "), "{why}");

    // What n3 holds may be the last whole copy.
    for args in [["reinit", CLUSTER, "n3"].as_slice(), &["instance", "remove", CLUSTER, "n3"]] {
        let refused = town.ctl(args).await;
        let why = "might be the last whole one; ask again once one does: interrex explain demo";
        assert_eq!((refused.code, refused.err.contains(why)), (1, true), "{args:?}: {refused:?}");
    }

    town.machine("n2").start();
    let after = town.until("the one that holds it takes writes", |s| s.open).await;
    assert_eq!(primary(&after), "n2");
    holds_the_pile(&town, "n2", MANY_ROWS).await;
    town.machine("n1").start();
    town.until("everybody streams again", healthy).await;
    holds_the_pile(&town, "n3", MANY_ROWS).await;
}
