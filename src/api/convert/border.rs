//! Scenes of the border: whatever goes out comes in again, and what is none of ours is refused by the field's name.

use super::samples::{self, address, instance};
use super::{BadMessage, Wire};
use crate::admin::{
    Adopting, ChangeProgress, ConnectionInfo, Coordinator, CoordinatorChange, CreateCluster, Created,
    EventsRequest, Explanation, FailoverReply, FailoverRequest, NewOwner,
};
use crate::pb;
use crate::session::{
    GoalUpdate, LeaderHint, LeaseGrant, PrimaryPlace, RegisterRequest, Registered, ReportRequest, Reported,
    Roster, RosterId, Serial, WatchRequest, Welcome,
};
use interrex_cluster::goal::StampedGoal;
use interrex_cluster::ids::{ClusterId, DirectoryId, Epoch, Incarnation, Revision, Stamp};
use interrex_cluster::receipt::Kept;
use interrex_cluster::record::{Address, Cluster};
use interrex_cluster::report::Report;
use interrex_cluster::spec::Spec;
use interrex_cluster::time::WallMs;
use interrex_cluster::wal::{Lsn, Position, TimelineId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

/// Out, through bytes, and in again.
fn comes_back<T>(values: impl IntoIterator<Item = T>)
where
    T: Wire + PartialEq + Debug,
    T::Pb: prost::Message + Default,
{
    for value in values {
        let bytes = prost::Message::encode_to_vec(&value.to_pb());
        let read = <T::Pb as prost::Message>::decode(bytes.as_slice()).unwrap();
        assert_eq!(T::from_pb(read).as_ref(), Ok(&value));
    }
}

#[test]
fn what_the_rules_know_comes_back_as_it_went() {
    comes_back(samples::specs());
    comes_back([samples::secrets()]);
    comes_back([samples::registration()]);
    comes_back(samples::clusters());
    comes_back(samples::clusters_of_level_3());
    let mut sealed_before = samples::clusters().remove(0);
    let held = Some(Position { timeline: TimelineId(7), lsn: Lsn(9) });
    sealed_before.instances.values_mut().for_each(|member| member.held = held);
    let receipt = Kept { instance: instance("n2"), at: WallMs(7), receipt: samples::receipt() };
    sealed_before.receipts = vec![receipt];
    comes_back([sealed_before]);
    comes_back(samples::events());
    comes_back(samples::reports());
    comes_back(samples::goals());
    comes_back(samples::statuses());
}

#[test]
fn what_agents_and_coordinators_say_comes_back_as_it_went() {
    let cluster = || "orders".parse().unwrap();
    let peers = BTreeMap::from([(instance("n1"), address()), (instance("n2"), address())]);
    let registration = interrex_cluster::command::Registration { replaces: None, ..samples::registration() };
    let serial = Serial { start: 3, run: u64::MAX, number: 41 };
    let obeyed = Some(Stamp { epoch: Epoch(7), revision: Revision(40) });
    comes_back([RegisterRequest { cluster: cluster(), registration, serial, obeyed }]);
    let coordinators = BTreeMap::from([("n4".parse().unwrap(), "10.0.0.4:7400".to_owned())]);
    let roster =
        Roster { id: RosterId { group: 7, index: 30 }, coordinators, replaced: [3, u64::MAX].into() };
    let roster = Some(roster);
    let welcome = Welcome {
        cluster_id: ClusterId(7),
        floor: Stamp::default(),
        goal: samples::goals().remove(2),
        secrets: samples::secrets(),
        peers: peers.clone(),
        told: Some((Incarnation(2), Position { timeline: TimelineId(7), lsn: Lsn(9) })),
        group: Some(u64::MAX),
        roster: roster.clone(),
    };
    let why = || "unknown cluster: interrex create orders".to_owned();
    let waiting = [None, roster.clone()].map(|roster| Registered::Waiting { why: why(), roster });
    comes_back(waiting);
    comes_back([Registered::Welcome(Box::new(welcome))]);
    let report = || samples::reports().remove(0);
    comes_back([Some(Epoch(0)), None].map(|wants_lease| ReportRequest {
        cluster: cluster(),
        report: report(),
        wants_lease,
        serial,
        age: Duration::from_millis(1_250),
        knows: wants_lease.map(|_| RosterId { group: u64::MAX, index: 9 }),
    }));
    let leader = LeaderHint { machine: "host-1".parse().unwrap(), address: "10.0.0.1:7400".to_owned() };
    let lease = LeaseGrant { epoch: Epoch(8), ttl: Duration::from_millis(3_000) };
    comes_back([
        Reported { leader: Some(leader), lease: Some(lease), roster, group: Some(7), another_leads: true },
        Reported::default(),
    ]);
    let machine = || "n4".parse().unwrap();
    comes_back([
        CoordinatorChange::Add { machine: machine(), address: "10.0.0.4:7400".to_owned() },
        CoordinatorChange::Remove { machine: machine() },
    ]);
    let done = |already| ChangeProgress::Done { voters: vec![machine()], already };
    comes_back([ChangeProgress::Doing("half".to_owned()), done(false), done(true)]);
    comes_back([WatchRequest {
        cluster: cluster(),
        instance: instance("n1"),
        directory: DirectoryId("0b8e".to_owned()),
    }]);
    let primary = PrimaryPlace { instance: instance("n1"), epoch: Epoch(8), address: address() };
    comes_back([
        GoalUpdate {
            goal: Some(samples::goals().remove(4)),
            peers,
            primary: Some(primary),
            whole: true,
            group: Some(7),
        },
        GoalUpdate { goal: None, peers: BTreeMap::new(), primary: None, whole: false, group: None },
    ]);
}

#[test]
fn what_operators_ask_and_hear_comes_back_as_it_went() {
    let name = || "orders".parse().unwrap();
    let text = || "some words".to_owned();
    comes_back([None, Some(None), Some(Some("s3cret".to_owned()))].map(|owner: Option<Option<String>>| {
        CreateCluster {
            name: name(),
            spec: Spec::default(),
            owner: owner.map(|password| NewOwner { name: "app".to_owned(), password }),
            adopt: None,
        }
    }));
    comes_back([true, false].map(|take_over| CreateCluster {
        name: name(),
        spec: Spec::default(),
        owner: None,
        adopt: Some(Adopting { take_over }),
    }));
    let owner = Some(("app".to_owned(), "s3cret".to_owned()));
    comes_back([Created { id: ClusterId(7), owner }, Created { id: ClusterId(0), owner: None }]);
    let info = ConnectionInfo { hosts: Vec::new(), primary_first: false, user: None, password: Some(text()) };
    let hosts = vec![(instance("n2"), address()), (instance("n1"), address())];
    comes_back([ConnectionInfo { hosts, primary_first: true, user: Some(text()), ..info.clone() }, info]);
    comes_back([EventsRequest::default(), EventsRequest { cluster: Some(name()), after: 9, follow: true }]);
    comes_back([Explanation { lines: vec![text()], status: samples::statuses().remove(0) }]);
    let request = FailoverRequest {
        name: name(),
        to: Some(instance("n2")),
        dry_run: true,
        accept_loss: true,
        fenced: BTreeSet::from([instance("n1")]),
    };
    let plain = FailoverRequest { to: None, accept_loss: false, fenced: BTreeSet::new(), ..request.clone() };
    comes_back([request, plain]);
    let reply = FailoverReply {
        accepted: true,
        epoch: Epoch(8),
        would_win: Some(instance("n2")),
        refusals: vec![text()],
        waits: vec![text()],
        expected: Some(text()),
        may_lose: Some(text()),
    };
    comes_back([FailoverReply { would_win: None, expected: None, may_lose: None, ..reply.clone() }, reply]);
    let coordinator = |heard_ms| Coordinator {
        machine: "host-1".parse().unwrap(),
        address: "10.0.0.1:7400".to_owned(),
        raft_id: u64::MAX,
        voter: true,
        leader: true,
        heard_ms,
        reads_level: heard_ms.map(|_| 3),
    };
    comes_back([coordinator(None), coordinator(Some(0))]);
}

#[test]
fn a_directory_does_not_decide_for_itself_whose_name_it_takes_over() {
    let cluster = || "orders".parse().unwrap();
    let (registration, serial) = (samples::registration(), Serial::default());
    let sent = RegisterRequest { cluster: cluster(), registration, serial, obeyed: None };
    assert!(sent.registration.replaces.is_some());
    assert_eq!(RegisterRequest::from_pb(sent.to_pb()).unwrap().registration.replaces, None);
}

#[test]
fn a_lease_is_rounded_down() {
    let lease = LeaseGrant { epoch: Epoch(8), ttl: Duration::from_micros(2_999_999) };
    assert_eq!(LeaseGrant::from_pb(lease.to_pb()).unwrap().ttl, Duration::from_millis(2_999));
}

/// The refusal, as it is printed.
fn refusal<T: Debug>(read: Result<T, BadMessage>) -> String {
    read.unwrap_err().to_string()
}

#[test]
fn an_empty_message_is_refused_by_the_first_field_that_it_lacks() {
    assert!(refusal(Report::from_pb(pb::Report::default())).starts_with("instance: '' is not a name"));
    assert!(refusal(Cluster::from_pb(pb::Cluster::default())).starts_with("name: '' is not a name"));
    let unknown = "missing, or of a kind that this build does not know";
    assert_eq!(refusal(StampedGoal::from_pb(pb::StampedGoal::default())), format!("goal: {unknown}"));
    assert_eq!(refusal(Registered::from_pb(pb::RegisterReply::default())), format!("reply: {unknown}"));
}

#[test]
fn enumerations_that_are_unspecified_or_from_the_future_are_refused() {
    let spec = Spec::default().to_pb();
    let unspecified = pb::Spec { on_crash: 0, ..spec.clone() };
    assert_eq!(refusal(Spec::from_pb(unspecified)), "on_crash: not specified");
    let future = pb::Spec { when_alone: 9, ..spec };
    assert_eq!(refusal(Spec::from_pb(future)), "when_alone: value 9 is unknown to this build");
}

#[test]
fn a_deep_field_is_named_by_its_whole_path() {
    let mut report = samples::reports().remove(5).to_pb();
    let Some(pb::server_state::State::Standby(standby)) = report.server.as_mut().unwrap().state.as_mut()
    else {
        panic!("the sixth sample is a standby")
    };
    standby.receiver.as_mut().unwrap().upstream = Some("N1!".to_owned());
    assert!(refusal(Report::from_pb(report)).starts_with("server.standby.receiver.upstream: 'N1!' is not"));

    let mut cluster = samples::clusters().remove(0).to_pb();
    cluster.rules[1].standbys[0].clear();
    assert!(refusal(Cluster::from_pb(cluster)).starts_with("rules[1].standbys[0]: '' is not a name"));
}

#[test]
fn a_member_that_is_there_twice_is_refused() {
    let mut cluster = samples::clusters().remove(0).to_pb();
    let again = cluster.instances[0].clone();
    cluster.instances.push(again);
    assert_eq!(refusal(Cluster::from_pb(cluster)), "instances: 'n0' is there twice");
}

#[test]
fn a_port_past_65535_is_refused() {
    let far = pb::Address { host: "h".to_owned(), port: 65_536 };
    assert_eq!(refusal(Address::from_pb(far)), "port: 65536 is out of range");
}

#[test]
fn a_history_whose_numbers_fall_is_neither_a_testimony_nor_a_goal() {
    let mut report = samples::reports().remove(0).to_pb();
    report.proofs.as_mut().unwrap().promoted_line.as_mut().unwrap().ancestors.reverse();
    let why = "timelines must rise up to the one described, and ends must not fall";
    assert_eq!(refusal(Report::from_pb(report)), format!("proofs.promoted_line.ancestors: {why}"));

    let mut goal = samples::goals().remove(6).to_pb();
    let Some(pb::stamped_goal::Goal::Sealed(sealed)) = goal.goal.as_mut() else {
        panic!("the seventh sample is a seal")
    };
    sealed.line.as_mut().unwrap().timeline = 4;
    assert_eq!(refusal(StampedGoal::from_pb(goal)), format!("sealed.line.ancestors: {why}"));
}

#[test]
fn fenced_instances_without_accepted_loss_are_refused() {
    let request = pb::FailoverRequest {
        name: "orders".to_owned(),
        fenced: vec!["n1".to_owned()],
        ..Default::default()
    };
    assert_eq!(
        refusal(FailoverRequest::from_pb(request)),
        "fenced: means something only together with accept_loss"
    );
}
