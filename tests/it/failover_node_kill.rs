//! The primary's machine dies: node, guard, PostgreSQL, all at once, while an application writes.

use crate::support::{Town, Writer, healthy, instance, now_ms, primary};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_s_machine_dies_and_nothing_acknowledged_is_lost() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let old = primary(&before);
    let writer = Writer::start(&town).await;

    let killed_at = now_ms();
    let killed = town.machine(&old).kill();
    assert!(killed >= 5, "only {killed} processes were killed");
    writer.acknowledged(&town, 200).await;
    let outage = writer.longest_gap(killed_at);
    eprintln!("{killed} processes killed, write outage {} ms", outage.ms);

    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    let new = primary(&after);
    assert_ne!(new, old);
    assert_eq!(after.epoch, before.epoch.next());
    assert_eq!(
        instance(&after, &new).timeline.map(|t| t.0),
        Some(after.epoch.0),
        "a timeline bears its epoch's number"
    );

    town.machine(&old).start();
    let whole = town.until("the old primary streams again, by itself", healthy).await;
    assert_eq!((whole.epoch, primary(&whole)), (after.epoch, new.clone()));
    assert_eq!(instance(&whole, &old).role, "standby");
    assert_eq!(town.told("opened", after.epoch.0).await.len(), 1, "one epoch, opened once");
    writer.verdict(&town).await;
}
