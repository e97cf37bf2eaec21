//! Two machines die one after the other, the second one only after the first is back: what the first winner was
//! given by its predecessor must survive it too. And the application has its own defaults for sessions, none of which may
//! keep an agent from its server: a hot standby refuses whoever wants to be serializable.

use crate::support::{self, Town, Writer, healthy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_primary_dies_too_once_the_old_one_is_back_and_nothing_is_lost() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let set = town
        .ctl(&[
            "set",
            "demo",
            "default_transaction_isolation=serializable",
            "default_transaction_deferrable=on",
            "idle_session_timeout=900",
            "standard_conforming_strings=off",
        ])
        .await;
    assert_eq!(set.code, 0, "{set:?}");
    let writer = Writer::start(&town).await;

    let mut epoch = before.epoch;
    for _ in 0..2 {
        let status = town.until("the cluster is whole", healthy).await;
        let primary = support::primary(&status);
        town.machine(&primary).kill();
        epoch = epoch.next();
        town.until("another primary is open", |s| s.open && s.epoch == epoch).await;
        writer.acknowledged(&town, 100).await;
        town.machine(&primary).start();
    }
    let after = town.healthy("the cluster after two failovers").await;
    assert_eq!(after.epoch.0, before.epoch.0 + 2);
    writer.verdict(&town).await;
}
