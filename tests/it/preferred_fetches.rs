//! The preferred standby is behind when the primary's machine dies: it fetches what it lacks from the other one, and is
//! promoted with all of it.

use crate::support::{Town, healthy, now_ms, primary};
use rustix::process::Signal;
use std::fs;

/// More than the buffers of two sockets hold, so that whoever reads nothing lacks some of it.
const ROWS: u32 = 24_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_preferred_standby_is_behind_and_is_promoted_with_all_that_the_other_one_has() {
    let mut town = Town::planned().await;
    // The first copy is made on n1; after that n3 is preferred to n2.
    for (name, priority) in [("n1", 0), ("n2", 2), ("n3", 1)] {
        let file = town.machine(name).file();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\npgdata = ", &format!("\npriority = {priority}\npgdata = ")))
            .unwrap();
    }
    town.machines.iter_mut().for_each(|machine| machine.start());
    let before = town.healthy("a cluster from nothing").await;
    assert_eq!(primary(&before), "n1");
    town.sql("n1", "create table pile (what text)").await.unwrap();

    let [receiver] = town.machine("n3").backends("walreceiver").try_into().expect("one receiver");
    receiver.signal(Signal::STOP);
    let fill = format!("insert into pile select repeat('x', 1000) from generate_series(1, {ROWS})");
    town.sql("n1", &fill).await.unwrap();
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
    assert_eq!(town.sql("n3", "select count(*)::text from pile").await.unwrap(), [ROWS.to_string()]);

    town.machine("n1").start();
    town.until("the old primary streams again", healthy).await;
}
