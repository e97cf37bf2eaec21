//! Machines that come and go: what is done, what is refused before anything is written, and what is left when somebody
//! dies in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use interrex_api::pb;
use openraft::EntryPayload;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::entry::RaftEntry as _;
use openraft::storage::RaftLogStorageExt as _;

use super::super::log::{LogDisk as _, LogStore, RealDisk};
use super::super::snapshot::SnapshotDir;
use super::super::types::{Command, Entry, Membership, SnapshotMeta};
use super::super::wire;
use super::super::*;
use super::group::{Group, PATIENCE, entries};

fn removing(name: &str) -> Wish {
    Wish::Remove(name.to_owned())
}

/// A group of three whose leader is known, with an entry in its log.
async fn three(mut group: Group) -> (Group, String) {
    group.start_all().await;
    group.propose("entry 1").await;
    group.everywhere(&entries(1)).await;
    let leader = group.leader().await;
    (group, leader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_join_a_group_of_three_and_its_leader_and_a_dead_one_leave_it() {
    let (mut group, leader) = three(Group::of(3)).await;
    for name in ["n4", "n5"] {
        group.newcomer(name);
        group.start_to_join(name).await;
        group.waits_for(name, &format!("`interrex coordinator add {name}={}`", group.addr(name))).await;
        let voters = group.change(&group.adding(name)).await.expect("added");
        assert!(voters.contains(&name.to_owned()), "{voters:?}");
        // Asked again, it is as it is.
        assert_eq!(group.change(&group.adding(name)).await, Ok(voters));
    }
    group.propose("entry 2").await;
    group.everywhere(&entries(2)).await;

    // Leadership goes where the operator's coordinator would have it go, whoever holds most of the log.
    let heir = group.names().into_iter().rfind(|name| *name != leader).expect("another");
    let names = group.names();
    let last: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != heir).collect();
    let (voters, already) = group.change_to(&removing(&leader), &last).await.expect("removed");
    assert_eq!((voters.len(), voters.contains(&leader), already), (4, false, false), "{voters:?}");
    assert_eq!(group.leader().await, heir);
    let line = group.waits_for(&leader, "was removed from the group").await;
    assert!(line.contains(&format!("`interrex coordinator add {leader}=")), "{line}");
    assert_eq!(group.node(&leader).outside(), Some(line));

    let second = group.leader().await;
    let dead = group.names().into_iter().find(|n| *n != leader && *n != second).expect("a follower");
    group.kill(&dead).await;
    let voters = group.change(&removing(&dead)).await.expect("removed");
    assert_eq!(voters.len(), 3, "{voters:?}");
    // Asked again it is as it is.
    assert_eq!(group.change_to(&removing(&dead), &[]).await, Ok((voters, true)));

    // Whoever was removed is taken in again with the log that it has.
    group.change(&group.adding(&leader)).await.expect("added again");
    group.propose("entry 3").await;
    group.everywhere(&entries(3)).await;
    let mut waiting = group.node(&leader).waiting();
    let votes = waiting.wait_for(Option::is_none);
    tokio::time::timeout(PATIENCE, votes).await.expect("it votes").expect("it runs");
    assert_eq!(group.node(&leader).outside(), None);
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_machine_disturbs_no_election_and_the_group_goes_on_without_it() {
    let (mut group, leader) = three(Group::of(3)).await;
    let gone = group.names().into_iter().find(|n| *n != leader).expect("a follower");
    group.change(&removing(&gone)).await.expect("removed");
    group.waits_for(&gone, "was removed from the group").await;
    let term = group.node(&leader).leadership().borrow().term;
    group.heartbeats(&leader, 30).await;
    let now = group.node(&leader).leadership().borrow().clone();
    assert!(now.mine && now.term == term, "{now:?}");
    // Started again it knows no better, asks, and is quiet.
    group.kill(&gone).await;
    group.start(&gone).await;
    group.waits_for(&gone, "was removed from the group").await;
    assert_eq!(group.node(&leader).leadership().borrow().term, term);
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_must_not_be_is_refused_in_one_line_before_anything_is_written() {
    let (mut group, leader) = three(Group::of(3)).await;
    group.newcomer("n4");
    let before = group.on_disk();
    let adding = |name: &str, addr: String| Wish::Add(Peer { machine: name.to_owned(), addr });
    let nobody = group.refusal(&group.adding("n4")).await;
    assert!(
        nobody.contains("does not answer as a coordinator") && nobody.contains("join = true"),
        "{nobody}"
    );
    let taken = group.refusal(&adding("n4", group.addr("n1"))).await;
    assert_eq!(taken, format!("{} is the address of n1: name the one of n4", group.addr("n1")));
    let moved = group.refusal(&adding("n2", "127.0.0.1:1".to_owned())).await;
    assert!(moved.starts_with("n2 belongs to the group already, at "), "{moved}");
    let unknown = group.change_to(&removing("n9"), &[]).await.expect("nothing to do");
    assert_eq!(unknown, (vec!["n1".to_owned(), "n2".to_owned(), "n3".to_owned()], true));

    // Another group's machine, under its own name and under a wrong one.
    let mut other = Group::of(1);
    other.start("n1").await;
    other.propose("elsewhere").await;
    let foreign = group.refusal(&adding("n7", other.addr("n1"))).await;
    assert!(foreign.starts_with(&format!("n1 answers at {}, not n7", other.addr("n1"))), "{foreign}");
    other.stop().await;
    assert_eq!(group.on_disk(), before);

    // With one silent, another voter would only raise the quorum; and without a second, nobody could agree.
    let mut followers = group.names().into_iter().filter(|n| *n != leader && n != "n4");
    let (dead, alive) = (followers.next().expect("a follower"), followers.next().expect("another"));
    let dead_id = group.node(&dead).raft_id();
    group.kill(&dead).await;
    group.start_to_join("n4").await;
    let unheard = async {
        let node = group.node(&leader);
        let mut metrics = node.inner.raft.metrics();
        while node.heard_within(dead_id, judge::ALIVE) {
            metrics.changed().await.expect("it runs");
        }
    };
    tokio::time::timeout(PATIENCE, unheard).await.expect("it falls silent");
    let silent = group.refusal(&group.adding("n4")).await;
    assert!(silent.starts_with(&format!("{dead} is not heard, ")), "{silent}");
    let broken = group.refusal(&removing(&alive)).await;
    assert!(
        broken.starts_with(&format!("without {alive} 2 of 2 voters have to agree, and only 1")),
        "{broken}"
    );
    // The dead one may go, and then the last is the only one.
    group.change(&removing(&dead)).await.expect("removed");
    group.change(&removing(&alive)).await.expect("removed");
    let last = group.refusal(&removing(&leader)).await;
    assert!(last.starts_with(&format!("{leader} is the only coordinator: ")), "{last}");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_wishes_at_once_the_second_meets_the_first_and_is_judged_after_it() {
    let (mut group, leader) = three(Group::of(3)).await;
    group.newcomer("n4");
    group.start_to_join("n4").await;
    let gone = group.names().into_iter().find(|n| *n != leader && *n != "n4").expect("a follower");
    let node = group.node(&leader);
    let (added, removed) = tokio::join!(
        node.change_members(group.adding("n4"), BTreeSet::new()),
        node.change_members(removing(&gone), BTreeSet::new())
    );
    assert!(added.is_ok(), "{added:?}");
    let Err(MemberError::Refused(meets)) = removed else { panic!("{removed:?}") };
    assert!(meets.starts_with(&format!("adding n4 ({}) is under way, ", group.addr("n4"))), "{meets}");
    group.change(&group.adding("n4")).await.expect("added");

    // A return that waits for its turn is judged by who belongs to the group when that comes.
    let node = group.node(&leader);
    let turn = node.inner.changes.lock().await;
    let peer = Peer { machine: gone.clone(), addr: group.addr(&gone) };
    let mut back = Box::pin(node.take_back(peer, group.node(&gone).raft_id()));
    assert_eq!(futures::future::poll_immediate(&mut back).await, None);
    node.dismiss(&turn, &gone).await.expect("removed");
    drop(turn);
    let refused = tokio::time::timeout(PATIENCE, back).await.expect("an answer").expect_err("it left");
    assert!(refused.to_string().starts_with(&format!("{gone} is not a member of this group: ")), "{refused}");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_that_was_begun_ends_with_its_node() {
    let (group, leader) = three(Group::of(3)).await;
    let node = group.node(&leader);
    let turn = node.inner.changes.lock().await;
    let peer = Peer { machine: "n1".to_owned(), addr: group.addr("n1") };
    let mut back = Box::pin(node.take_back(peer, group.node("n1").raft_id()));
    assert_eq!(futures::future::poll_immediate(&mut back).await, None);
    drop(node.ends_with_this());
    let ended = tokio::time::timeout(PATIENCE, back).await.expect("it ends with the node");
    assert_eq!(ended, Err(MemberError::Stopped("it was shut down".to_owned())));
    drop(turn);
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_of_an_older_build_is_not_taken_and_who_reads_what_is_told() {
    let mut group = Group::of(1);
    let config = Config { reads_level: 3, ..group.config("n1") };
    group.start_with("n1", config).await;
    group.propose("entry 1").await;
    group.newcomer("n2");
    let config = Config { join: true, reads_level: 2, ..group.config("n2") };
    group.start_with("n2", config).await;
    let older = group.refusal(&group.adding("n2")).await;
    assert!(older.starts_with("n2 runs a build that reads log entries up to level 2, "), "{older}");
    group.kill("n2").await;
    let config = Config { join: true, reads_level: 4, ..group.config("n2") };
    group.start_with("n2", config).await;
    group.change(&group.adding("n2")).await.expect("added");
    let leader = group.leader().await;
    let known = |name: &str| {
        let members = group.node(name).members().into_iter();
        members.map(|member| member.reads_level).collect::<Vec<_>>()
    };
    assert_eq!(known(&leader), [Some(3), Some(4)]);
    let older = |level| group.node(&leader).older_than(level).map(|older| (older.machine, older.reads));
    assert_eq!((older(3), older(4)), (None, Some(("n1".to_owned(), Some(3)))));
    // Whoever leads next knows it of whoever dies now.
    group.heartbeats(&leader, 2).await;
    assert_eq!(known("n2"), [Some(3), Some(4)]);
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_of_another_group_is_not_taken_and_one_that_is_to_join_forms_none() {
    let (mut group, _) = three(Group::of(3)).await;
    group.newcomer("n4");
    // Its file names nobody but itself, and no join: it is a group of its own.
    let alone = BTreeMap::from([("n4".to_owned(), group.addr("n4"))]);
    let config = Config { group_members: alone, ..group.config("n4") };
    group.start_with("n4", config).await;
    let mut leads = group.node("n4").leadership();
    let formed = leads.wait_for(|l| l.mine);
    tokio::time::timeout(PATIENCE, formed).await.expect("it leads itself").expect("it runs");
    let n4 = group.running.remove("n4").expect("it runs");
    let foreign = group.refusal(&group.adding("n4")).await;
    assert!(foreign.starts_with("n4 belongs to another group ("), "{foreign}");
    assert!(foreign.contains("empty the directory 'raft' below its data_dir"), "{foreign}");
    group.running.insert("n4".to_owned(), n4);
    group.kill("n4").await;
    group.wipe("n4");

    // Nobody else is there: it waits, and makes nothing.
    for name in ["n1", "n2", "n3"] {
        group.kill(name).await;
    }
    group.start_to_join("n4").await;
    group.waits_for("n4", "join = true, but no member of a group answers").await;
    assert_eq!(group.node("n4").group_id(), 0);
    for name in ["n1", "n2", "n3"] {
        group.start(name).await;
    }
    group.change(&group.adding("n4")).await.expect("added");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_leader_left_half_done_is_ended_by_the_next_and_by_asking_again() {
    let (mut group, leader) = three(Group::of(3)).await;
    group.newcomer("n4");
    group.start_to_join("n4").await;
    let id = group.node("n4").raft_id();
    let peer = Peer { machine: "n4".to_owned(), addr: group.addr("n4") };
    // The newcomer learns; its leader dies before it may vote, and has left the group between two sets of members.
    let node = group.node(&leader).clone();
    node.inner.raft.add_learner(id, peer, true).await.expect("it learns");
    let old: BTreeSet<u64> = node.membership().voter_ids().collect();
    let new: BTreeSet<u64> = old.iter().copied().chain([id]).collect();
    let nodes: BTreeMap<u64, Peer> =
        node.membership().nodes().map(|(id, peer)| (*id, peer.clone())).collect();
    let between = Membership::new(vec![old, new], nodes).expect("a membership");
    let left = node.inner.raft.append_membership(between, EntryPayload::Blank, []).await;
    // The newcomer may have asked to vote by itself meanwhile, and then there is nothing half done.
    drop((left, node));
    group.kill(&leader).await;
    let voters = group.change(&group.adding("n4")).await;
    group.start(&leader).await;
    let voters = match voters {
        Ok(voters) => voters,
        Err(_) => group.change(&group.adding("n4")).await.expect("added"),
    };
    assert_eq!(voters, ["n1", "n2", "n3", "n4"]);
    let next = group.leader().await;
    assert_eq!(group.node(&next).membership().get_joint_config().len(), 1);
    group.propose("entry 2").await;
    group.everywhere(&entries(2)).await;
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_newcomer_is_believed_as_a_leader_by_everybody() {
    let (mut group, leader) = three(Group::secured(3)).await;
    group.newcomer("n4");
    group.start_to_join("n4").await;
    group.waits_for("n4", "does not list this machine").await;
    group.change(&group.adding("n4")).await.expect("added");
    group.node(&leader).transfer_leader("n4").await.expect("it takes over");
    assert_eq!(group.leader().await, "n4");
    // A log that is lost meanwhile is taken back by a leader whom its node file does not name.
    let lost = group.names().into_iter().find(|n| n != "n4" && *n != leader).expect("a follower");
    group.kill(&lost).await;
    group.wipe(&lost);
    group.start(&lost).await;
    group.votes_under_its_new_id(&lost).await;
    group.propose("entry 2").await;
    group.everywhere(&entries(2)).await;
    // Who was removed learns so, although nobody takes its word for a member's any more.
    group.change(&removing(&lost)).await.expect("removed");
    group.waits_for(&lost, "was removed from the group").await;
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_made_anew_out_of_one_log_and_the_others_never_count_again() {
    let (mut group, leader) = three(Group::of(3)).await;
    let old = group.node("n1").group_id();
    let dir = group.dir("n1");
    let held = recover(&dir, "n1", &group.addr("n1"), true).await.expect_err("its node runs").to_string();
    assert!(held.starts_with("lock ") && held.contains("another process has it open"), "{held}");
    for name in group.names() {
        group.kill(&name).await;
    }
    let looked = recover(&dir, "n1", &group.addr("n1"), false).await.expect("a log");
    assert_eq!((looked.copy.as_ref(), looked.others.len()), (None, 2), "{looked:?}");
    let made = recover(&dir, "n1", &group.addr("n1"), true).await.expect("made anew");
    let copy = made.copy.clone().expect("a copy");
    assert_eq!(made, Recovered { copy: Some(copy.clone()), ..looked });
    assert!(copy.join("seg-0000000001.log").is_file() && dir.join(MARK).is_file());
    let again = recover(&dir, "n1", &group.addr("n1"), true).await.expect_err("it is").to_string();
    assert_eq!(again, "n1 is a group of one already: start its node");

    // The others, a majority of the old group, are not spoken to; and they take nothing from it.
    group.start("n1").await;
    assert_eq!(group.leader().await, "n1");
    assert_ne!(group.node("n1").group_id(), old);
    assert_eq!(group.node("n1").members().len(), 1);
    group.propose("entry 2").await;
    assert_eq!(group.node("n1").read(|list| list.0.clone()), entries(2));
    let other = if leader == "n2" { "n3" } else { "n2" };
    group.start(other).await;
    let n = group.running.remove(other).expect("it runs");
    let foreign = group.refusal(&group.adding(other)).await;
    assert!(foreign.starts_with(&format!("{other} belongs to another group (")), "{foreign}");
    group.running.insert(other.to_owned(), n);
    group.kill(other).await;
    group.wipe(other);
    group.start_to_join(other).await;
    group.change(&group.adding(other)).await.expect("added");
    group.everywhere(&entries(2)).await;
    for name in ["n1", other] {
        assert_eq!(group.node(name).replaced(), [old], "{name} may come to tell agents whom not to obey");
    }
    group.stop().await;
}

/// As if a leader had sent it, and died.
async fn append_uncommitted(dir: &Path, term: u64, index: u64, text: &str) {
    let disk = RealDisk::lock(dir).expect("nobody holds it");
    let mut log = LogStore::open(Arc::new(disk), 1, u64::MAX).expect("a log");
    let id = wire::log_id_in(&pb::RaftLogId { term, index });
    log.blocking_append([Entry::new_normal(id, Command(text.into()))]).await.expect("appended");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_log_has_and_is_not_known_to_be_committed_is_not_part_of_the_group_made_anew() {
    let (mut group, _) = three(Group::of(3)).await;
    for name in group.names() {
        group.kill(&name).await;
    }
    let dir = group.dir("n1");
    let looked = recover(&dir, "n1", &group.addr("n1"), false).await.expect("a log");
    // A leader of its last term, cut off from the others, who may have gone on without it.
    let (term, index) = looked.last.expect("entries");
    append_uncommitted(&dir, term, index + 1, "entry of a leader that was deposed").await;
    let made = recover(&dir, "n1", &group.addr("n1"), true).await.expect("made anew");
    assert_eq!((made.last, made.committed), (Some((term, index + 1)), Some(index)));
    group.start("n1").await;
    assert_eq!(group.leader().await, "n1");
    group.propose("entry 2").await;
    assert_eq!(group.node("n1").read(|list| list.0.clone()), entries(2));
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_below_its_snapshot_or_beside_it_goes_on_from_there_in_the_group_made_anew() {
    let (mut group, _) = three(Group::of(3)).await;
    let last_membership = group.node("n1").applied_membership();
    for name in group.names() {
        group.kill(&name).await;
    }
    let dir = group.dir("n1");
    let (term, index) =
        recover(&dir, "n1", &group.addr("n1"), false).await.expect("a log").last.expect("entries");
    // What a deposed leader sent, in the way of what its successor's snapshot holds.
    append_uncommitted(&dir, term, index + 1, "entry of a leader that was deposed").await;
    for (beyond, list) in [(1, entries(2)), (50, entries(3))] {
        let last_log_id = Some(wire::log_id_in(&pb::RaftLogId { term: term + 1, index: index + beyond }));
        let disk = Arc::new(RealDisk::lock(&dir).expect("nobody holds it"));
        let snapshots = SnapshotDir::new(disk.clone());
        let meta = SnapshotMeta { last_log_id, last_membership: last_membership.clone() };
        snapshots.save(&meta, list.join("\n").as_bytes()).expect("saved");
        disk.release();
        let looked = recover(&dir, "n1", &group.addr("n1"), false).await.expect("a log");
        assert_eq!((looked.committed, looked.others.len()), (Some(index + beyond), 2));
    }
    recover(&dir, "n1", &group.addr("n1"), true).await.expect("made anew");
    group.start("n1").await;
    assert_eq!(group.leader().await, "n1");
    group.propose("entry 4").await;
    assert_eq!(group.node("n1").read(|list| list.0.clone()), entries(4));
    group.stop().await;
}
