//! Scenes of the client that looks for the leader.

use super::testing::{elsewhere, mute, nobody, play, tell};
use super::{Client, ClientError, ClientOptions};
use crate::admin::{EventsRequest, FailoverRequest};
use crate::convert::samples;
use crate::refused::Refused;
use crate::serve::Caller;
use interrex_cluster::event::Event;
use interrex_cluster::ids::ClusterName;
use std::collections::BTreeSet;
use std::time::Duration;

fn patient(overall: u64) -> ClientOptions {
    let ms = Duration::from_millis;
    ClientOptions { overall: ms(overall), call: ms(overall), ..ClientOptions::default() }
}

fn client(addresses: &[&str]) -> Client {
    Client::new(addresses.iter().map(ToString::to_string).collect(), patient(10_000)).unwrap()
}

fn orders() -> ClusterName {
    "orders".parse().unwrap()
}

fn failover(dry_run: bool) -> FailoverRequest {
    FailoverRequest { name: orders(), to: None, dry_run, accept_loss: false, fenced: BTreeSet::new() }
}

#[tokio::test]
async fn a_hint_is_followed_and_remembered() {
    let leader = play(|_, _| Ok(()));
    let address = leader.address.clone();
    let follower = play(move |_, _| Err(elsewhere(&address)));
    // Only the follower is named: the leader is found through it.
    let client = client(&[&follower.address]);
    assert_eq!(client.get_cluster(&orders()).await.unwrap().name, orders());
    client.list_clusters().await.unwrap();
    assert_eq!((follower.calls(), leader.calls()), (1, 2));
}

#[tokio::test]
async fn without_a_hint_everybody_is_asked() {
    let follower = play(|_, _| Err(Refused::NotLeader(None)));
    let (_held, closed) = nobody();
    let leader = play(|_, _| Ok(()));
    let client = client(&[&follower.address, &closed, &leader.address]);
    assert!(client.explain(&orders()).await.is_ok());
}

#[tokio::test]
async fn a_hint_at_a_dead_leader_leads_back_once_another_is_elected() {
    let (_held, dead) = nobody();
    let hint = dead.clone();
    let survivor = play(move |call, _| if call < 3 { Err(elsewhere(&hint)) } else { Ok(()) });
    let client = client(&[&dead, &survivor.address]);
    assert!(client.failover(&failover(false)).await.unwrap().accepted);
    assert_eq!(survivor.calls(), 3);
}

#[tokio::test]
async fn when_nobody_is_there_every_address_is_named_at_once() {
    let ((_one, first), (_two, second)) = (nobody(), nobody());
    let error = client(&[&first, &second]).list_clusters().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no coordinator answered: {first}: connection refused; {second}: connection refused")
    );
}

#[tokio::test]
async fn when_nobody_leads_the_client_gives_up_after_its_time_and_says_so() {
    let follower = play(|_, _| Err(Refused::NotLeader(None)));
    let client = Client::new(vec![follower.address.clone()], patient(250)).unwrap();
    let error = client.list_clusters().await.unwrap_err();
    assert!(matches!(&error, ClientError::NotNow { tried } if tried.len() == 1), "{error}");
    assert!(error.to_string().contains("an election may be under way"), "{error}");
    assert!(follower.calls() > 1);
}

