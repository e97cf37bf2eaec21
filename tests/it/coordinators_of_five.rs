//! A group of five coordinators, as their operator sees it: it bears two deaths, says in one line that a third is too
//! many, and takes a machine back that lost its log.

use crate::support::{Machine, Town};
use std::fs;

const NAMES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_coordinators_bear_two_deaths_and_say_what_a_third_means() {
    let mut town = Town::of_coordinators(&NAMES).await;
    town.machines.iter_mut().for_each(Machine::start);
    town.voters("five that vote", 5).await;

    let leader = town.leader().await;
    let follower = other_than(&[&leader]);
    for name in [&leader, &follower] {
        town.machine(name).kill();
    }
    let next = town.leader_but_not(&[&leader, &follower]).await;
    let list = town.ctl(&["coordinator", "list"]).await;
    assert_eq!((list.code, list.out.lines().count()), (0, 6), "{list:?}");

    let third = other_than(&[&leader, &follower, &next]);
    town.machine(&third).kill();
    // Who led answers until its own lease of the leadership is over.
    let refused = async || Some(town.ctl(&["list"]).await).filter(|answer| answer.code != 0);
    let refused = town.eventually("the majority to be missed", refused).await;
    assert_eq!((refused.code, refused.out.as_str(), refused.err.lines().count()), (1, "", 1), "{refused:?}");
    assert!(refused.err.starts_with("interrex: no coordinator can do this at the moment: "), "{refused:?}");
    assert!(refused.err.contains(&format!("{}: connection refused", town.machine(&third).coordinator())));

    // A log is lost meanwhile. Nobody can take that machine back yet, and it says so without filling a disk.
    fs::remove_dir_all(town.machine(&follower).dir.join("data/raft")).unwrap();
    town.machine(&follower).start();
    let words = "does not take this raft log in yet";
    town.eventually("the machine without its log to be told to wait", async || {
        town.machines.iter().find(|machine| machine.name == *follower)?.log().contains(words).then_some(())
    })
    .await;
    // One more makes a majority again, and the lost log is replaced by a new one.
    for name in [&leader, &third] {
        town.machine(name).start();
    }
    town.voters("five that vote again, each of them heard", 5).await;
    let asked = town.machine(&follower).log().lines().filter(|line| line.contains(" raft: ")).count();
    assert!(asked < 20, "{}", town.machine(&follower).log());
    // Without two others it counts.
    for name in [&leader, &third] {
        town.machine(name).kill();
    }
    town.leader_but_not(&[&leader, &third]).await;
    let list = town.ctl(&["list"]).await;
    assert_eq!(list.out, "no clusters yet; make one with: interrex create NAME --instances 3\n", "{list:?}");
}

fn other_than(names: &[&String]) -> String {
    let other = NAMES.into_iter().find(|name| names.iter().all(|taken| taken.as_str() != *name));
    other.expect("five machines").to_owned()
}

impl Town {
    /// Waits until one leads that is none of the dead: who has not noticed yet still names one of them.
    async fn leader_but_not(&self, dead: &[&String]) -> String {
        self.eventually("one that is alive to lead", async || {
            let leader = self.leader().await;
            dead.iter().all(|dead| **dead != leader).then_some(leader)
        })
        .await
    }
}
