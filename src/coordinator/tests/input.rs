//! Whatever is sent to a coordinator's port: no panic, an answer each, and what is refused changes nothing. Beside it,
//! what every gRPC server is expected to answer: health and reflection.

use super::agent::Who;
use super::group::{Group, settled, within};
use super::postgres::World;
use super::raw::{Dice, Rpc, Wire, send, spoil};
use interrex_api::admin::CreateCluster;
use interrex_cluster::spec::Spec;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Names that there are, names that there are not, and what is no name at all.
const WORDS: [&str; 22] = [
    "orders",
    "orders",
    "orders",
    "n1",
    "n2",
    "n3",
    "n1",
    "n9",
    "directory of n1",
    "directory of n2",
    "",
    "Orders",
    "../../etc/passwd",
    "a-name-that-is-longer-than-any-may-be",
    "ü\u{0}\n'; drop table",
    "acks",
    "min_acks",
    "when_alone",
    "max_connections",
    "1",
    "99999999999999999999",
    "127.0.0.1",
];

/// Where anything panicked in this process, while it is held. Background tasks panic without a word to the caller.
struct Panics(Arc<Mutex<Vec<String>>>);

impl Panics {
    fn watched() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (to, before) = (seen.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            to.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
            before(panic);
        }));
        Self(seen)
    }

    fn none(&self) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(seen.is_empty(), "{seen:#?}");
    }
}

fn channel(group: &Group) -> Channel {
    Endpoint::from_shared(format!("http://{}", group.addresses["n1"])).unwrap().connect_lazy()
}

/// A status that a coordinator gives on purpose, or tonic to what is no message.
fn on_purpose(status: &Status) -> bool {
    use Code::{AlreadyExists, DeadlineExceeded, FailedPrecondition, InvalidArgument, NotFound, Unavailable};
    let ours = status.metadata().contains_key("interrex-refused");
    let expected =
        [InvalidArgument, NotFound, AlreadyExists, FailedPrecondition, Unavailable, DeadlineExceeded];
    let undecodable = status.code() == Code::Internal && status.message().contains("decode Protobuf");
    (ours && expected.contains(&status.code())) || undecodable
}

/// What an rpc is sent: a message with anything in it, or the bytes of one that were spoiled.
fn thrown(wire: &Wire, dice: &mut Dice, rpc: &Rpc, spoiled: bool) -> Vec<u8> {
    let made_up = wire.message(dice, &rpc.takes, 6);
    if spoiled { spoil(dice, made_up) } else { made_up }
}

