//! The scenes.

use super::agent::{Agent, Who};
use super::group::{Group, primary, settled, within};
use super::postgres::World;
use crate::yielding::best_successor;
use interrex_api::admin::{CreateCluster, EventsRequest, FailoverRequest, NewOwner};
use interrex_api::client::ClientError;
use interrex_api::refused::Refused;
use interrex_api::session::{LeaseGrant, Registered};
use interrex_cluster::goal::Goal;
use interrex_cluster::ids::{DirectoryId, Epoch, InstanceName};
use interrex_cluster::policy::Policy;
use interrex_cluster::spec::Spec;
use interrex_rt::{Clock, SystemClock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A clock that can leap, as it does over a suspended machine.
#[derive(Default)]
struct Leaping(AtomicU64);

impl Clock for Leaping {
    fn boot_ms(&self) -> u64 {
        SystemClock.boot_ms() + self.0.load(Ordering::Relaxed)
    }

    fn wall_ms(&self) -> u64 {
        SystemClock.wall_ms()
    }
}

fn orders() -> CreateCluster {
    let owner = Some(NewOwner { name: "app".to_owned(), password: None });
    CreateCluster { name: "orders".parse().unwrap(), spec: Spec::default(), owner, adopt: None }
}

fn failover(dry_run: bool, to: Option<&str>) -> FailoverRequest {
    FailoverRequest {
        name: "orders".parse().unwrap(),
        to: to.map(|to| to.parse().unwrap()),
        dry_run,
        accept_loss: false,
        fenced: Default::default(),
    }
}

async fn three_agents(group: &Group, world: &World) -> BTreeMap<InstanceName, Agent> {
    let mut agents = BTreeMap::new();
    for name in ["n1", "n2", "n3"] {
        let who = Who::new("orders", name, &group.all());
        agents.insert(who.name.clone(), who.live(world.clone()).await);
    }
    agents
}

/// The story of a coordinator: the kinds of its events, in order.
async fn story(group: &Group, of: &str) -> Vec<(u64, String)> {
    let mut events = group.client(&[of]).events(EventsRequest::default()).await.unwrap();
    let mut story = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        story.push((event.index, event.kind));
    }
    story
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_created_comes_up_rests_and_changes_its_primary_when_asked() {
    let clock = Arc::new(Leaping::default());
    let group = Group::of(1, |builder| builder.clock(clock.clone())).await;
    let (client, world) = (group.client(&["n1"]), World::default());

    // Nobody has created it yet.
    let Registered::Waiting { why, .. } = Who::new("orders", "n1", &group.all()).register().await else {
        panic!("welcome to nowhere");
    };
    assert_eq!(
        why,
        "key 'instance.cluster': cluster orders does not exist yet: create it with: interrex create orders --instances 3; \
         or correct its name"
    );

    let created = client.create_cluster(&orders()).await.unwrap();
    let (user, password) = created.owner.unwrap();
    assert_eq!((user.as_str(), password.len()), ("app", 32));
    let twice = client.create_cluster(&orders()).await.unwrap_err();
    assert!(matches!(twice, ClientError::Refused { refused: Refused::Exists(_), .. }), "{twice}");

    let agents = three_agents(&group, &world).await;
    let record = group.record("it comes up", "orders", settled).await;
    assert_eq!((record.epoch, primary(&record).as_str()), (Epoch(2), "n1"));
    let told: Vec<String> = story(&group, "n1").await.into_iter().map(|(_, kind)| kind).collect();
    for kind in [
        "created",
        "registered",
        "bootstrap",
        "elected",
        "promoted",
        "cloning",
        "whole",
        "opened",
        "rule-in-force",
    ] {
        assert!(told.iter().any(|k| k == kind), "{kind} is missing in {told:?}");
    }
    let info = client.connection_info(&"orders".parse().unwrap(), true).await.unwrap();
    assert_eq!((info.hosts[0].0.as_str(), info.primary_first, info.password), ("n1", true, Some(password)));

    // A stranger under a member's name waits.
    let mut stranger = Who::new("orders", "n2", &group.all());
    stranger.directory = DirectoryId("another".to_owned());
    let Registered::Waiting { why, .. } = stranger.register().await else { panic!("a stranger is welcome") };
    assert!(why.contains("belongs to another data directory"), "{why}");
    let name = "orders".parse().unwrap();
    let problems = async || client.get_cluster(&name).await.unwrap().problems;
    let shown: Vec<_> =
        problems().await.into_iter().map(|problem| (problem.code, problem.evidence)).collect();
    assert_eq!(shown, [("turned-away".to_owned(), vec![why])]);
    for agent in agents.values() {
        let mut reports = agent.reports.clone();
        while !problems().await.is_empty() {
            within("one more report", reports.changed()).await.unwrap();
        }
    }

    // At rest nothing is written, however much is reported.
    let before = group.handle("n1").applied();
    for agent in agents.values() {
        let (mut reports, from) = (agent.reports.clone(), *agent.reports.borrow());
        within("twenty more reports", reports.wait_for(|count| *count >= from + 20)).await.unwrap();
    }
    assert_eq!(group.handle("n1").applied(), before);
    let status = client.get_cluster(&"orders".parse().unwrap()).await.unwrap();
    assert_eq!((status.operation.as_str(), status.problems.len(), status.waits.len()), ("steady", 0, 0));
    let explained = client.explain(&"orders".parse().unwrap()).await.unwrap();
    assert_eq!(explained.lines, ["nothing to do"]);

    // A minute in which the coordinator itself was away is no silence of the others.
    clock.0.store(60_000, Ordering::Relaxed);
    for agent in agents.values() {
        let (mut reports, from) = (agent.reports.clone(), *agent.reports.borrow());
        within("ten more reports", reports.wait_for(|count| *count >= from + 10)).await.unwrap();
    }
    assert_eq!(group.handle("n1").applied(), before);

    // Asked what a failover would do, it does nothing; asked to, it does that.
    let unknown = client.failover(&failover(true, Some("n9"))).await.unwrap_err();
    assert!(unknown.to_string().contains("n9 is not an instance of cluster orders"), "{unknown}");
    let plan = client.failover(&failover(true, None)).await.unwrap();
    assert!(plan.accepted, "{plan:?}");
    assert_eq!(group.handle("n1").applied(), before);
    let wanted = if plan.would_win == Some("n2".parse().unwrap()) { "n3" } else { "n2" };
    let begun =
        client.failover(&failover(false, plan.would_win.as_ref().map(InstanceName::as_str))).await.unwrap();
    assert_eq!((begun.accepted, begun.epoch), (true, Epoch(3)));
    let over = |record: &_| settled(record) && record.epoch == Epoch(3);
    let record = group.record("the failover is over", "orders", over).await;
    assert_eq!(Some(primary(&record)), plan.would_win);
    assert_ne!(primary(&record).as_str(), wanted);
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_accepting_loss_would_lose_is_told_before_it_is_accepted() {
    let group = Group::of(1, |builder| builder).await;
    let (client, world) = (group.client(&["n1"]), World::default());
    client.create_cluster(&orders()).await.unwrap();
    let mut agents = three_agents(&group, &world).await;
    let old = primary(&group.record("it comes up", "orders", settled).await);
    let plan = client.failover(&failover(true, None)).await.unwrap();
    let expected = plan.expected.unwrap();
    assert!(expected.contains("up to 400 ms for the seals"), "{expected}");
    assert_eq!((plan.accepted, plan.may_lose), (true, None));

    // The primary and a standby die: what is left may lack what those two hold.
    let left = agents.keys().find(|name| **name != old).unwrap().clone();
    for gone in agents.keys().filter(|name| **name != left) {
        world.power(gone, false);
    }
    agents.retain(|name, _| *name == left);
    let stuck = async {
        loop {
            let plan = client.failover(&failover(true, None)).await.unwrap();
            if !plan.accepted {
                return plan;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let refused = within("a failover that could lose something is refused", stuck).await;
    let loss = refused.may_lose.expect("what would be lost");
    assert!(loss.starts_with("with --accept-loss: commits that were acknowledged"), "{loss}");
    assert_eq!(refused.would_win.as_ref(), Some(&left));

    let before = group.handle("n1").applied();
    let accepting = FailoverRequest { accept_loss: true, ..failover(true, None) };
    let told = client.failover(&accepting).await.unwrap();
    assert_eq!((told.accepted, told.would_win.as_ref(), told.epoch), (true, Some(&left), Epoch(3)));
    assert!(told.may_lose.is_some_and(|loss| loss.starts_with("commits that were acknowledged")));
    let runs = FailoverRequest { dry_run: false, fenced: [left.clone()].into(), ..accepting.clone() };
    let refused = client.failover(&runs).await.unwrap();
    let why = refused.waits.last().expect("why not");
    assert!(!refused.accepted && why.contains("asserted to be stopped (--fenced), and its agent"), "{why}");
    assert_eq!(group.handle("n1").applied(), before, "neither a dry run nor a refusal writes anything");

    let begun = client.failover(&FailoverRequest { dry_run: false, ..accepting }).await.unwrap();
    assert!(begun.accepted && begun.may_lose.is_some());
    let elected =
        |record: &interrex_cluster::record::Cluster| record.primary.is_some() && record.epoch == Epoch(3);
    let record = group.record("who is left is elected", "orders", elected).await;
    assert_eq!((primary(&record), record.overrides.is_empty()), (left, false));
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_is_replaced_within_a_second_and_a_half_and_comes_back_as_a_standby() {
    // The cluster stands in the node files of all three.
    let named = |builder: crate::Builder| builder.cluster("orders".parse().unwrap(), Spec::default(), None);
    let mut group = Group::of(3, named).await;
    let world = World::default();
    let mut agents = three_agents(&group, &world).await;
    let record = group.record("it comes up", "orders", settled).await;
    let old = primary(&record);

    agents.remove(&old);
    world.power(&old, false);
    let died = Instant::now();
    let promoted = agents.iter().map(|(name, agent)| {
        let mut goal = agent.goal.clone();
        Box::pin(async move {
            let told =
                goal.wait_for(|g| g.as_ref().is_some_and(|(g, _)| matches!(g.goal, Goal::Primary(_)))).await;
            (name.clone(), told.unwrap().as_ref().unwrap().1)
        })
    });
    let ((winner, at), ..) = within("somebody is promoted", futures::future::select_all(promoted)).await;
    let took = at - died;
    assert!(took < Duration::from_millis(1_600), "{winner} was told to be primary after {took:?}");
    let open =
        |record: &interrex_cluster::record::Cluster| record.primary.as_ref().is_some_and(|reign| reign.open);
    group
        .record("the new primary is open", "orders", |record| record.epoch == Epoch(3) && open(record))
        .await;

    let back = Who::new("orders", old.as_str(), &group.all()).live(world.clone()).await;
    agents.insert(old.clone(), back);
    let record = group
        .record("the old one is back", "orders", |record| settled(record) && record.epoch == Epoch(3))
        .await;
    assert_eq!(primary(&record), winner);
    assert!(record.overrides.is_empty());

    // A leader that is asked to end hands over first: nobody has to notice its death.
    let leader = group.leader().await;
    group.leave(&leader).await;
    let left = Instant::now();
    group.leader().await;
    assert!(left.elapsed() < Duration::from_millis(800), "an election after {:?}", left.elapsed());
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_address_will_do_the_story_survives_its_teller_and_leases_need_the_quorum_the_primary_and_its_epoch()
 {
    let mut group = Group::of(3, |builder| builder).await;
    let world = World::default();
    let follower = group.follower().await;
    group.client(&[&follower]).create_cluster(&orders()).await.unwrap();
    assert_eq!(group.client(&[&follower]).list_clusters().await.unwrap().len(), 1);
    let heard = async {
        let client = group.client(&[&follower]);
        loop {
            let told = client.list_coordinators().await.unwrap();
            if told.iter().all(|one| one.leader || one.heard_ms.is_some()) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let coordinators = within("the leader hears the others", heard).await;
    assert_eq!(coordinators.iter().filter(|c| c.voter).count(), 3);
    assert_eq!(coordinators.iter().find(|c| c.leader).unwrap().machine.as_str(), group.leader().await);

    let agents = three_agents(&group, &world).await;
    let record = group.record("it comes up", "orders", settled).await;
    let (p, epoch) = (primary(&record), record.epoch);
    let mut leases = agents[&p].leases.clone();
    within("the primary has a lease", leases.wait_for(|leases| !leases.is_empty())).await.unwrap();
    let granted = LeaseGrant { epoch, ttl: Policy::default().lease };
    assert!(leases.borrow().iter().all(|lease| *lease == granted));
    for (name, agent) in agents.iter().filter(|(name, _)| **name != p) {
        assert!(agent.leases.borrow().is_empty(), "{name} has a lease");
    }

    let core = &group.handle(&group.leader().await).core;
    let successor = best_successor(core, true).await.expect("two others follow");
    assert_ne!(successor.as_str(), p.as_str(), "leadership would go to the primary's machine");

    // From here the test itself asks, in the primary's name; its agent is quiet.
    let room = group.handle(&group.leader().await).core.reports.of(&record.name).0;
    let report = room[&p].report.clone();
    drop(agents);
    let names: Vec<String> = group.addresses.keys().cloned().collect();
    let place = |name: &str| names.iter().position(|n| n == name).unwrap();
    let leader = group.leader().await;
    let asker = Who::new("orders", p.as_str(), &group.all());
    let ask = async |to: &str, epoch, directory: &str| {
        let report = interrex_cluster::report::Report {
            directory: DirectoryId(directory.to_owned()),
            ..report.clone()
        };
        asker.report(place(to), report, Some(epoch)).await
    };
    let own = asker.directory.0.clone();
    assert_eq!(ask(&leader, epoch, &own).await, Some(granted));
    assert_eq!(ask(&leader, epoch.next(), &own).await, None, "another epoch");
    assert_eq!(ask(&leader, Epoch(1), &own).await, None, "an old epoch");
    assert_eq!(ask(&leader, epoch, "another").await, None, "another directory");
    assert_eq!(ask(&group.follower().await, epoch, &own).await, None, "no leader");

    // Leadership goes elsewhere: the former leader grants nothing any more, and all tell the same story.
    let to = group.follower().await;
    let now = group.client(&[&leader]).transfer_leadership(Some(&to.parse().unwrap())).await.unwrap();
    assert_eq!(now.as_str(), to);
    assert_eq!(ask(&leader, epoch, &own).await, None, "deposed");
    let story_before = story(&group, &leader).await;
    group.kill(&leader).await;
    let next = group.leader().await;
    let told = story(&group, &next).await;
    assert_eq!(&told[..story_before.len()], story_before);

    // Alone it is no leader, whatever it believed a moment ago.
    let other = group.follower().await;
    group.kill(&other).await;
    assert_eq!(ask(&next, epoch, &own).await, None, "no quorum");
    group.stop().await;
}
