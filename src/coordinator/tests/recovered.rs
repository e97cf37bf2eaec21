//! Coordinators whose logs may be old: one that was away while the group was made anew, and one out of whose log it was.

use super::agent::Who;
use super::group::{Group, until, within};
use crate::raft::{MARK, trust_record};
use crate::service::goals::follow;
use futures::{FutureExt, StreamExt};
use interrex_api::admin::CreateCluster;
use interrex_api::session::{RegisterRequest, Registered, WatchRequest};
use interrex_cluster::ids::{ClusterName, Epoch, Revision, Stamp};
use interrex_cluster::record::Address;
use interrex_cluster::report::{Report, Server};
use interrex_cluster::spec::Spec;

/// A group whose record has one instance, and its agent.
async fn with_an_instance(size: usize) -> (Group, Who) {
    let group = Group::of(size, |builder| builder).await;
    let wanted =
        CreateCluster { name: "orders".parse().unwrap(), spec: Spec::default(), owner: None, adopt: None };
    group.client(&["n1"]).create_cluster(&wanted).await.unwrap();
    let who = Who::new("orders", "n1", &group.all());
    let Registered::Welcome(_) = who.register().await else { panic!("it is turned away") };
    (group, who)
}

/// Whether a coordinator has applied what the record says of the instance.
fn knows(group: &Group, name: &str, who: &Who) -> bool {
    let core = &group.handle(name).core;
    core.node
        .read(|records| records.cluster(&who.cluster).is_some_and(|c| c.instances.contains_key(&who.name)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_starts_tells_no_goals_of_its_log_before_a_leader_called_it() {
    let (mut group, who) = with_an_instance(3).await;
    let away = group.follower().await;
    until("it knows the instance", || knows(&group, &away, &who)).await;
    let others: Vec<String> = group.running.keys().filter(|name| **name != away).cloned().collect();
    for name in others.iter().chain([&away]) {
        group.kill(name).await;
    }
    group.start_again(&away).await;
    until("it has applied its log", || knows(&group, &away, &who)).await;
    let request = WatchRequest {
        cluster: who.cluster.clone(),
        instance: who.name.clone(),
        directory: who.directory.clone(),
    };
    let mut goals = follow(group.handle(&away).core.clone(), request);
    assert!(goals.next().now_or_never().is_none(), "who may vouch for what it remembers?");
    group.start_again(&others[0]).await;
    let update = within("it belongs to a group", goals.next()).await.expect("it runs").unwrap();
    assert!(update.goal.is_some(), "{update:?}");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_made_anew_grows_once_all_are_heard_or_an_operator_vouches() {
    let (mut group, who) = with_an_instance(1).await;
    let cluster: ClusterName = who.cluster.clone();
    let remembered = group.record("it is there", "orders", |_| true).await.stamp();
    let mark = group.raft_dir("n1").join(MARK);
    let doubting = async |group: &mut Group| {
        group.kill("n1").await;
        std::fs::write(&mark, "").unwrap();
        group.start_again("n1").await;
        group.leader().await;
    };
    doubting(&mut group).await;
    let core = group.handle("n1").core.clone();
    let request = || RegisterRequest { obeyed: Some(remembered), ..who.registration() };

    // Welcome as ever: what its memory says is not heard before its reports are.
    let answer = who.coordinators[0].register(&request()).await.unwrap();
    assert!(matches!(answer, Registered::Welcome(_)), "{answer:?}");
    assert!(core.untrusted(&cluster).unwrap().contains("n1 is heard"));
    let refused = core.unsettled().unwrap();
    assert!(refused.contains("first every instance of every cluster has to be heard"), "{refused}");

    // Moved, it is turned away, and heard by what it says.
    let mut moved = request();
    moved.registration.address = Address { host: "127.0.0.9".to_owned(), port: 5432 };
    let answer = who.coordinators[0].register(&moved).await.unwrap();
    let Registered::Waiting { roster: Some(roster), .. } = &answer else { panic!("{answer:?}") };
    assert_eq!(Some(roster.id.group), core.group(), "whom to believe is told all the same");
    until("the doubt ends", || core.unsettled().is_none()).await;
    drop(core);

    // One that obeyed more than the record knows keeps the group as it is, until an operator vouches for the rest.
    doubting(&mut group).await;
    let core = group.handle("n1").core.clone();
    let report = Report {
        obeyed: Stamp { epoch: Epoch(9), revision: Revision(1) },
        ..Report::of(who.name.clone(), who.directory.clone(), Server::NoData)
    };
    let heard = async {
        while !core.untrusted(&cluster).is_some_and(|why| why.contains("9.1")) {
            who.report(0, report.clone(), None).await;
        }
    };
    within("it is heard", heard).await;
    let refused = core.unsettled().unwrap();
    assert!(refused.contains("agents of orders obeyed") && refused.contains("--trust-record"), "{refused}");
    drop(core);
    group.kill("n1").await;
    assert!(trust_record(&group.raft_dir("n1")).unwrap());
    group.start_again("n1").await;
    group.leader().await;
    assert_eq!(group.handle("n1").core.unsettled(), None);
    group.stop().await;
}
