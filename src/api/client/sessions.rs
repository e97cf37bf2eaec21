//! Scenes of an agent's line to one coordinator.

use super::testing::{elsewhere, mute, nobody, play};
use super::{ClientError, ClientOptions, SessionClient};
use crate::convert::samples;
use crate::pb;
use crate::refused::Refused;
use crate::session::{RegisterRequest, Registered, ReportRequest, Serial, WatchRequest};
use interrex_cluster::ids::{ClusterName, DirectoryId, Epoch};
use std::time::Duration;

fn orders() -> ClusterName {
    "orders".parse().unwrap()
}

fn line(address: &str) -> SessionClient {
    let call = Duration::from_millis(2_000);
    SessionClient::new(address, ClientOptions { call, ..ClientOptions::default() }).unwrap()
}

fn report() -> ReportRequest {
    ReportRequest {
        cluster: orders(),
        report: samples::reports().remove(0),
        wants_lease: Some(Epoch(8)),
        serial: Serial::default(),
        age: Duration::ZERO,
        knows: None,
    }
}

fn watch() -> WatchRequest {
    WatchRequest {
        cluster: orders(),
        instance: samples::instance("n1"),
        directory: DirectoryId("0b8e".to_owned()),
    }
}

#[tokio::test]
async fn an_agent_registers_reports_and_gets_its_lease() {
    let coordinator = play(|_, _| Ok(()));
    let line = line(&coordinator.address);
    let (registration, serial) = (samples::registration(), Serial::default());
    let request = RegisterRequest { cluster: orders(), registration, serial, obeyed: None };
    let why = "unknown cluster: interrex create orders".to_owned();
    assert_eq!(line.register(&request).await, Ok(Registered::Waiting { why, roster: None }));
    assert_eq!(line.report(&report()).await.unwrap().lease.unwrap().epoch, Epoch(8));
}

#[tokio::test]
async fn a_refusal_keeps_its_hint() {
    let follower = play(|_, _| Err(elsewhere("10.0.0.2:7400")));
    let refused = line(&follower.address).report(&report()).await.unwrap_err();
    let expected =
        ClientError::Refused { address: follower.address.clone(), refused: elsewhere("10.0.0.2:7400") };
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn the_goal_comes_at_once_and_a_coordinator_that_is_gone_breaks_the_stream() {
    let coordinator = play(|_, _| Ok(()));
    let mut updates = line(&coordinator.address).watch(&watch()).await.unwrap();
    let first = updates.next().await.unwrap().unwrap();
    assert_eq!(first.goal, Some(samples::goals().remove(0)));
    // Signs of life are not shown: nothing comes for longer than one takes.
    let quiet = tokio::time::timeout(Duration::from_millis(1_200), updates.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    drop(coordinator);
    let broken = updates.next().await.unwrap_err();
    assert!(matches!(broken, ClientError::NoAnswer { .. }), "{broken}");
}

#[tokio::test]
async fn a_report_to_nobody_or_to_a_mute_ends_with_the_address_and_the_reason() {
    let (_held, closed) = nobody();
    let error = line(&closed).report(&report()).await.unwrap_err();
    let text = format!("no coordinator answered: {closed}: connection refused");
    assert_eq!(error.to_string(), text);

    let (_listening, silent) = mute().await;
    let options = ClientOptions { call: Duration::from_millis(150), ..ClientOptions::default() };
    let error = SessionClient::new(&silent, options).unwrap().report(&report()).await.unwrap_err();
    let text = format!("no coordinator answered: {silent}: no answer within 150 ms");
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_is_refused_with_the_field_and_never_reaches_the_handler() {
    let coordinator = play(|_, _| Ok(()));
    let channel = super::channel::channel(&coordinator.address, &ClientOptions::default()).unwrap();
    let request = pb::ReportRequest { cluster: "Orders".to_owned(), ..Default::default() };
    let status = pb::session_client::SessionClient::new(channel).report(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let refused = Refused::from_status(&status).unwrap().to_string();
    assert!(refused.starts_with("the request cannot be read: cluster: 'Orders' is not a name"), "{refused}");
    assert_eq!(coordinator.calls(), 0);
}
