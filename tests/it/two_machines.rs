//! Two machines with PostgreSQL and a third that only votes: the smallest town that fails over by itself.

use crate::support::{Machine, Town, Writer, healthy, instance, now_ms, primary};
use interrex_cluster::status::ClusterStatus;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_s_machine_of_two_dies_and_the_standby_takes_over_by_the_third_vote() {
    let mut town = Town::of_two_and_a_vote().await;
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster of two").await;
    assert_eq!(before.instances.len(), 2);
    let old = primary(&before);
    let writer = Writer::start(&town).await;

    let killed_at = now_ms();
    town.machine(&old).kill();
    let after = town.until("the standby is open", |s| s.open && s.epoch > before.epoch).await;
    let new = primary(&after);
    assert_ne!(new, old);
    writer.acknowledged(&town, 100).await;
    eprintln!("write outage of two machines {} ms", writer.longest_gap(killed_at).ms);

    town.machine(&old).start();
    let whole = town.until("the old primary streams again, by itself", healthy).await;
    // A machine that is starved meanwhile may lose its lease, and is then elected again: it is still the one.
    assert_eq!((primary(&whole), whole.epoch >= after.epoch), (new, true));
    assert_eq!(instance(&whole, &old).role, "standby");
    writer.verdict(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_third_vote_writes_go_on_and_without_the_standby_they_go_on_alone() {
    let mut town = Town::of_two_and_a_vote().await;
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster of two").await;
    let primary = primary(&before);
    let writer = Writer::start(&town).await;

    // Two votes of three are a majority: nothing changes but the list.
    town.machine("n3").kill();
    writer.acknowledged(&town, 50).await;
    assert_eq!(town.until("somebody leads", |s| s.open).await.primary, before.primary);
    town.machine("n3").start();
    town.voters("three that vote", 3).await;

    // The standby's machine: its vote and its copy are gone, and the rule gives way within `alone_after`.
    let standby = before.instances.iter().map(|i| i.name.to_string()).find(|name| *name != primary);
    let standby = standby.expect("a standby");
    town.machine(&standby).kill();
    let alone = |s: &ClusterStatus| s.open && s.problems.iter().any(|problem| problem.code == "alone");
    town.until("the primary to go on alone", alone).await;
    writer.acknowledged(&town, 50).await;
    town.machine(&standby).start();
    let again = town.until("the standby acknowledges again", healthy).await;
    assert_eq!(again.primary, before.primary);
    writer.verdict(&town).await;
}
