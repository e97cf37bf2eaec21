//! `on_crash = "restart"`: a primary whose PostgreSQL crashes is primary again, in the next epoch, though the standby is
//! well; one that crashes again at once is failed over.
//!
//! The coordinator runs inside the test, so that the pause between two restarts is shorter than the shipped minute.

use crate::support::{CLUSTER, Machine, Town, Writer, healthy, primary};
use interrex::Coordinator;
use interrex::admin::NewOwner;
use interrex::cluster::policy::Policy;
use interrex::cluster::spec::Spec;
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Time enough for a second crash, right after the first, to fall into it.
const RESTARTS_AGAIN_AFTER: Duration = Duration::from_secs(6);

/// The coordinator of the town's `machine`, inside this process until the sender is dropped.
async fn coordinate(town: &Town, machine: &Machine) -> oneshot::Sender<()> {
    let (name, address) = (machine.name.parse().unwrap(), machine.coordinator());
    let login = town.login();
    let owner = NewOwner { name: login.user, password: login.password };
    let mut spec = Spec { instances: 2, ..Spec::default() };
    spec.set("on_crash", "restart").unwrap();
    let coordinator = Coordinator::builder()
        .machine(machine.name.parse().unwrap())
        .listen(address.parse().unwrap())
        .members([(name, address)].into())
        .data_dir(machine.dir.join("data"))
        .policy(Policy { restarts_again_after: RESTARTS_AGAIN_AFTER, ..Policy::default() })
        .cluster(CLUSTER.parse().unwrap(), spec, Some(owner));
    let coordinator = coordinator.open().await.unwrap();
    let (end, ended) = oneshot::channel::<()>();
    tokio::spawn(coordinator.run(async { drop(ended.await) }));
    end
}

/// The primary's PostgreSQL crashes; who takes writes in the next epoch.
async fn crashes(town: &mut Town, before: &ClusterStatus) -> String {
    let postmaster = town.machine(&primary(before)).postmaster().expect("PostgreSQL runs");
    postmaster.signal(Signal::KILL);
    let after = town.until("somebody takes writes again", |s| s.open && s.epoch > before.epoch).await;
    assert_eq!(after.epoch, before.epoch.next(), "one change of primary");
    primary(&after)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_crashes_is_restarted_and_failed_over_when_it_crashes_again_at_once() {
    let mut town = Town::of_agents_and_coordinators(&["n1", "n2"], &["n3"]).await;
    let _coordinator = coordinate(&town, &town.machines[2]).await;
    ["n1", "n2"].into_iter().for_each(|name| town.machine(name).start());
    town.healthy("a cluster of two").await;
    let writer = Writer::start(&town).await;
    let before = town.healthy("the cluster under a writer").await;
    let p = primary(&before);
    let since = Instant::now();
    let lasted = async || (since.elapsed() >= RESTARTS_AGAIN_AFTER).then_some(());
    town.eventually("its reign to have lasted for as long as a restart asks for", lasted).await;

    assert_eq!(crashes(&mut town, &before).await, p, "it is primary again");
    let again = town.status().await.expect("the coordinator answers");
    assert_ne!(crashes(&mut town, &again).await, p, "it crashed twice, and another one is there");

    writer.acknowledged(&town, 50).await;
    let after = town.until("the one that crashed to follow", healthy).await;
    assert_eq!(after.epoch.0, before.epoch.0 + 2);
    writer.verdict(&town).await;
}
