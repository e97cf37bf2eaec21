//! A majority of the coordinators' logs is gone: a group is made anew out of the one that is left, and a record that is
//! older than what agents obeyed decides nothing.

use crate::support::{Answer, CLUSTER, Machine, Town, free, instance, primary, run, tree, unchanged};
use interrex_api::client::{Client, ClientOptions};
use rustix::process::Signal;
use std::fs;

async fn recover(machine: &Machine, more: &[&str]) -> Answer {
    let file = machine.file().display().to_string();
    run(["coordinator", "recover", "-c", file.as_str()].iter().chain(more)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_log_of_three_becomes_a_group_of_one_that_takes_the_others_in() {
    let mut town = Town::of_coordinators(&["n1", "n2", "n3"]).await;
    let absent = recover(&town.machines[0], &["--accept-loss"]).await;
    assert!(absent.err.starts_with("interrex: no raft log in "), "{absent:?}");
    assert_eq!((absent.code, absent.err.lines().count()), (2, 1), "{absent:?}");
    town.machines.iter_mut().for_each(Machine::start);
    town.voters("three that vote", 3).await;
    let runs = recover(&town.machines[0], &["--accept-loss"]).await;
    assert!(runs.err.contains("another node runs on it; stop that one"), "{runs:?}");
    assert_eq!((runs.code, runs.out.as_str()), (1, ""), "{runs:?}");

    for machine in &mut town.machines {
        machine.kill();
    }
    for name in ["n2", "n3"] {
        fs::remove_dir_all(town.machine(name).dir.join("data/raft")).unwrap();
    }
    let before = tree(&town.machines[0].dir);
    let looked = recover(&town.machines[0], &[]).await;
    assert_eq!((looked.code, looked.out.as_str(), looked.err.lines().count()), (1, "", 1), "{looked:?}");
    assert!(looked.err.contains("what n2 and n3 had after that may be missing"), "{looked:?}");
    assert!(looked.err.contains("nothing was changed") && looked.err.contains("--accept-loss"), "{looked:?}");
    unchanged(&before, &tree(&town.machines[0].dir));

    let made = recover(&town.machines[0], &["--accept-loss"]).await;
    assert_eq!((made.code, made.err.as_str()), (0, ""), "{made:?}");
    assert!(town.machines[0].dir.join("data/raft.before-recover-1").is_dir(), "{made:?}");
    let again = recover(&town.machines[0], &["--accept-loss"]).await;
    assert_eq!(
        (again.code, again.err.as_str()),
        (1, "interrex: n1 is a group of one already: start its node\n")
    );
    town.machines.iter_mut().for_each(Machine::start);
    town.voters("a group of one", 1).await;
    // Beside the group, n2 knows of it and does not answer for it; a member that is asked too does.
    let beside = town.machine("n2").coordinator();
    let list = ["coordinator", "list", "--coordinators", beside.as_str()];
    let told = town.eventually("n2 to learn that it is beside the group", async || {
        Some(run(list).await).filter(|answer| answer.err.contains("`interrex coordinator add n2="))
    });
    let told = told.await;
    assert!(
        told.err.starts_with("interrex: no coordinator that was asked is a member of the group: "),
        "{told:?}"
    );
    assert_eq!((told.code, told.out.as_str(), told.err.lines().count()), (1, "", 1), "{told:?}");
    // The others' files list those who formed the first group; their logs are gone, so nothing of it is left in them.
    for name in ["n2", "n3"] {
        let newcomer = format!("{name}={}", town.machine(name).coordinator());
        let add = ["coordinator", "add", newcomer.as_str()];
        let added = town.ctl_until(&add, |answer| answer.code != 0).await;
        assert!(added.out.contains(&format!(", {name}")), "{added:?}");
    }
    town.voters("three again", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_made_anew_that_lacks_an_epoch_makes_nobody_primary_and_says_why() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("an answer");
    let old = primary(&before);
    // The coordinator that will be left is away while the next epoch begins.
    let left = if old == "n3" { "n2" } else { "n3" };
    town.machine(left).kill();
    town.machine(&old).postmaster().expect("PostgreSQL runs").signal(Signal::KILL);
    town.until("another epoch is open", |s| s.open && s.epoch > before.epoch).await;
    for machine in &mut town.machines {
        machine.kill();
        if machine.name != left {
            fs::remove_dir_all(machine.dir.join("data/raft")).unwrap();
        }
    }
    let made = recover(town.machine(left), &["--accept-loss"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    town.machines.iter_mut().for_each(Machine::start);
    let behind = town
        .until("the lost epoch to be noticed", |s| s.problems.iter().any(|p| p.code == "record-behind"))
        .await;
    assert_eq!((behind.epoch, primary(&behind)), (before.epoch, old));
    let refused = town.ctl(&["failover", CLUSTER, "--accept-loss"]).await;
    assert_eq!((refused.code, refused.err.lines().count()), (1, 1), "{refused:?}");
    let newcomer = format!("n9={}", town.machine(left).host());
    let refused = town.ctl(&["coordinator", "add", &newcomer]).await;
    assert!(refused.err.contains("is not known to be the newest"), "{refused:?}");
    let now = town.status().await.expect("an answer");
    assert_eq!((now.epoch, now.revision), (behind.epoch, behind.revision), "nothing was decided");
    for machine in ["n1", "n2", "n3"] {
        let written = town.sql(machine, "create table too_many (n int)").await;
        assert!(written.is_err(), "{machine} takes writes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_moved_while_the_logs_were_lost_is_heard_and_taken_in_where_it_is_now() {
    let mut town = Town::up().await;
    for machine in &mut town.machines {
        machine.kill();
        if machine.name != "n1" {
            fs::remove_dir_all(machine.dir.join("data/raft")).unwrap();
        }
    }
    let made = recover(town.machine("n1"), &["--accept-loss"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let moved = town.machine("n2");
    let (file, before, now) = (moved.file(), moved.postgres_port, free());
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!(":{before}\"")), "{text}");
    fs::write(&file, text.replace(&format!(":{before}\""), &format!(":{now}\""))).unwrap();
    moved.postgres_port = now;
    town.machines.iter_mut().for_each(Machine::start);
    town.until("n2 to serve or to follow where it is now", |s| {
        let n2 = instance(s, "n2");
        s.open && n2.address.port == now && ["open", "streaming"].contains(&n2.server.as_str())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_with_the_logs_of_a_group_that_was_replaced_leads_again_and_nobody_obeys_it() {
    let (agents, coordinators) = (["n1", "n2", "n3"], ["c1", "c2", "c3"]);
    let mut town = Town::of_agents_and_coordinators(&agents, &coordinators).await;
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster of the first group").await;
    for name in coordinators {
        town.machine(name).kill();
    }
    let made = recover(town.machine("c1"), &["--accept-loss"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let of_the_new = vec![town.machine("c1").coordinator()];
    town.client = Client::new(of_the_new, ClientOptions::default()).unwrap();
    town.machine("c1").start();
    town.eventually("every agent to know the new group", async || {
        let told = |name: &str| {
            town.machines.iter().any(|m| {
                m.name == name && m.log().lines().any(|line| line.ends_with("the coordinators are c1"))
            })
        };
        agents.iter().all(|name| told(name)).then_some(())
    })
    .await;

    // An operator who forgot to empty their directories: two of three are a majority, of the first group.
    ["c2", "c3"].iter().for_each(|name| town.machine(name).start());
    let replaced = "was replaced: its goals and leases count for nothing";
    for name in agents {
        let machine = town.machines.iter().find(|machine| machine.name == name).expect("it is one");
        town.eventually(&format!("{name} to say that the first group is not obeyed"), async || {
            machine.log().contains(replaced).then_some(())
        })
        .await;
    }
    let old = primary(&before);
    town.machine(&old).postmaster().expect("PostgreSQL runs").signal(Signal::KILL);
    let after =
        town.until("another epoch of the new group is open", |s| s.open && s.epoch > before.epoch).await;
    assert_ne!(primary(&after), old);
    // The files still name those who are none any more, which is said.
    town.until("the others to follow and to acknowledge", |s| {
        let expected = s.problems.iter().all(|problem| problem.code == "stale-coordinators");
        expected && s.rules.len() == 1 && s.instances.iter().filter(|one| one.in_sync_set).count() == 2
    })
    .await;
}
