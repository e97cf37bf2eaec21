//! A paused cluster: a dead primary is told and not failed over, until somebody resumes. The pause outlives whoever wrote it
//! down, and a primary of an older epoch is ended all the same.

use crate::support::{Town, Writer, below, healthy, primary};
use rustix::process::Signal;

/// A dry run that is refused tells all the same what would be, were the cluster not paused.
async fn refused_and_told(town: &Town, change: &str) {
    let asked = town.ctl(&[change, "demo", "--dry-run"]).await;
    assert_eq!((asked.code, asked.err.contains("interrex resume demo")), (1, true), "{asked:?}");
    for words in
        [", were it not for what stands in the way\n", "expected then: 500 ms without writes as a rule"]
    {
        assert!(asked.out.contains(words), "{words}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_cluster_fails_over_only_once_it_is_resumed() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;
    let old = primary(&before);
    town.lead_elsewhere_than(&old).await;

    let paused = town.ctl(&["pause", "demo"]).await;
    assert_eq!((paused.code, paused.out.contains("demo is paused")), (0, true), "{paused:?}");
    let list = town.ctl(&["list"]).await;
    assert!(list.out.contains("paused"), "{list:?}");
    refused_and_told(&town, "switchover").await;

    town.machine(&old).kill();
    let told = town.until("the dead primary to be told", |s| {
        s.problems.iter().any(|p| p.code == "primary-unreachable" || p.code == "primary-silent")
    });
    let told = told.await;
    assert_eq!((told.epoch, told.paused), (before.epoch, true), "nothing begins while paused");
    let list = town.ctl(&["list"]).await;
    assert!(list.out.contains("paused; ") && list.out.contains(&format!("primary {old}")), "{list:?}");
    refused_and_told(&town, "failover").await;
    let refused = town.ctl(&["failover", "demo"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("interrex resume demo"), "{refused:?}");

    assert_eq!(town.ctl(&["resume", "demo"]).await.code, 0);
    town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    writer.acknowledged(&town, 50).await;
    town.machine(&old).start();
    town.until("all is well", healthy).await;
    writer.verdict(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_outlives_its_coordinators_and_a_superseded_primary_is_ended_all_the_same() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let old = primary(&before);
    let leader = town.lead_elsewhere_than(&old).await;
    let writer = Writer::start(&town).await;

    // The whole machine stands still, and knows nothing of what happens meanwhile.
    let server = town.machine(&old).postmaster().expect("PostgreSQL runs");
    let frozen = below(&town.machine(&old).dir);
    frozen.iter().for_each(|process| process.signal(Signal::STOP));
    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    writer.acknowledged(&town, 50).await;
    let paused = town.ctl(&["pause", "demo"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    town.machine(&leader).kill_node();
    town.machine(&leader).start();
    town.until("the cluster to be paused still", |s| s.paused && s.open).await;

    frozen.iter().for_each(|process| process.signal(Signal::CONT));
    town.eventually("PostgreSQL of the old epoch to be ended", async || (!server.alive()).then_some(()))
        .await;
    let now = town.until("the coordinators to answer", |s| s.open).await;
    assert_eq!((now.paused, now.epoch), (true, after.epoch), "nothing began for that");

    assert_eq!(town.ctl(&["resume", "demo"]).await.code, 0);
    town.until("all is well", healthy).await;
    writer.verdict(&town).await;
}
