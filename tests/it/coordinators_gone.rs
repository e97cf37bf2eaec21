//! Every coordinator is gone for longer than a lease: nothing can be decided, and nothing has to be. The primary's own
//! acknowledged synchronous commits renew its lease (docs/PROTOCOL.md, 'Leases').

use crate::support::{Machine, Town, Writer, now_ms};

/// Twice the default lease.
const TWO_LEASES_MS: u64 = 6_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_coordinator_is_away_for_two_leases_and_the_primary_writes_on() {
    let mut town = Town::of_agents_and_coordinators(&["n1", "n2"], &["n3"]).await;
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster of two").await;
    let writer = Writer::start(&town).await;

    let killed_at = now_ms();
    town.machine("n3").kill();
    town.eventually("two leases to pass", async || (now_ms() > killed_at + TWO_LEASES_MS).then_some(()))
        .await;
    writer.acknowledged(&town, 50).await;
    let gap = writer.longest_gap(killed_at);
    eprintln!("longest gap without a coordinator {} ms", gap.ms);
    assert!(gap.ms < 1_000, "{gap:?}");

    town.machine("n3").start();
    let after = town.healthy("the cluster with its coordinator").await;
    assert_eq!((after.epoch, after.primary), (before.epoch, before.primary));
    writer.verdict(&town).await;
}
