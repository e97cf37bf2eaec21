//! A machine whose volume was put back to what it was before: it may have acknowledged what it no longer holds. It counts
//! for nothing, is named, and is made anew.

use crate::support::{CLUSTER, Town, healthy, instance, primary};
use interrex_cluster::status::ClusterStatus;
use interrex_cluster::wal::Lsn;
use std::path::{Path, PathBuf};
use std::process::Command;

/// With owners, modes and times, as a snapshot of a volume has them.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-aT").arg(from).arg(to).status().unwrap();
    assert!(done.success(), "cp -aT {} {}: {done}", from.display(), to.display());
}

fn put_back(kept: &Path, place: &Path) {
    match place.is_dir() {
        true => std::fs::remove_dir_all(place).unwrap(),
        false => std::fs::remove_file(place).unwrap(),
    }
    copy(kept, place);
}

/// Where a standby's data and its agent's memory of it lie.
fn places(town: &mut Town, standby: &str) -> [PathBuf; 2] {
    let machine = town.machine(standby);
    [machine.pgdata(), machine.dir.join("data/instances").join(CLUSTER).join("state")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_went_back_in_time_counts_for_nothing_and_is_cloned() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let leader = primary(&before);
    let standby = ["n1", "n2", "n3"].into_iter().find(|name| *name != leader).expect("three machines");
    town.sql(&leader, "create table kept (what text)").await.unwrap();
    town.machine(standby).kill();
    let kept = town.dir().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let [data, state] = places(&mut town, standby);
    copy(&data, &kept.join("data"));
    copy(&state, &kept.join("state"));
    town.machine(standby).start();
    town.healthy("the cluster with its standby back").await;
    town.sql(&leader, "insert into kept select 'acknowledged' from generate_series(1, 1000)").await.unwrap();
    town.eventually("the standby to hold it", async || {
        let rows = town.sql(standby, "select count(*)::text from kept").await.ok()?;
        (rows == ["1000"]).then_some(())
    })
    .await;
    // What it told is known to whoever leads; told to one that dies with it, nobody would know better.
    town.lead_elsewhere_than(standby).await;
    let end = town.sql(standby, "select pg_last_wal_receive_lsn()::text").await.unwrap();
    let end: Lsn = end[0].parse().expect("a position");
    town.until("its position to be told", |s| instance(s, standby).lsn.is_some_and(|lsn| lsn >= end)).await;

    // Data and memory go back together: they agree with one another, and only the coordinators know better.
    town.machine(standby).kill();
    put_back(&kept.join("data"), &data);
    put_back(&kept.join("state"), &state);
    town.machine(standby).start();
    let second = instance(&before, standby).incarnation.next();
    let anew = |status: &ClusterStatus| healthy(status) && instance(status, standby).incarnation == second;
    let whole = town.until("the standby is made anew", anew).await;
    let log = town.machine(standby).log();
    assert!(log.contains("was told of it before: it was rolled back"), "{log}");
    assert_eq!((whole.epoch, &whole.primary), (before.epoch, &before.primary), "the primary was not touched");
    assert_eq!(town.told("cloning", 2).await.len(), 3, "two at the beginning, and this one");

    // The agent's memory alone: the data directory knows better.
    town.machine(standby).kill();
    put_back(&kept.join("state"), &state);
    town.machine(standby).start();
    let third = instance(&whole, standby).incarnation.next();
    let anew = |status: &ClusterStatus| healthy(status) && instance(status, standby).incarnation == third;
    town.until("the standby is made anew once more", anew).await;
    let log = town.machine(standby).log();
    assert!(log.contains("the data directory holds incarnation 2, the agent remembers 1"), "{log}");
}