#[tokio::test]
async fn a_refusal_is_final_and_told_word_for_word() {
    let leader = play(|_, _| Err(Refused::NotFound("orders: no such cluster".to_owned())));
    let other = play(|_, _| Ok(()));
    let error = client(&[&leader.address, &other.address]).get_cluster(&orders()).await.unwrap_err();
    assert_eq!(error.to_string(), "orders: no such cluster");
    assert_eq!(other.calls(), 0);
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_not_sent_to_another() {
    let (_listening, silent) = mute().await;
    let leader = play(|_, _| Ok(()));
    let options = ClientOptions { call: Duration::from_millis(200), ..patient(10_000) };
    let client = Client::new(vec![silent.clone(), leader.address.clone()], options.clone()).unwrap();

    let error = client.failover(&failover(false)).await.unwrap_err();
    assert!(matches!(&error, ClientError::OutcomeUnknown { tried } if tried.address == silent), "{error}");
    assert!(error.to_string().contains("may or may not have been carried out"), "{error}");
    assert_eq!(leader.calls(), 0);

    // Where loss was to be accepted, that may be the part that was not.
    assert!(!error.to_string().contains("accepted"), "{error}");
    let lossy = FailoverRequest { accept_loss: true, ..failover(false) };
    let error = Client::new(vec![silent], options).unwrap().failover(&lossy).await.unwrap_err();
    assert!(error.to_string().contains("the same command repeated completes it"), "{error}");

    // Asking what it would do is harmless, and goes on to whoever answers.
    assert!(client.failover(&failover(true)).await.is_ok());
}

#[tokio::test]
async fn what_was_surely_not_carried_out_is_sent_to_another() {
    let (_held, closed) = nobody();
    let leader = play(|_, _| Ok(()));
    assert!(client(&[&closed, &leader.address]).failover(&failover(false)).await.unwrap().accepted);
}

#[tokio::test]
async fn a_relayed_call_is_marked_and_goes_no_further() {
    let leader = play(|_, _| Ok(()));
    let address = leader.address.clone();
    let follower = play(move |_, caller: &Caller| {
        Err(if caller.relayed { elsewhere(&address) } else { Refused::Internal("unmarked".to_owned()) })
    });
    let options = ClientOptions { relayed: true, ..patient(10_000) };
    let client = Client::new(vec![follower.address.clone()], options).unwrap();
    let error = client.list_clusters().await.unwrap_err();
    assert!(matches!(error, ClientError::NotNow { .. }), "{error}");
    assert_eq!((follower.calls(), leader.calls()), (1, 0));
}

#[tokio::test]
async fn addresses_that_are_none_are_refused_before_anything_is_dialled() {
    let made = |addresses: &[&str]| {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        Client::new(addresses, ClientOptions::default()).map(|_| ()).unwrap_err()
    };
    assert_eq!(made(&[]), ClientError::NoAddress);
    for given in ["n1", "n1:", ":7400", "n1:x", "n1:0", "n1:70000", "n 1:7400"] {
        assert_eq!(made(&["10.0.0.1:7400", given]), ClientError::BadAddress { given: given.to_owned() });
    }
}

#[tokio::test]
async fn a_story_goes_on_elsewhere_without_a_line_lost_or_told_twice() {
    goes_on_after(vec![Err(Refused::Unavailable("shutting down".to_owned()))]).await;
    // One that is stopped in good order ends its streams as if the story were over.
    goes_on_after(Vec::new()).await;
}

/// Of entry 7 there are two events; the first teller leaves between them, with these last words.
async fn goes_on_after(last_words: Vec<Result<Event, Refused>>) {
    let all = samples::events();
    let after = |all: &[Event], after: u64| {
        all.iter().filter(|event| event.index > after).cloned().map(Ok).collect::<Vec<_>>()
    };
    let told = all.clone();
    let first = tell(move |request| {
        let mut told = after(&told, request.after);
        told.truncate(1);
        told.extend(last_words.clone());
        told
    });
    let told = all.clone();
    let second = tell(move |request| after(&told, request.after));

    let client = client(&[&first.address, &second.address]);
    let request = EventsRequest { cluster: Some(orders()), after: 3, follow: true };
    let mut stream = client.events(request).await.unwrap();
    assert_eq!(stream.next().await.unwrap().as_ref(), Some(&all[0]));
    drop(first);
    for event in &all[1..] {
        assert_eq!(stream.next().await.unwrap().as_ref(), Some(event));
    }
    assert_eq!(second.script.asked.lock().unwrap()[0].after, 6);
}

#[tokio::test]
async fn who_is_no_member_is_passed_over_and_only_read_where_nobody_is() {
    let outside = || play(|_, _| Err(Refused::NotMember("n4 was removed from the group of n1".to_owned())));
    let (removed, other, member) = (outside(), outside(), play(|_, _| Ok(())));
    let asks = client(&[&removed.address, &member.address]);
    assert!(asks.list_coordinators().await.is_ok());
    // Nothing was done, so what must not be done twice is sent on as well.
    assert!(client(&[&removed.address, &member.address]).failover(&failover(false)).await.unwrap().accepted);

    let error = client(&[&removed.address, &other.address]).list_coordinators().await.unwrap_err();
    assert!(matches!(&error, ClientError::NotMember { tried } if tried.len() == 2), "{error}");
    let line = format!(
        "no coordinator that was asked is a member of the group: {}: n4 was removed from the group of n1; ",
        removed.address
    );
    assert!(error.to_string().starts_with(&line), "{error}");
    assert_eq!((removed.calls(), other.calls()), (3, 1), "waiting would not have helped");
}

#[tokio::test]
async fn a_group_that_is_not_formed_is_said_so_at_once_and_whoever_is_of_one_is_asked_all_the_same() {
    let waits = "the group forms once all its machines answer; missing: n2";
    let alone = play(move |_, _| Err(Refused::NotFormed(waits.to_owned())));
    let (_held, closed) = nobody();
    let error = client(&[&alone.address, &closed]).list_clusters().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the group of coordinators is not formed yet: {}: {waits}; {closed}: connection refused",
            alone.address
        )
    );
    assert_eq!(alone.calls(), 1, "waiting would not have helped");
    let member = play(|_, _| Ok(()));
    assert!(client(&[&alone.address, &member.address]).list_clusters().await.is_ok());
}

/// Callers spawn these.
#[tokio::test]
async fn calls_can_be_spawned() {
    fn can_be_spawned(_: impl Send) {}
    let client = client(&["127.0.0.1:1"]);
    can_be_spawned(client.list_clusters());
    can_be_spawned(client.events(EventsRequest::default()));
    can_be_spawned(client.failover(&failover(true)));
}
