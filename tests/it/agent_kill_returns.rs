//! The agent of the primary dies and is back within its lease: PostgreSQL never notices, its guard kept it.

use crate::support::{self, Town, Writer, now_ms};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_back_within_its_lease_costs_the_primary_nothing() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let primary = support::primary(&before);
    // The node is the coordinator too, and this scene is about the agent.
    town.lead_elsewhere_than(&primary).await;
    let postmaster = town.machine(&primary).postmaster().expect("PostgreSQL runs");
    let writer = Writer::start(&town).await;

    let killed_at = now_ms();
    town.machine(&primary).kill_node();
    town.machine(&primary).start();
    town.eventually("the new agent to find PostgreSQL under its guard", async || {
        let found = format!(
            "PostgreSQL was found running under its guard cluster=demo postmaster={}",
            postmaster.pid
        );
        town.machines.iter().any(|machine| machine.log().contains(&found)).then_some(())
    })
    .await;
    let after = town.healthy("the cluster whose agent came back").await;

    assert_eq!((after.epoch, after.primary), (before.epoch, before.primary));
    assert!(postmaster.alive(), "PostgreSQL was restarted");
    writer.acknowledged(&town, 50).await;
    let gap = writer.longest_gap(killed_at);
    eprintln!("longest gap {} ms", gap.ms);
    assert!(gap.ms < 1_000, "{gap:?}");
    writer.verdict(&town).await;
}
