//! Maintenance of everything: all nodes are told to end, and are started again in another order.

use crate::support::{self, Machine, Town, below, bin_dir};
use rustix::process::Signal;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_stopped_in_good_order_and_starts_again_in_any() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let primary = support::primary(&before);
    town.sql(&primary, "create table kept (what text)").await.unwrap();
    town.sql(&primary, "insert into kept values ('before the stop')").await.unwrap();

    town.machines.iter().for_each(Machine::stop);
    for machine in &mut town.machines {
        machine.stopped().await;
    }
    assert_eq!(below(town.dir()).len(), 0, "a stopped node leaves nothing running");
    for machine in &town.machines {
        let postmaster = machine.pgdata().join("postmaster.pid");
        assert!(!postmaster.exists(), "PostgreSQL of {} was not stopped in good order", machine.name);
    }

    town.machines.iter_mut().rev().for_each(Machine::start);
    let after = town.healthy("everything that was stopped").await;
    assert_eq!(after.system, before.system);
    let primary = support::primary(&after);
    for machine in ["n1", "n2", "n3"] {
        assert_eq!(
            town.sql(machine, "select what from kept").await.unwrap(),
            ["before the stop"],
            "on {machine}"
        );
    }
    town.sql(&primary, "insert into kept values ('after it')").await.unwrap();
    assert_eq!(town.told("cloning", before.epoch.0 + 1).await, [""; 0], "nobody is cloned anew after a stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_whose_node_is_told_to_end_serves_until_it_is_checkpointed_and_is_shut_down_cleanly() {
    let mut town = Town::up().await;
    let primary = support::primary(&town.status().await.expect("a healthy cluster answers"));
    town.sql(&primary, "create table kept (what text)").await.unwrap();
    let [checkpointer] =
        town.machine(&primary).backends("checkpointer").try_into().expect("one checkpointer");
    checkpointer.signal(Signal::STOP);
    town.machine(&primary).stop();
    let log = town.machine(&primary).dir.join("node.log");
    let asked =
        async || fs::read_to_string(&log).ok()?.contains("serves on until it is checkpointed").then_some(());
    town.eventually("the checkpoint before the stop", asked).await;

    // Longer than the lease that it holds by now: one that were not renewed any more would end in the middle of this.
    let status = town.status().await.expect("its own coordinator still answers");
    let held =
        support::instance(&status, &primary).lease_left_ms.expect("a primary that serves holds a lease");
    let from = Instant::now();
    while from.elapsed() <= Duration::from_millis(held) {
        town.sql(&primary, "insert into kept values ('while it was told to end')")
            .await
            .expect("it serves on");
    }
    checkpointer.signal(Signal::CONT);
    town.machine(&primary).stopped().await;
    let pgdata = town.machine(&primary).pgdata();
    let control = Command::new(bin_dir().join("pg_controldata")).arg(pgdata).output().unwrap();
    let control = String::from_utf8_lossy(&control.stdout).into_owned();
    let state = control.lines().find(|line| line.starts_with("Database cluster state:")).unwrap_or_default();
    assert!(state.ends_with("shut down"), "{state}");
}
