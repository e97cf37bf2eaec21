//! The end of an agent that is told to end: PostgreSQL ends with it, in good order and as a standby.
//!
//! What a shutdown would write is written before it, while the server still serves. Lines and leases last until the
//! server is gone: a guard ends one past its deadline, whatever that is in the middle of.

use crate::agent::AgentError;
use crate::instance::Instance;
use crate::postgres::{Server, knock};
use crate::process::{Running, find};
use crate::steps::stop_for_good;
use std::time::Duration;
use tokio::time::timeout;

/// A server that is later with an answer hangs, and is not asked for a checkpoint.
const ANSWERS_WITHIN: Duration = Duration::from_millis(1_500);
/// For a primary's checkpoint, during which it serves on. Past it the server is stopped all the same.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60);
/// For the server to end, killing it included.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// A primary's checkpoint: its clients wait for a new primary from the moment on that it is told to stop, and its
/// shutdown checkpoint would take as long then as this one does now.
pub(crate) async fn write_what_a_stop_would(instance: &Instance) {
    let serves = instance.keeper.held().await.deadline.is_some();
    if !serves || !knock(&instance.server.layout().listen, ANSWERS_WITHIN).await {
        return;
    }
    let cluster = &instance.config.cluster;
    tracing::info!(%cluster, "the agent is to end: PostgreSQL serves on until it is checkpointed, and is stopped then");
    if let Err(error) = instance.server.checkpoint(WRITTEN_WITHIN).await {
        tracing::warn!(%cluster, "PostgreSQL is stopped without a checkpoint before: {error}");
    }
}

/// Stops whatever server runs under a guard, also one that an interrupted step had only just started.
pub(crate) async fn stop_all(name: &str, instance: &Instance) -> Result<(), AgentError> {
    let running = match instance.running() {
        Some(running) => Some(running),
        None => find(&instance.rooms.guard_socket()).await.unwrap_or_else(|error| {
            tracing::warn!(cluster = %instance.config.cluster, "it cannot be told whether PostgreSQL runs: {error}");
            None
        }),
    };
    stop_in_good_order(name, &instance.server, running).await
}

/// Stops a server, if there is one; it comes up as a standby, whoever starts it next.
pub(crate) async fn stop_in_good_order(
    name: &str,
    server: &Server,
    running: Option<Running>,
) -> Result<(), AgentError> {
    let Some(running) = running else { return Ok(()) };
    let signal = server.put_standby_signal().await;
    let stopped = timeout(ENDED_WITHIN, stop_for_good(&running)).await;
    signal.map_err(|source| AgentError::Postgres { instance: name.to_owned(), source })?;
    match stopped {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(AgentError::Unguarded { instance: name.to_owned(), why: error.to_string() }),
        Err(_) => {
            let why = "PostgreSQL did not end; its guard goes on".to_owned();
            Err(AgentError::Unguarded { instance: name.to_owned(), why })
        }
    }
}
