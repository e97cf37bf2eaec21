//! An operator goes on without what acknowledged commits lie on: `failover --accept-loss`, with and without an assertion
//! of who is stopped. What may be lost is said before, recorded, and told by receipts once the copies are back; and at no
//! moment do two servers acknowledge.

use crate::support::{CLUSTER, Machine, Town, asynchronous, healthy, instance, primary};
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;

/// More than the buffers of two sockets hold, so that whoever reads nothing lacks some of it.
const ROWS: u32 = 24_000;

/// The primary, and the two others.
fn cast(status: &ClusterStatus) -> (String, [String; 2]) {
    let p = primary(status);
    let names = status.instances.iter().map(|i| i.name.to_string());
    let others: Vec<String> = names.filter(|name| *name != p).collect();
    (p, others.try_into().expect("three instances"))
}

async fn count(town: &Town, machine: &str) -> Option<String> {
    town.sql(machine, "select count(*)::text from pile").await.ok().map(|rows| rows.concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_hold_a_commit_are_dead_and_the_operator_goes_on_without_it() {
    // The coordinator is apart: with two machines of three, the votes would be gone as well.
    let mut town = Town::of_agents_and_coordinators(&["n1", "n2", "n3"], &["n4"]).await;
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster from nothing").await;
    let (old, [holder, left]) = cast(&before);
    town.sql(&old, "create table pile (what text)").await.unwrap();
    let [receiver] = town.machine(&left).backends("walreceiver").try_into().expect("one receiver");
    receiver.signal(Signal::STOP);
    let fill = format!("insert into pile select repeat('x', 1000) from generate_series(1, {ROWS})");
    town.sql(&old, &fill).await.expect("acknowledged by the holder alone");
    town.machine(&holder).kill();
    town.machine(&old).kill();
    receiver.signal(Signal::CONT);

    // Nothing is done without the operator's word, and what it would cost is said before.
    let told = town
        .ctl_until(&["failover", CLUSTER, "--dry-run"], |a| a.code != 1 || !a.err.contains("could lack"))
        .await;
    assert!(told.out.contains("may lose: with --accept-loss: commits that were acknowledged"), "{told:?}");
    let refused = town.ctl(&["failover", CLUSTER]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let now = town.status().await.expect("the coordinator answers");
    assert_eq!((now.epoch, &now.primary), (before.epoch, &before.primary), "refused, and nothing was begun");

    let stopped = format!("{old},{holder}");
    let accept = ["failover", CLUSTER, "--accept-loss", "--fenced", &stopped];
    // Until their agents have been silent for a moment they are believed.
    let begun = town.ctl_until(&accept, |answer| answer.err.contains("its agent said")).await;
    assert_eq!(begun.code, 0, "{begun:?}");
    assert!(begun.out.contains("may lose: commits that were acknowledged"), "{begun:?}");
    let after = town.until("who is left takes writes", |s| s.open && s.epoch > before.epoch).await;
    assert_eq!((primary(&after), after.epoch), (left.clone(), before.epoch.next()));
    let [loss] = town.told("loss", after.epoch.0).await.try_into().expect("one loss");
    assert!(loss.starts_with("elected by an operator's override; without satisfying: epoch "), "{loss}");
    assert!(!loss.contains("not sealed"), "who was asserted to be stopped is not named as loose: {loss}");
    assert_eq!(count(&town, &left).await.as_deref(), Some("0"), "it never had the commit");
    town.sql(&left, "insert into pile values ('after')").await.unwrap();

    // Whoever comes back follows, and acknowledges nothing on the way.
    for name in [&old, &holder] {
        town.machine(name).start();
    }
    town.eventually("the others to follow", async || {
        for name in [&old, &holder] {
            let role = town.sql(name, "select pg_is_in_recovery()::text").await;
            assert_ne!(role.ok().as_deref(), Some(&["false".to_owned()][..]), "{name} is a second primary");
        }
        town.status().await.filter(healthy)
    })
    .await;
    assert_eq!(town.told("opened", after.epoch.0).await.len(), 1, "one epoch, opened once");
    for name in [&old, &holder] {
        town.eventually(&format!("{name} to hold what was written since"), async || {
            count(&town, name).await.filter(|rows| rows == "1")
        })
        .await;
        let receipt = town.ctl(&["receipt", CLUSTER, name]).await;
        assert_eq!(receipt.code, 0, "{receipt:?}");
        assert!(receipt.out.contains(&format!("{CLUSTER}.public.pile: ")), "{name}: {}", receipt.out);
        assert!(receipt.out.contains("an operator accepted loss, acknowledged ones may be among them"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asynchronous_primary_that_is_not_asserted_to_be_stopped_is_outlived_first() {
    let mut town = Town::up().await;
    let set = town.ctl(&["set", CLUSTER, "acks=0"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    let before = town.until("commits to be asynchronous", asynchronous).await;
    let (old, _) = cast(&before);
    town.sql(&old, "create table pile (what text)").await.unwrap();

    // Its agent alone dies: it serves on until its lease has run out.
    town.machine(&old).kill_node();
    let server = town.machine(&old).postmaster().expect("PostgreSQL outlives its agent");
    let refused = town
        .ctl_until(&["failover", CLUSTER], |a| !a.err.contains("only it knows what it acknowledged"))
        .await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let begun = town.ctl(&["failover", CLUSTER, "--accept-loss"]).await;
    assert_eq!(begun.code, 0, "{begun:?}");
    for part in
        [format!("until the lease of {old} has surely run out"), format!("asynchronous commits of {old}")]
    {
        assert!(begun.out.contains(&part), "{part} is missing in {begun:?}");
    }
    let elected = town.until("somebody is elected", |s| s.epoch > before.epoch && s.primary.is_some()).await;
    assert!(!server.alive(), "{} was elected while PostgreSQL on {old} could acknowledge", primary(&elected));
    assert_ne!(primary(&elected), old);
    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    let [loss] = town.told("loss", after.epoch.0).await.try_into().expect("one loss");
    assert!(loss.contains(&format!("not sealed: {old}")), "{loss}");
    town.sql(&primary(&after), "insert into pile values ('after')").await.unwrap();

    town.machine(&old).start();
    let streams = |s: &ClusterStatus| instance(s, &old).server == "streaming" && s.waits.is_empty();
    town.until("the old primary streams", streams).await;
    town.eventually("it to hold what was written since", async || {
        count(&town, &old).await.filter(|rows| rows == "1")
    })
    .await;
    assert_eq!(town.told("opened", after.epoch.0).await.len(), 1, "one epoch, opened once");
}
