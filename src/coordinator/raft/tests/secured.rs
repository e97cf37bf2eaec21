//! Scenes of a group that speaks TLS: who is believed, and who is not.

use interrex_api::dial::{Target, insecure};
use interrex_api::pb::raft_client::RaftClient;
use interrex_api::pb::{RaftAppendRequest, RaftHeader, RaftIdentifyRequest, RaftJoinRequest, RaftVote};
use interrex_authority::Authority;
use interrex_rt::Dialer;
use interrex_tls::Tls;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::group::{Group, PATIENCE};

fn dial(group: &Group, to: &str, tls: Option<&Tls>) -> RaftClient<Channel> {
    let target = Target::of(&group.addr(to), Some(to)).expect("an address");
    RaftClient::new(
        target.channel(tls, &Dialer::default(), PATIENCE, |endpoint| endpoint).expect("a channel"),
    )
}

fn asks(machine: &str) -> RaftIdentifyRequest {
    RaftIdentifyRequest { machine: machine.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_forms_over_tls_and_a_machine_that_lost_its_log_is_taken_back() {
    let mut group = Group::secured(3);
    group.start_all().await;
    group.propose("entry 1").await;
    let leader = group.leader().await;
    let lost = group.names().into_iter().find(|n| *n != leader).expect("a follower");
    group.kill(&lost).await;
    group.wipe(&lost);
    group.start(&lost).await;
    let new_id = group.node(&lost).raft_id();
    let mut waiting = group.node(&lost).waiting();
    let back = async {
        while !group.node(&lost).members().iter().any(|m| m.raft_id == new_id && m.voter) {
            waiting.changed().await.expect("it runs");
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("it votes under its new id");
    group.propose("entry 2").await;
    group.everywhere(&["entry 1".to_owned(), "entry 2".to_owned()]).await;
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_calls_in_another_machine_s_name() {
    let mut group = Group::secured(3);
    group.start_all().await;
    group.propose("entry 1").await;
    group.everywhere(&["entry 1".to_owned()]).await;
    let authority = group.authority.as_ref().expect("TLS");
    let refused = |status: Status, words: &str| {
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
    };

    // A certificate of the CA, for a machine that is no member: it may ask who is who, as a newcomer has to.
    let stranger = authority.machine("n9");
    assert!(dial(&group, "n1", Some(&stranger)).identify(asks("n9")).await.is_ok());
    let join = RaftJoinRequest { machine: "n9".to_owned(), addr: group.addr("n2"), raft_id: 7 };
    let status = dial(&group, "n1", Some(&stranger)).join(join).await.unwrap_err();
    refused(
        status,
        "a call in the name of n9 came with a certificate for n9; n1 knows the members n1, n2, n3",
    );
    let status = dial(&group, "n1", Some(&stranger)).identify(asks("n2")).await.unwrap_err();
    refused(status, "a call in the name of n2 came with a certificate for n9");

    // No certificate at all.
    let nobody = authority.operator(None);
    let status = dial(&group, "n1", Some(&nobody)).identify(asks("n2")).await.unwrap_err();
    refused(status, "n1 takes raft calls only from members with a certificate");

    // A member, in the name of another: by machine, by raft id.
    let n2 = authority.machine("n2");
    assert!(dial(&group, "n1", Some(&n2)).identify(asks("n2")).await.is_ok());
    let status = dial(&group, "n1", Some(&n2)).identify(asks("n3")).await.unwrap_err();
    refused(status, "a call in the name of n3 came with a certificate for n2");
    let join = RaftJoinRequest { machine: "n3".to_owned(), addr: group.addr("n2"), raft_id: 7 };
    let status = dial(&group, "n1", Some(&n2)).join(join).await.unwrap_err();
    refused(status, "a call in the name of n3 came with a certificate for n2");
    let header = |from: u64| {
        let (group_id, to) = (group.node("n1").group_id(), group.node("n1").raft_id());
        Some(RaftHeader { group_id, from, to, replaced: Vec::new() })
    };
    let n3_id = group.node("n3").raft_id();
    let vote = Some(RaftVote { term: 1_000, voted_for: n3_id, committed: true });
    let append = |from| RaftAppendRequest { header: header(from), vote, ..RaftAppendRequest::default() };
    let status = dial(&group, "n1", Some(&n2)).append(append(n3_id)).await.unwrap_err();
    refused(status, "a call in the name of n3 came with a certificate for n2");
    // An id that nobody knows is believed of a machine of the group alone.
    let status = dial(&group, "n1", Some(&stranger)).append(append(7)).await.unwrap_err();
    refused(status, "a raft call came with a certificate for n9");

    // Another CA: the handshake ends it, with words on either side.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let foreign = Authority::new(elsewhere.path()).machine("n2");
    let status = dial(&group, "n1", Some(&foreign)).identify(asks("n2")).await.unwrap_err();
    let why = insecure(&status).expect("a matter of TLS");
    assert!(why.starts_with("the certificate of n1 is not signed by the CA that is believed here"), "{why}");

    // Whoever answers at an address has to be the machine that was meant.
    let wrong = Target::of(&group.addr("n1"), Some("n3")).expect("an address");
    let channel =
        wrong.channel(Some(&n2), &Dialer::default(), PATIENCE, |endpoint| endpoint).expect("a channel");
    let status = RaftClient::new(channel).identify(asks("n2")).await.unwrap_err();
    let why = insecure(&status).expect("a matter of TLS");
    assert!(why.starts_with("the certificate shown there is for n1, 127.0.0.1, not for n3"), "{why}");
    group.stop().await;
}
