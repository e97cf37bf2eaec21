//! A parameter that replay checks (F25) is raised on the primary alone, and the primary is lost: its standbys acknowledged all
//! the time, and none of them could be promoted as it runs.

use crate::support::{Town, Writer, healthy, primary};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standbys_that_could_not_be_promoted_are_started_with_what_replay_demands() {
    let mut town = Town::up().await;
    let old = primary(&town.status().await.expect("a healthy cluster answers"));
    let writer = Writer::start(&town).await;
    // Behind everybody's back: with `interrex set` the standbys would have to be restarted first.
    let auto = town.machine(&old).pgdata().join("postgresql.auto.conf");
    let own = std::fs::read_to_string(&auto).unwrap();
    std::fs::write(&auto, format!("{own}max_connections = 151\n")).unwrap();
    let restarted = town.ctl(&["restart", "demo", &old]).await;
    assert_eq!(restarted.code, 0, "{restarted:?}");
    let unfit = |s: &interrex_cluster::status::ClusterStatus| {
        s.problems.iter().filter(|problem| problem.code == "not-promotable").count() == 2
    };
    let before = town.until("both standbys to be told as not promotable", unfit).await;
    assert_eq!(primary(&before), old, "it was only restarted");
    writer.acknowledged(&town, 50).await;

    town.machine(&old).kill();
    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    assert_ne!(primary(&after), old);
    writer.acknowledged(&town, 50).await;
    town.machine(&old).start();
    town.until("the old primary streams again, by itself", healthy).await;
    writer.verdict(&town).await;
}
