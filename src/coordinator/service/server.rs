//! The one gRPC server of a coordinator: the log's own service, agents, operators, health and reflection.

use super::accept::{Entrance, connections};
use super::admin::Admin;
use super::gate::{Door, Gate};
use super::health;
use super::relay::Relays;
use super::session::Session;
use crate::OpenError;
use crate::core::Core;
use interrex_api::serve::{admin_service, session_service};
use interrex_api::{FILE_DESCRIPTOR_SET, HEALTH_FILE_DESCRIPTOR_SET};
use interrex_tls::Tls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

/// A peer that answers no ping for so long is gone, and so are its streams.
const PING: Duration = Duration::from_secs(2);
/// No call lasts longer before its answer begins. Handlers are stricter; the longest is a raft member's return.
const CALL: Duration = Duration::from_secs(70);
/// Calls under way on one connection.
const CALLS_AT_ONCE: usize = 256;
/// The largest message of an agent or an operator.
const MAX_MESSAGE: usize = 1 << 20;

/// Takes the port.
pub(crate) async fn bind(listen: SocketAddr) -> Result<Entrance, OpenError> {
    let bound = TcpListener::bind(listen).await;
    bound.map(Entrance::Port).map_err(|source| OpenError::Listen { listen, source })
}

/// Serves until the coordinator is to end, and then lets calls under way finish.
pub(crate) async fn serve(
    core: Arc<Core>,
    relays: Arc<Relays>,
    gate: Arc<Gate>,
    tls: Option<Tls>,
    entrance: Entrance,
) -> Result<(), String> {
    let session = Session::new(core.clone(), gate.guarded);
    let session = session_service(Arc::new(session)).max_decoding_message_size(MAX_MESSAGE);
    let admin = Admin { core: core.clone(), relays };
    let admin = admin_service(Arc::new(admin)).max_decoding_message_size(MAX_MESSAGE);
    let (reporter, health_service) = tonic_health::server::health_reporter();
    health::begin(&reporter).await;
    // Some tools ask in the older words only.
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(HEALTH_FILE_DESCRIPTOR_SET)
    };
    let unreflected = |e| format!("set up gRPC reflection: {e}");
    let reflection_v1 = reflection().build_v1().map_err(unreflected)?;
    let reflection_v1alpha = reflection().build_v1alpha().map_err(unreflected)?;
    let served = Server::builder()
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .concurrency_limit_per_connection(CALLS_AT_ONCE)
        .timeout(CALL)
        .add_service(InterceptedService::new(core.node.service(), gate.at(Door::Members)))
        .add_service(InterceptedService::new(session, gate.at(Door::Agents)))
        .add_service(InterceptedService::new(admin, gate.at(Door::Operators)))
        .add_service(InterceptedService::new(health_service, gate.at(Door::Anybody)))
        .add_service(InterceptedService::new(reflection_v1, gate.at(Door::Operators)))
        .add_service(InterceptedService::new(reflection_v1alpha, gate.at(Door::Operators)))
        .serve_with_incoming_shutdown(connections(entrance, tls, core.cut.subscribe()), core.ended());
    let served = tokio::select! {
        biased;
        served = served => served,
        never = health::follow(core.clone(), reporter) => match never {},
    };
    served.map_err(|e| format!("serve gRPC: {e}"))
}
