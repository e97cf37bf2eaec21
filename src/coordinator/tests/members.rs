//! Machines that run a coordinator and are no member of the group: what they say when they are asked.

use super::group::{Group, within};
use interrex_api::admin::{ChangeProgress, CoordinatorChange, CreateCluster, EventsRequest};
use interrex_api::client::ClientError;
use interrex_cluster::ids::MachineName;
use interrex_cluster::spec::Spec;

/// The machines that vote, by whoever is asked.
async fn voters(group: &Group, of: &[&str]) -> Result<Vec<String>, ClientError> {
    let told = group.client(of).list_coordinators().await?;
    Ok(told.into_iter().filter(|one| one.voter).map(|one| one.machine.to_string()).collect())
}

async fn change(group: &Group, of: &[&str], change: CoordinatorChange) -> (Vec<MachineName>, bool) {
    let client = group.client(of);
    let done = async {
        loop {
            match client.change_coordinators(&change).await.expect("it may be done") {
                ChangeProgress::Done { voters, already } => return (voters, already),
                ChangeProgress::Doing(_) => {}
            }
        }
    };
    within("the group is changed", done).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_added_yet_or_was_removed_says_so_and_a_member_that_is_asked_beside_it_answers() {
    let mut group = Group::of(3, |builder| builder).await;
    group.start_to_join("n4").await;
    let outside = voters(&group, &["n4"]).await.unwrap_err();
    assert!(matches!(outside, ClientError::NotMember { .. }), "{outside}");
    let way = format!("`interrex coordinator add n4={}`", group.addresses["n4"]);
    assert!(outside.to_string().contains(&way), "{outside}");
    assert_eq!(voters(&group, &["n4", "n1"]).await.expect("n1 is one"), ["n1", "n2", "n3"]);
    let told = group.client(&["n4"]).list_clusters().await.unwrap_err();
    assert!(matches!(told, ClientError::NotMember { .. }), "{told}");

    let (machine, address) = ("n4".parse().unwrap(), group.addresses["n4"].clone());
    let (four, _) = change(&group, &["n4", "n1"], CoordinatorChange::Add { machine, address }).await;
    assert_eq!(four.len(), 4, "{four:?}");
    let mut waiting = group.handle("n4").core.node.waiting();
    within("n4 knows", waiting.wait_for(Option::is_none)).await.unwrap();
    assert_eq!(voters(&group, &["n4"]).await.expect("n4 is one"), ["n1", "n2", "n3", "n4"]);

    // A story that is followed at a machine that is removed goes on at another.
    let follow = EventsRequest { follow: true, ..EventsRequest::default() };
    let mut events = group.client(&["n4"]).events(follow.clone()).await.expect("a story");
    let remove = || CoordinatorChange::Remove { machine: "n4".parse().unwrap() };
    let (three, already) = change(&group, &["n1"], remove()).await;
    assert_eq!((three.len(), already), (3, false), "{three:?}");
    assert_eq!(change(&group, &["n1"], remove()).await, (three, true));
    let over = within("n4 notices", events.next()).await.unwrap_err();
    assert!(matches!(over, ClientError::NotMember { .. }), "{over}");
    let removed = voters(&group, &["n4"]).await.unwrap_err();
    assert!(removed.to_string().contains("n4 was removed from the group of "), "{removed}");
    let refused = group.client(&["n4"]).events(follow).await.unwrap_err();
    assert!(matches!(refused, ClientError::NotMember { .. }), "{refused}");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_removed_while_it_was_away_does_not_tell_the_list_that_it_remembers() {
    let mut group = Group::of(3, |builder| builder).await;
    let away = group.follower().await;
    group.kill(&away).await;
    let others: Vec<String> = group.running.keys().cloned().collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    change(&group, &others, CoordinatorChange::Remove { machine: away.parse().unwrap() }).await;
    group.start_again(&away).await;
    // At once, before it has noticed anything by itself.
    match voters(&group, &[&away]).await {
        Ok(told) => assert!(!told.contains(&away), "{told:?}"),
        Err(why) => assert!(matches!(why, ClientError::NotMember { .. }), "{why}"),
    }
    group.stop().await;
}

/// As when the machines are upgraded one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_goes_on_when_the_coordinator_that_tells_it_is_stopped_in_good_order() {
    let mut group = Group::of(3, |builder| builder).await;
    let all = group.client(&["n1", "n2", "n3"]);
    let follow = EventsRequest { follow: true, ..EventsRequest::default() };
    let mut events = all.events(follow).await.expect("a story");
    group.leave("n1").await;
    let wanted =
        CreateCluster { name: "orders".parse().unwrap(), spec: Spec::default(), owner: None, adopt: None };
    within("a cluster is made", async { while all.create_cluster(&wanted).await.is_err() {} }).await;
    let told = within("it is told", events.next()).await.expect("somebody tells").expect("it never ends");
    assert_eq!(told.cluster, wanted.name);
    group.stop().await;
}
