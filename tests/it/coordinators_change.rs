//! Coordinators that come and go under a cluster that takes writes: three, then five, then four without the one that
//! led, then three without one that died; a failover in between works, and the agents follow without an edit.

use crate::support::{Machine, Town, Writer, healthy, primary};
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_become_five_four_and_three_again_and_a_failover_in_between_works() {
    let mut town = Town::up().await;
    let writer = Writer::start(&town).await;
    for name in ["n4", "n5"] {
        town.join(name);
        let at = town.machine(name).coordinator();
        let newcomer = format!("{name}={at}");
        let add = ["coordinator", "add", newcomer.as_str()];
        let said =
            town.ctl_until(&add, |answer| answer.err.contains("does not answer as a coordinator")).await;
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
        assert!(said.out.contains(&format!(", {name}")), "{said:?}");
    }
    town.voters("five coordinators that vote", 5).await;
    // Told by the leader, every agent reports to the new ones too: whichever of them leads hears everybody.
    let lead = async || {
        let to = "n5".parse().unwrap();
        town.client.transfer_leadership(Some(&to)).await.ok()
    };
    town.eventually("the newest coordinator to lead", lead).await;
    let stale = town.until("file lists to be told stale", |s| {
        s.problems.iter().filter(|p| p.code == "stale-coordinators").count() == 3
    });
    let before = stale.await;

    let old = primary(&before);
    let pulled = town.machine(&old).postmaster().expect("PostgreSQL runs");
    pulled.signal(Signal::KILL);
    let after = town.until("another epoch is open", |s| s.open && s.epoch > before.epoch).await;
    writer.acknowledged(&town, 50).await;
    let whole = |s: &ClusterStatus| healthy(&ClusterStatus { problems: Vec::new(), ..s.clone() });
    town.until("all of it is whole", whole).await;

    let leader = town.leader().await;
    let said = town.ctl(&["coordinator", "remove", &leader]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert!(said.out.contains("no more than with 3: add one more, or remove one"), "{said:?}");
    town.voters("four that vote", 4).await;
    learns_of_its_removal(&town, &leader).await;

    // One that is dead, and hosts no primary.
    let kept = [leader, town.leader().await, primary(&after)];
    let dead = ["n1", "n2", "n3", "n4", "n5"].into_iter().find(|name| kept.iter().all(|kept| kept != name));
    let dead = dead.expect("one of five");
    town.machine(dead).kill();
    let said = town.ctl_until(&["coordinator", "remove", dead], |answer| answer.code != 0).await;
    assert!(said.out.contains("the loss of one is borne"), "{said:?}");
    town.voters("three that vote", 3).await;
    writer.acknowledged(&town, 20).await;

    // Its machine comes back: PostgreSQL follows again, its coordinator learns that it is none any more.
    town.machine(dead).start();
    learns_of_its_removal(&town, dead).await;
    town.until("the machine that was away streams again", whole).await;
    writer.verdict(&town).await;
}

async fn learns_of_its_removal(town: &Town, name: &str) {
    let line = format!("raft: {name} was removed from the group of ");
    let log = || town.machines.iter().find(|machine| machine.name == name).map(Machine::log);
    let told = async || log()?.contains(&line).then_some(());
    town.eventually(&format!("{name} to learn that it was removed"), told).await;
}