async fn created(group: &Group) {
    let wanted =
        CreateCluster { name: "orders".parse().unwrap(), spec: Spec::default(), owner: None, adopt: None };
    group.client(&["n1"]).create_cluster(&wanted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_operator_sends_is_answered_and_a_refusal_changes_nothing() {
    let panics = Panics::watched();
    let group = Group::of(1, |builder| builder).await;
    created(&group).await;
    let (to, wire, mut dice) = (channel(&group), Wire::of(&["Admin"], &WORDS), Dice(1));
    assert!(wire.rpcs.len() >= 13, "every rpc of the service");
    let records = || group.handle("n1").core.node.read(|records| records.clusters().clone());
    let (mut before, mut refused, mut taken) = (records(), 0, 0);
    for round in 0..200 {
        for rpc in &wire.rpcs {
            let bytes = thrown(&wire, &mut dice, rpc, round % 2 == 1);
            // A stream that follows is told of once a second; nothing is learned from waiting for it.
            if rpc.path.ends_with("/Events") && round % 10 != 0 {
                continue;
            }
            match send(&to, &rpc.path, bytes.clone()).await {
                Ok(_) => taken += 1,
                Err(status) => {
                    refused += 1;
                    assert!(on_purpose(&status), "{} of {bytes:?}: {status:?}", rpc.path);
                    assert_eq!(records(), before, "{} of {bytes:?} was refused: {status:?}", rpc.path);
                }
            }
            before = records();
        }
    }
    assert!(refused > 200 && taken > 100, "the dice are loaded: {refused} refused, {taken} taken");
    group.client(&["n1"]).list_clusters().await.unwrap();
    panics.none();
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_while_a_cluster_works_is_answered_and_the_coordinator_leads_on() {
    let panics = Panics::watched();
    let group = Group::of(1, |builder| builder).await;
    created(&group).await;
    let world = World::default();
    let mut agents = Vec::new();
    for name in ["n1", "n2", "n3"] {
        agents.push(Who::new("orders", name, &group.all()).live(world.clone()).await);
    }
    group.record("the cluster settles", "orders", settled).await;
    let (to, wire, mut dice) = (channel(&group), Wire::of(&["Session", "Admin"], &WORDS), Dice(2));
    let mut answered = 0;
    for round in 0..150 {
        for rpc in wire.rpcs.iter().filter(|rpc| !rpc.path.ends_with("/Events")) {
            let bytes = thrown(&wire, &mut dice, rpc, round % 4 == 3);
            match send(&to, &rpc.path, bytes.clone()).await {
                Ok(_) => answered += 1,
                Err(status) => assert!(on_purpose(&status), "{} of {bytes:?}: {status:?}", rpc.path),
            }
        }
    }
    assert!(answered > 200, "only {answered} were taken");
    let seen = group.client(&["n1"]).list_clusters().await.unwrap();
    assert!(seen.iter().any(|cluster| cluster.name.as_str() == "orders"), "{seen:?}");
    assert!(group.handle("n1").leads());
    panics.none();
    drop(agents);
    group.stop().await;
}

/// What a member says to a call of its group that it does not take.
fn refused_as_a_member(status: &Status) -> bool {
    use Code::{FailedPrecondition, InvalidArgument, Unavailable};
    let undecodable = status.code() == Code::Internal && status.message().contains("decode Protobuf");
    [InvalidArgument, FailedPrecondition, Unavailable].contains(&status.code()) || undecodable
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_to_a_member_s_log_by_who_is_none_is_answered_and_changes_nothing() {
    let panics = Panics::watched();
    let group = Group::of(1, |builder| builder).await;
    created(&group).await;
    let (to, wire, mut dice) = (channel(&group), Wire::of(&["Raft"], &WORDS), Dice(3));
    assert!(wire.rpcs.len() >= 6, "every rpc of the service");
    let node = &group.handle("n1").core.node;
    let as_it_is = || {
        let term = node.leadership().borrow().term;
        (node.read(|records| records.clusters().clone()), *node.applied().borrow(), term, node.roster())
    };
    let before = as_it_is();
    let (mut refused, mut taken) = (0, 0);
    for round in 0..200 {
        for rpc in &wire.rpcs {
            let bytes = thrown(&wire, &mut dice, rpc, round % 2 == 1);
            match send(&to, &rpc.path, bytes.clone()).await {
                Ok(_) => taken += 1,
                Err(status) => {
                    refused += 1;
                    assert!(refused_as_a_member(&status), "{} of {bytes:?}: {status:?}", rpc.path);
                }
            }
            assert_eq!(as_it_is(), before, "{} of {bytes:?}", rpc.path);
        }
    }
    assert!(refused > 400 && taken > 50, "the dice are loaded: {refused} refused, {taken} taken");
    assert!(group.handle("n1").leads());
    panics.none();
    group.stop().await;
}

/// HealthCheckRequest { service: 1 }, answered by { status: 1 = SERVING, 2 = NOT_SERVING }.
async fn serves(to: &Channel, service: &str) -> bool {
    let ask = [&[0x0a, u8::try_from(service.len()).unwrap()], service.as_bytes()].concat();
    match send(to, "/grpc.health.v1.Health/Check", ask).await.unwrap().as_deref() {
        Some([0x08, 0x01]) => true,
        Some([0x08, 0x02]) => false,
        told => panic!("'{service}': {told:?}"),
    }
}

/// What load balancers ask: whoever cannot bring a question to a leader serves nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_without_a_leader_says_that_it_does_not_serve() {
    let mut group = Group::of(3, |builder| builder).await;
    let to = channel(&group);
    let until = async |wanted| {
        while serves(&to, "interrex.v1.Admin").await != wanted {
            tokio::task::yield_now().await
        }
    };
    within("n1 to serve", until(true)).await;
    group.leave("n2").await;
    group.kill("n3").await;
    within("n1 to serve no more", until(false)).await;
    assert!(serves(&to, "").await, "the process is there");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_answer_as_everybody_s_tools_ask() {
    let group = Group::of(1, |builder| builder).await;
    let to = channel(&group);
    let of_group = ["interrex.v1.Admin", "interrex.v1.Session"];
    for service in of_group {
        let serves = async {
            while !serves(&to, service).await {
                tokio::task::yield_now().await
            }
        };
        within(&format!("{service} to serve"), serves).await;
    }
    assert!(serves(&to, "").await && serves(&to, "interrex.v1.Raft").await);
    let unknown = send(&to, "/grpc.health.v1.Health/Check", vec![0x0a, 1, b'x']).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    // ServerReflectionRequest { list_services: 7 } and { file_containing_symbol: 4 }.
    let reflect = async |field: u8, text: &str| {
        let ask = [&[field << 3 | 2, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let told = send(&to, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ask).await;
        String::from_utf8_lossy(&told.unwrap().expect("an answer")).into_owned()
    };
    let services = reflect(7, "*").await;
    for service in ["interrex.v1.Admin", "interrex.v1.Session", "interrex.v1.Raft", "grpc.health.v1.Health"] {
        assert!(services.contains(service), "{service} in {services}");
    }
    let admin = reflect(4, "interrex.v1.Admin").await;
    assert!(admin.contains("CreateClusterRequest") && admin.contains("TransferLeadership"), "{admin}");
    group.stop().await;
}
