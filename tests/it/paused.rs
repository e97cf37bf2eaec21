//! A paused cluster: a dead primary is told and not failed over, until somebody resumes.

use crate::support::{Town, Writer, healthy, primary};

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

    town.machine(&old).kill();
    let told = town.until("the dead primary to be told", |s| {
        s.problems.iter().any(|p| p.code == "primary-unreachable" || p.code == "primary-silent")
    });
    let told = told.await;
    assert_eq!((told.epoch, told.paused), (before.epoch, true), "nothing begins while paused");
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
