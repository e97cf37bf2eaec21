//! Before an election a machine asks the others whether they would vote for it (Raft's pre-vote): one that was away
//! costs a group that has a leader neither that leader nor a term.

use std::time::Instant;

use interrex_api::pb;
use openraft::async_runtime::watch::WatchReceiver as _;

use super::super::*;
use super::group::{Group, PATIENCE, entries};

impl Group {
    fn term(&self, name: &str) -> u64 {
        self.node(name).inner.raft.metrics().borrow_watched().current_term
    }

    fn terms(&self) -> Vec<u64> {
        self.names().iter().map(|name| self.term(name)).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_cut_off_for_several_elections_deposes_nobody_when_it_is_back() {
    let mut group = Group::wired(3);
    group.start_all().await;
    group.propose("entry 1").await;
    group.everywhere(&entries(1)).await;
    let leader = group.leader().await;
    let term = group.term(&leader);
    let away = group.names().into_iter().find(|name| *name != leader).expect("a follower");

    group.wires().cut(&away);
    // It asks both, again and again, and long enough to have stood for election three times.
    group.wires().called_in_vain(&away, 3).await;
    group.heartbeats(&leader, 24).await;
    assert_eq!(group.term(&away), term, "nobody was asked to vote");
    // The others hear each other.
    group.propose("entry 2").await;
    assert_eq!((group.leader().await, group.term(&leader)), (leader.clone(), term));

    group.wires().mend(&away);
    // It takes an entry only from a leader whose term is no less than its own.
    group.propose("entry 3").await;
    group.everywhere(&entries(3)).await;
    assert_eq!((group.leader().await, group.terms()), (leader, vec![term; 3]));
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_before_an_election_refuses_while_its_leader_lives_and_never_promises_anything() {
    let mut group = Group::of(3);
    group.start_all().await;
    group.propose("entry 1").await;
    group.everywhere(&entries(1)).await;
    let leader = group.leader().await;
    let asked = group.names().into_iter().find(|name| *name != leader).expect("a follower");
    let term = group.term(&asked);
    assert!(!would_vote(&group, &asked, term + 1).await, "its leader lives");

    // It is left alone, so nobody raises its term but whom it answers.
    for name in group.names().into_iter().filter(|name| *name != asked) {
        group.kill(&name).await;
    }
    let began = Instant::now();
    while !would_vote(&group, &asked, term + 1).await {
        assert!(began.elapsed() < PATIENCE, "it hears no leader, and would vote for nobody");
        tokio::task::yield_now().await;
    }
    assert_eq!(group.term(&asked), term, "an answer is no vote");
    group.stop().await;
}

/// Asks whether a machine would vote for somebody whose log is as long as its own.
async fn would_vote(group: &Group, asked: &str, term: u64) -> bool {
    let node = group.node(asked);
    let at = format!("http://{}", group.addr(asked));
    let mut client = pb::raft_client::RaftClient::connect(at).await.expect("a client");
    let header =
        pb::RaftHeader { group_id: node.group_id(), from: 5, to: node.raft_id(), replaced: Vec::new() };
    let request = pb::RaftVoteRequest {
        header: Some(header),
        vote: Some(pb::RaftVote { term, voted_for: 5, committed: false }),
        last: node.inner.log.look(|c| c.last().as_ref().map(wire::log_id_out)),
        leadership_transfer: false,
    };
    client.pre_vote(request).await.expect("answered").into_inner().granted
}
