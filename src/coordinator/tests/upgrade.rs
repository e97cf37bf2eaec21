//! Machines that are upgraded one after the other: a group in which one build is older than the others.

use super::group::{Group, until};
use crate::Builder;
use crate::core::Core;
use crate::machine::Records;
use interrex_api::admin::CreateCluster;
use interrex_api::client::ClientError;
use interrex_api::log::{FETCH, LEVEL};
use interrex_api::refused::Refused;
use interrex_cluster::command::{Adopting, Command};
use interrex_cluster::decide::Decision;
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_cluster::policy::Policy;
use interrex_cluster::spec::Spec;

fn orders(adopt: bool) -> CreateCluster {
    let (name, spec) = ("orders".parse().unwrap(), Spec::default());
    let adopt = adopt.then_some(Adopting { take_over: false });
    CreateCluster { name, spec, owner: None, adopt }
}

/// How much a preferred candidate may lack, as the leader's rules have it now.
fn fetches_within(core: &Core) -> u64 {
    let look = core.look(&"orders".parse().unwrap()).expect("it leads, and the cluster is there");
    look.view().policy.fetch_within_bytes
}

/// Waits until whoever leads knows what every member reads; returns who leads.
async fn told(group: &Group) -> String {
    let leader = group.leader().await;
    let node = &group.handle(&leader).core.node;
    let all = || node.members().iter().all(|member| member.reads_level.is_some());
    until("every member tells what it reads", all).await;
    leader
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_that_the_oldest_coordinator_would_stop_at_until_it_is_upgraded() {
    let older = |builder: Builder| {
        let is_older = builder.machine.as_ref().is_some_and(|machine| machine.as_str() == "n3");
        if is_older { builder.reads_level(2) } else { builder }
    };
    let mut group = Group::of(3, older).await;
    let leader = told(&group).await;
    let client = group.client(&["n1", "n2", "n3"]);

    // What an operator asks for is refused at once, with the way out; all else is done.
    let refused = client.create_cluster(&orders(true)).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { refused: Refused::Rejected(_), .. }), "{refused}");
    assert_eq!(
        refused.to_string(),
        "n3 runs a build that reads log entries up to level 2, and this takes level 3: start this version of interrex on \
         n3, or `interrex coordinator remove n3`, first"
    );
    client.create_cluster(&orders(false)).await.expect("level 1");
    assert!(client.set_paused(&"orders".parse().unwrap(), true).await.expect("level 2"));

    // What the rules choose is left out, and the rest of the decision is carried out.
    let core = &group.handle(&leader).core;
    assert_eq!(fetches_within(core), 0);
    let instance = |name: &str| name.parse::<InstanceName>().unwrap();
    let fetch = Command::BeginFetch { epoch: Epoch(3), to: instance("n1"), from: instance("n2") };
    let open = Command::OpenPrimary { epoch: Epoch(3) };
    let mut decision = Decision { commands: vec![fetch, open.clone()], ..Decision::default() };
    core.leave_unreadable_out(&mut decision);
    let waits: Vec<String> = decision.waits.iter().map(ToString::to_string).collect();
    let wait = "waits until the coordinator on n3 is known to read log entries of level 3; see: interrex coordinator list";
    assert_eq!((decision.commands, waits), (vec![open], vec![wait.to_owned()]));
    let levels = group.running.values().map(|one| one.handle.core.node.read(Records::level));
    assert!(levels.max() < Some(FETCH), "something was written that n3 cannot read");

    // Upgraded, it tells so with its first answer.
    group.leave("n3").await;
    group.start_again("n3").await;
    let leader = told(&group).await;
    let core = &group.handle(&leader).core;
    until("n3 tells that it reads more", || core.node.older_than(LEVEL).is_none()).await;
    assert_eq!(fetches_within(core), Policy::default().fetch_within_bytes);
    let taken_in = CreateCluster { name: "books".parse().unwrap(), ..orders(true) };
    client.create_cluster(&taken_in).await.expect("level 3");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_died_in_the_reign_before_holds_nothing_up_and_one_that_nobody_heard_does() {
    let mut group = Group::of(3, |builder| builder).await;
    let old = told(&group).await;
    let mut others = group.running.keys().filter(|name| **name != old).cloned().collect::<Vec<_>>();
    let (dead, next) = (others.remove(0), others.remove(0));
    // With the next heartbeat the others know it too.
    let node = &group.handle(&next).core.node;
    until("a follower is told", || node.older_than(LEVEL).is_none()).await;
    group.kill(&dead).await;
    group.client(&[&old]).transfer_leadership(Some(&next.parse().unwrap())).await.expect("it takes over");
    group.client(&[&next]).create_cluster(&orders(true)).await.expect("all three are known to read level 3");
    group.stop().await;

    let mut group = Group::of(3, |builder| builder).await;
    let names: Vec<String> = group.running.keys().cloned().collect();
    for name in &names {
        group.kill(name).await;
    }
    // Nobody who runs has ever heard n3, and it was the only one to say what it reads.
    group.start_again("n1").await;
    group.start_again("n2").await;
    let leader = group.leader().await;
    let held = group.client(&[&leader]).create_cluster(&orders(true)).await.unwrap_err();
    let line = "n3 has not told which log entries its build reads, and this takes level 3: ";
    assert!(matches!(&held, ClientError::NotNow { .. }) && held.to_string().contains(line), "{held}");
    group.client(&[&leader]).create_cluster(&orders(false)).await.expect("level 1");
    group.stop().await;
}
