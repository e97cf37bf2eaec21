//! What a load balancer is told by the standard health service: whether this coordinator can bring a question to whoever
//! leads. `""` and the log's own service say only that the process serves.

use crate::core::Core;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// What needs a group with a leader.
const NEED_A_LEADER: [&str; 2] = ["interrex.v1.Admin", "interrex.v1.Session"];
/// What needs nobody else.
const NEED_NOBODY: [&str; 2] = ["", "interrex.v1.Raft"];
/// Between looks: nothing tells that a leader has fallen silent.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Before anybody may ask: everything is served that needs nobody else.
pub(super) async fn begin(health: &HealthReporter) {
    for service in NEED_NOBODY {
        health.set_service_status(service, ServingStatus::Serving).await;
    }
    tell(health, false).await;
}

/// Keeps the answer true; once the coordinator is to end, it says so and is silent. Whoever serves ends it.
pub(super) async fn follow(core: Arc<Core>, mut health: HealthReporter) -> Infallible {
    let mut leadership = core.node.leadership();
    let mut told = false;
    loop {
        let serves = core.node.in_touch() && core.node.outside().is_none();
        if serves != told {
            tell(&health, serves).await;
            told = serves;
        }
        tokio::select! {
            () = core.ended() => break,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            changed = leadership.changed() => if changed.is_err() {
                break;
            },
        }
    }
    tell(&health, false).await;
    // Whoever watches would hold its connection, and with that the end of the server, for as long as it likes.
    for service in NEED_A_LEADER.into_iter().chain(NEED_NOBODY) {
        health.clear_service_status(service).await;
    }
    std::future::pending().await
}

async fn tell(health: &HealthReporter, serves: bool) {
    let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in NEED_A_LEADER {
        health.set_service_status(service, status).await;
    }
}
