//! The power of all machines fails at once, and comes back: what was acknowledged is on somebody's disk, and the
//! record that says whose is on the coordinators'.

use crate::support::{Machine, Town, Writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_killed_at_once_and_comes_back_with_every_acknowledged_row() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;

    std::thread::scope(|all| {
        town.machines.iter_mut().for_each(|machine| drop(all.spawn(|| machine.kill())));
    });
    town.machines.iter_mut().for_each(Machine::start);

    let after = town.healthy("everything that was killed").await;
    assert!(after.epoch > before.epoch, "a primary that was killed rules again only by promotion");
    writer.acknowledged(&town, 50).await;
    writer.verdict(&town).await;
}
