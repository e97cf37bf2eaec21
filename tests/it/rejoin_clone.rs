//! A copy that no rewind can save is made anew: a diverged primary whose WAL is gone, and a standby whose whole
//! directory is.

use crate::support::{CLUSTER, Town, healthy, instance, primary};
use std::fs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_cannot_be_rewound_is_cloned_anew() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let old = primary(&before);
    town.sql(&old, "create table kept (what text)").await.unwrap();
    town.write_what_nobody_else_gets(&old, "insert into kept values ('its own')").await;
    town.machine(&old).kill();
    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    let new = primary(&after);
    town.sql(&new, "insert into kept values ('after')").await.unwrap();

    // Without its WAL the old primary can neither recover nor find the fork.
    for file in fs::read_dir(town.machine(&old).pgdata().join("pg_wal")).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::remove_file(file.path()).unwrap();
        }
    }
    town.machine(&old).start();
    let whole = town.until("the old primary streams again", healthy).await;
    assert_eq!(town.told("cloning", after.epoch.0).await, [format!("{old} is being cloned from {new}")]);
    assert!(instance(&whole, &old).incarnation > instance(&before, &old).incarnation);
    town.eventually("its own row to be gone from the old primary", async || {
        (town.sql(&old, "select what from kept").await.ok()? == ["after"]).then_some(())
    })
    .await;

    // Nobody can tell any more what it held; that is told, too.
    let receipts = town.told("receipt", after.epoch.0).await;
    let [receipt] = receipts.as_slice() else { panic!("{receipts:#?}") };
    assert!(receipt.contains("an unknown number of transactions"), "{receipt}");
    assert!(receipt.contains("where it ends and what it held past the line: "), "{receipt}");

    // What it was is kept until the cluster is whole.
    let home = town.machine(&old).dir.clone();
    town.eventually("what was moved aside to go", async || {
        let log = fs::read_to_string(home.join("node.log")).ok()?;
        let left = fs::read_dir(home.join("data/instances").join(CLUSTER).join("aside")).ok()?.count();
        (left == 0 && log.contains("the cluster is whole: ") && log.contains("aside/data.1 was removed"))
            .then_some(())
    })
    .await;

    // A standby that lost its disk.
    let third =
        ["n1", "n2", "n3"].into_iter().find(|name| *name != old && *name != new).expect("three machines");
    town.machine(third).kill();
    fs::remove_dir_all(town.machine(third).pgdata()).unwrap();
    town.machine(third).start();
    town.eventually("the standby without a directory to be cloned", async || {
        let told = town.told("cloning", after.epoch.0).await;
        told.contains(&format!("{third} is being cloned from {new}")).then_some(())
    })
    .await;
    let last = town.healthy("the cluster with a standby that was cloned anew").await;
    assert_eq!((last.epoch, last.primary), (whole.epoch, whole.primary));
    assert_eq!(town.sql(third, "select what from kept").await.unwrap(), ["after"]);
}
