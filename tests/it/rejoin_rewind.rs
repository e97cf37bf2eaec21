//! The old primary holds a commit that nobody else has: promised to no one, and gone with its epoch. What it holds past
//! the fork is rewound, and it follows.

use crate::support::{Town, healthy, instance, primary};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_with_wal_of_its_own_is_rewound_and_follows() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let old = primary(&before);
    town.sql(&old, "create table kept (what text)").await.unwrap();
    town.sql(&old, "insert into kept values ('shared')").await.unwrap();

    town.write_what_nobody_else_gets(&old, "insert into kept values ('its own')").await;
    town.machine(&old).kill();
    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    let new = primary(&after);
    assert_eq!(town.sql(&new, "select what from kept").await.unwrap(), ["shared"]);
    town.sql(&new, "insert into kept values ('after')").await.unwrap();

    town.machine(&old).start();
    let whole = town.until("the old primary streams again", healthy).await;
    let rewound = town.told("rewinding", after.epoch.0).await;
    assert_eq!(rewound, [format!("{old} is being rewound from {new}")]);
    assert_eq!(town.told("cloning", after.epoch.0).await, [""; 0], "a rewind did it");
    assert_eq!(instance(&whole, &old).incarnation, instance(&before, &old).incarnation.next());
    assert_eq!(whole.epoch, after.epoch);
    town.eventually("its own row to be gone from the old primary", async || {
        let rows = town.sql(&old, "select what from kept order by what").await.ok()?;
        (rows == ["after", "shared"]).then_some(())
    })
    .await;
}
