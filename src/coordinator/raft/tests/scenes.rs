//! The scenes.

use std::time::{Duration, Instant};

use super::super::*;
use super::group::{Group, List, PATIENCE, entries};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_forms_and_every_reply_is_applied_once_everywhere_though_its_leader_dies() {
    let mut group = Group::of(3);
    group.start_all().await;
    for (i, entry) in entries(20).iter().enumerate() {
        assert_eq!(group.propose(entry).await, (i + 1).to_string());
    }
    let first = group.leader().await;
    group.kill(&first).await;
    let died = Instant::now();
    let second = group.leader().await;
    let took = died.elapsed();
    assert_ne!(first, second);
    assert!(took < Duration::from_secs(2), "a new leader after {took:?}");
    for entry in &entries(40)[20..] {
        group.propose(entry).await;
    }
    // Restarted from disk, it catches up.
    group.start(&first).await;
    group.everywhere(&entries(40)).await;
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_forms_only_once_all_its_machines_answer_and_says_who_is_missing() {
    let mut group = Group::of(3);
    group.start("n1").await;
    group.start("n2").await;
    group.waits_for("n1", "missing: n3 at").await;
    assert!(!group.node("n1").leadership().borrow().mine);
    group.start("n3").await;
    group.propose("first").await;
    group.everywhere(&["first".to_owned()]).await;
    let groups: Vec<u64> = group.running.values().map(|r| r.node.group_id()).collect();
    assert!(groups[0] != 0 && groups.iter().all(|g| *g == groups[0]), "{groups:?}");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_too_long_gets_a_snapshot_and_a_restart_continues_from_one() {
    let mut group = Group::of(3);
    group.limits = Limits { segment_bytes: 2000, snapshot_every: 20, entries_kept: 5 };
    group.start_all().await;
    group.propose("entry 1").await;
    let leader = group.leader().await;
    let away = group.names().into_iter().find(|n| *n != leader).expect("a follower");
    group.kill(&away).await;
    for entry in &entries(90)[1..] {
        group.propose(entry).await;
    }
    group.start(&away).await;
    group.everywhere(&entries(90)).await;
    let snapshots = std::fs::read_dir(group.dir(&away)).expect("its directory");
    let snapshots =
        snapshots.filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with("snap-")));
    assert!((1..=2).contains(&snapshots.count()), "one or two snapshots are kept");
    // The whole group stops and starts: nothing is lost, nothing is applied twice.
    for name in group.names() {
        group.kill(&name).await;
    }
    group.start_all().await;
    assert_eq!(group.propose("entry 91").await, "91");
    group.everywhere(&entries(91)).await;
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_lost_its_log_comes_back_under_a_new_id_in_place_of_the_old_one() {
    let mut group = Group::of(3);
    group.start_all().await;
    group.propose("entry 1").await;
    let leader = group.leader().await;
    let lost = group.names().into_iter().find(|n| *n != leader).expect("a follower");
    let old_id = group.node(&lost).raft_id();
    group.kill(&lost).await;
    group.propose("entry 2").await;
    group.wipe(&lost);
    group.start(&lost).await;
    let new_id = group.node(&lost).raft_id();
    assert_ne!(old_id, new_id);

    group.everywhere(&entries(2)).await;
    group.votes_under_its_new_id(&lost).await;
    // It counts: with another machine gone, two are a quorum.
    let other = group.names().into_iter().find(|n| *n != leader && *n != lost).expect("a third");
    group.kill(&other).await;
    group.propose("entry 3").await;
    group.everywhere(&entries(3)).await;
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_majority_of_logs_gone_nothing_is_formed_anew_and_the_line_names_them() {
    let mut group = Group::of(3);
    group.start_all().await;
    group.propose("entry 1").await;
    group.everywhere(&entries(1)).await;
    for name in group.names() {
        group.kill(&name).await;
    }
    group.wipe("n1");
    group.wipe("n2");
    group.start_all().await;
    for name in ["n1", "n2"] {
        let mut waiting = group.node(name).waiting();
        let refused =
            waiting.wait_for(|w| w.as_ref().is_some_and(|l| l.contains("the raft logs of n1, n2 are gone")));
        tokio::time::timeout(PATIENCE, refused).await.expect("it says so").expect("it runs");
    }
    assert!(group.running.values().all(|r| !r.node.leadership().borrow().mine));
    assert_eq!(group.node("n3").read(|l| l.0.clone()), entries(1));
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_group_writes_nothing_while_heartbeats_go_on() {
    let mut group = Group::of(3);
    group.start_all().await;
    group.propose("entry 1").await;
    group.everywhere(&entries(1)).await;
    let leader = group.leader().await;
    // A confirmation writes nothing either.
    group.node(&leader).confirm_leadership(PATIENCE).await.expect("confirmed");
    group.heartbeats(&leader, 5).await;
    let before = group.on_disk();
    group.heartbeats(&leader, 25).await;
    for _ in 0..10 {
        group.node(&leader).confirm_leadership(PATIENCE).await.expect("confirmed");
    }
    assert_eq!(group.on_disk(), before);
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_to_the_machine_it_is_handed_to_and_only_the_leader_confirms() {
    let mut group = Group::of(3);
    group.start_all().await;
    group.propose("entry 1").await;
    let leader = group.leader().await;
    let heir = group.names().into_iter().rfind(|n| *n != leader).expect("a follower");
    let began = Instant::now();
    group.node(&leader).transfer_leader(&heir).await.expect("handed over");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(group.leader().await, heir);

    let applied = group.node(&heir).confirm_leadership(PATIENCE).await.expect("it leads");
    assert!(applied >= 2, "the membership, a blank entry and entry 1 are applied: {applied}");
    let refused = group.node(&leader).confirm_leadership(PATIENCE).await;
    assert!(
        matches!(&refused, Err(ConfirmError::NotLeader { leader: Some(p) }) if p.machine == heir),
        "{refused:?}"
    );
    let refused = group.node(&leader).propose(b"elsewhere".to_vec(), PATIENCE).await;
    assert!(
        matches!(&refused, Err(ProposeError::NotLeader { leader: Some(p) }) if p.machine == heir),
        "{refused:?}"
    );
    let refused = group.node(&heir).transfer_leader("n9").await;
    assert!(matches!(refused, Err(MemberError::Refused(_))), "{refused:?}");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hears_from_no_quorum_says_so_within_its_lease_and_confirms_nothing() {
    let mut group = Group::of(3);
    group.start_all().await;
    group.propose("entry 1").await;
    let leader = group.leader().await;
    for name in group.names().into_iter().filter(|n| *n != leader) {
        group.kill(&name).await;
    }
    let mut leadership = group.node(&leader).leadership();
    let alone = leadership.wait_for(|l| !l.mine && l.leader.is_none());
    tokio::time::timeout(Duration::from_secs(2), alone).await.expect("within the lease").expect("it runs");
    group.node(&leader).confirm_leadership(Duration::from_secs(3)).await.expect_err("nobody confirms");
    let lost = group.node(&leader).propose(b"alone".to_vec(), Duration::from_millis(300)).await;
    assert!(lost.is_err(), "{lost:?}");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_this_build_does_not_know_stops_the_node_and_nothing_after_it_is_applied() {
    let mut group = Group::of(1);
    group.start("n1").await;
    group.propose("entry 1").await;
    let node = group.node("n1").clone();
    let refused = node.propose(b"from the future".to_vec(), PATIENCE).await;
    assert!(refused.is_err(), "{refused:?}");
    let mut stopped = node.stopped();
    let why = tokio::time::timeout(PATIENCE, stopped.wait_for(Option::is_some)).await.expect("it stops");
    let why = why.expect("told").clone().expect("a line");
    assert!(why.contains("command 99") && why.contains("not known to this version"), "{why}");
    let after = node.propose(b"entry 2".to_vec(), PATIENCE).await;
    assert!(matches!(after, Err(ProposeError::Stopped(_))), "{after:?}");
    assert_eq!(node.read(|l| l.0.clone()), entries(1));
    assert!(!node.leadership().borrow().mine);
    drop(node);
    group.stop().await;
}

#[tokio::test]
async fn a_directory_in_use_or_half_gone_and_a_group_of_two_are_refused_in_one_line() {
    let mut group = Group::of(1);
    group.start("n1").await;
    group.propose("entry 1").await;
    let again = RaftNode::open(group.config("n1"), List::default()).await.err().expect("refused").to_string();
    assert!(again.starts_with("lock ") && again.contains("another process has it open"), "{again}");
    group.kill("n1").await;

    std::fs::write(group.dir("n1").join("snap-1-1.bin"), "left over").expect("written");
    std::fs::remove_file(group.dir("n1").join("seg-0000000001.log")).expect("removed");
    let half = RaftNode::open(group.config("n1"), List::default()).await.err().expect("refused").to_string();
    assert!(half.contains("its segments are gone, though snap-1-1.bin is there"), "{half}");

    let two = Group::of(2);
    let refused = RaftNode::open(two.config("n1"), List::default()).await.err().expect("refused").to_string();
    assert_eq!(refused, "coordinator.members lists 2 machines: a group has 1, 3 or 5");
    assert!(!two.dir("n1").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_for_another_directory_or_from_another_group_is_refused() {
    use interrex_api::pb;
    let mut group = Group::of(1);
    group.start("n1").await;
    group.propose("entry 1").await;
    let (id, group_id) = (group.node("n1").raft_id(), group.node("n1").group_id());
    let mut client =
        pb::raft_client::RaftClient::connect(format!("http://{}", group.addr("n1"))).await.expect("a client");
    let header = pb::RaftHeader { group_id, from: 5, to: id, replaced: Vec::new() };
    for (header, why) in [
        (pb::RaftHeader { to: id ^ 1, ..header.clone() }, "the call was meant for"),
        (pb::RaftHeader { group_id: group_id ^ 1, ..header }, "belongs to raft group"),
    ] {
        let vote = Some(pb::RaftVote { term: 99, voted_for: 5, committed: false });
        let request =
            pb::RaftVoteRequest { header: Some(header), vote, last: None, leadership_transfer: false };
        let status = client.vote(request).await.expect_err("refused");
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert!(status.message().contains(why), "{}", status.message());
    }
    assert!(group.node("n1").leadership().borrow().mine, "it leads on in its own term");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_know_yet_which_groups_its_own_replaced_learns_it_of_any_call_and_never_its_own() {
    use interrex_api::pb;
    let mut group = Group::of(1);
    group.start("n1").await;
    group.propose("entry 1").await;
    group.newcomer("n2");
    group.start_to_join("n2").await;
    let own = group.node("n1").group_id();
    // The one has been in its group since a build that kept no such list, the other is taken in just now.
    for (name, replaced) in [("n1", vec![own, 77]), ("n2", vec![own, 78]), ("n1", vec![79])] {
        let to = group.node(name).raft_id();
        let at = format!("http://{}", group.addr(name));
        let mut client = pb::raft_client::RaftClient::connect(at).await.expect("a client");
        let header = Some(pb::RaftHeader { group_id: own, from: 5, to, replaced });
        let vote = Some(pb::RaftVote { term: 0, voted_for: 5, committed: false });
        let request = pb::RaftVoteRequest { header, vote, last: None, leadership_transfer: false };
        client.vote(request).await.expect("answered");
    }
    assert_eq!((group.node("n1").replaced(), group.node("n2").replaced()), (vec![77], vec![78]));
    group.stop().await;
}
