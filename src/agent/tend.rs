//! Keeping one instance going, whatever becomes of it: what one of them cannot go on with (a damaged state file,
//! somebody else's data in its directory, a guard that does not answer) is that one's trouble. It is logged once, told
//! to the coordinators in words, and tried again with growing patience, until the agent is to end. The machine's other
//! instances hear nothing of it.
//!
//! Nothing is proved meanwhile: the report names no copy, so that it counts for nothing. PostgreSQL, if it runs, is
//! left to its guard, who ends it with its lease.

use crate::agent::{AgentError, run_instance, stopped};
use crate::config::{AgentConfig, InstanceConfig};
use crate::handle::Desk;
use crate::session::now;
use crate::switchboard::Switchboard;
use crate::told::Outgoing;
use futures::FutureExt as _;
use interrex_cluster::report::{Report, Server};
use interrex_cluster::time::Instant;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Before an instance is tried again for the first time; doubled with each further failure.
const FIRST_PATIENCE: Duration = Duration::from_millis(250);
/// An operator who has put something right waits at most so long.
const MOST_PATIENCE: Duration = Duration::from_secs(15);
/// An instance that went on for so long was well: its next trouble is a new one.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// Runs an instance until the agent is to end.
///
/// # Errors
/// What it could not go on with when the agent was to end.
pub(crate) async fn tend(
    agent: Arc<AgentConfig>,
    config: InstanceConfig,
    desk: Arc<Desk>,
    switchboard: Switchboard,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let mut trouble: Option<(String, Instant)> = None;
    let mut patience = FIRST_PATIENCE;
    loop {
        let began = now();
        let run =
            run_instance(agent.clone(), config.clone(), desk.clone(), switchboard.clone(), stopping.clone());
        // Its tasks end with it, so that nothing half changed is seen by the next try; what lasts is on disk.
        let ended = AssertUnwindSafe(run).catch_unwind().await;
        let error = match ended {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => {
                let (instance, why) =
                    (format!("{} of {}", config.name, config.cluster), "it panicked".to_owned());
                AgentError::Broken { instance, why }
            }
        };
        if *stopping.borrow() {
            return Err(error);
        }
        if now().since(began) >= WELL_AFTER {
            (trouble, patience) = (None, FIRST_PATIENCE);
        }
        let why = error.to_string();
        desk.note(format!("not tended: {why}"));
        if trouble.as_ref().is_none_or(|(known, _)| *known != why) {
            tracing::error!(
                cluster = %config.cluster, instance = %config.name,
                "{}this instance is not tended: {why}; it is tried again and again, other instances go on",
                agent.written.file()
            );
        }
        let since = trouble.map_or(began, |(_, since)| since);
        tokio::select! {
            () = complain(&agent, &config, &desk, &switchboard, &why, since) => {}
            () = sleep(patience) => {}
            () = stopped(&mut stopping) => return Err(error),
        }
        trouble = Some((why, since));
        patience = (patience * 2).min(MOST_PATIENCE);
    }
}

/// Tells every coordinator what is wrong, for ever.
async fn complain(
    agent: &AgentConfig,
    config: &InstanceConfig,
    desk: &Desk,
    switchboard: &Switchboard,
    why: &str,
    since: Instant,
) {
    let outgoing = || {
        let for_ms = u64::try_from(now().since(since).as_millis()).unwrap_or(u64::MAX);
        let words = format!("not tended: {why}");
        let report = Report {
            doing: Some(words.clone()),
            // Nor can it be said what lies in its directory, should that be waited for.
            unseen: Some(words),
            stale_coordinators: switchboard.coordinators.stale(),
            ..Report::of(config.name.clone(), agent.directory.clone(), Server::Silent { for_ms, why: None })
        };
        Some(Outgoing { report, wants_lease: None, seen: now() })
    };
    let (lines, ends) = switchboard.lines(config.cluster.clone());
    desk.follow(&ends.report);
    let refresh = async {
        loop {
            ends.report.send_replace(outgoing());
            sleep(agent.policy.heartbeat).await;
        }
    };
    tokio::join!(lines.speak(), refresh);
}

#[cfg(test)]
mod tests;
