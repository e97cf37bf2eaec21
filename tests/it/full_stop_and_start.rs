//! Maintenance of everything: all nodes are told to end, and are started again in another order.

use crate::support::{self, Machine, Town, below};

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
