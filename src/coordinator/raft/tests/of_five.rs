//! What a group of five has over one of three: it bears two deaths. And what it has in common: the third is too many.

use std::time::Duration;

use super::group::{Group, PATIENCE, entries};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_five_goes_on_without_two_of_them_its_leader_among_these_and_not_without_a_third() {
    let mut group = Group::of(5);
    group.start_all().await;
    group.propose("entry 1").await;
    let first = group.leader().await;
    let voters = group.node(&first).members().into_iter().filter(|member| member.voter).count();
    assert_eq!(voters, 5);
    let second = group.names().into_iter().find(|name| *name != first).expect("a follower");
    for name in [&first, &second] {
        group.kill(name).await;
    }
    group.propose("entry 2").await;
    group.everywhere(&entries(2)).await;

    // Two of five are no quorum: whoever led says so, and takes nothing more.
    let leader = group.leader().await;
    let third = group.running.keys().find(|name| **name != leader).cloned().expect("a follower");
    group.kill(&third).await;
    let mut leadership = group.node(&leader).leadership();
    let alone = leadership.wait_for(|l| !l.mine && l.leader.is_none());
    tokio::time::timeout(Duration::from_secs(2), alone).await.expect("within the lease").expect("it runs");
    group.node(&leader).confirm_leadership(Duration::from_millis(300)).await.expect_err("nobody confirms");

    // One that comes back is enough.
    group.start(&second).await;
    assert_eq!(group.propose("entry 3").await, "3");
    for name in [&first, &third] {
        group.start(name).await;
    }
    group.everywhere(&entries(3)).await;
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_five_may_lose_their_logs_and_vote_again_under_new_ids_and_three_may_not() {
    let mut group = Group::of(5);
    group.start_all().await;
    group.propose("entry 1").await;
    let leader = group.leader().await;
    let followers: Vec<String> = group.names().into_iter().filter(|name| *name != leader).collect();
    for name in &followers[..2] {
        group.kill(name).await;
        group.wipe(name);
    }
    group.propose("entry 2").await;
    for name in &followers[..2] {
        group.start(name).await;
        group.votes_under_its_new_id(name).await;
    }
    group.everywhere(&entries(2)).await;

    for name in group.names() {
        group.kill(&name).await;
    }
    for name in &followers[..3] {
        group.wipe(name);
    }
    group.start_all().await;
    let line = format!("the raft logs of {} are gone, which is no minority", followers[..3].join(", "));
    for name in &followers[..3] {
        let mut waiting = group.node(name).waiting();
        let refused = waiting.wait_for(|told| told.as_ref().is_some_and(|told| told.contains(&line)));
        tokio::time::timeout(PATIENCE, refused).await.expect("it says so").expect("it runs");
    }
    assert!(group.running.values().all(|running| !running.node.leadership().borrow().mine));
    assert_eq!(group.node(&leader).read(|list| list.0.clone()), entries(2));
    group.stop().await;
}
