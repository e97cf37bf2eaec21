//! Ending the server: fast and bounded, then with everything below it. Gone means the postmaster *and* every backend.

use super::{Done, StepError};
use crate::instance::Instance;
use crate::postgres::ControlState;
use crate::process::{Running, Sig};
use interrex_cluster::instance::next_step::Stop;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Clients are gone within the first moments of a fast shutdown; what may take long is its checkpoint.
const FAST_WITHIN: Duration = Duration::from_millis(2_000);
/// After its checkpoint a fast shutdown waits for every connected walsender to deliver it (F29). A standby that is well
/// takes milliseconds; one that hangs must not hold up a change of primary.
const DELIVERED_WITHIN: Duration = Duration::from_millis(700);
/// Between looks at whether the checkpoint is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The same when nobody waits for it.
const AT_LEISURE_WITHIN: Duration = Duration::from_secs(8);
/// What the kernel may take to end killed processes.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

impl Instance {
    pub(super) async fn stop(&self, how: Stop, why: &str) -> Done {
        let Some(running) = self.running() else { return Ok(()) };
        tracing::info!(cluster = %self.config.cluster, "PostgreSQL is being stopped: {why}");
        // Whoever starts it next, and however: it comes up as a standby.
        let signal = self.server.put_standby_signal().await;
        match how {
            Stop::Fast => self.end_fast(&running).await?,
            Stop::Fence => kill(&running).await?,
        }
        self.forget_process(None).await;
        // Only told now: the server had to end either way.
        signal.map_err(StepError::from)
    }

    /// In good order, as long as that makes progress: the data directory is clean once `pg_control` says so, and then
    /// nothing is lost by cutting short who still waits for a standby.
    pub(super) async fn end_fast(&self, running: &Running) -> Done {
        let delivered = async {
            let mut clean_since: Option<Instant> = None;
            loop {
                sleep(LOOK_AGAIN).await;
                let clean = matches!(
                    self.server.control_data().await.map(|control| control.state),
                    Ok(ControlState::ShutDown | ControlState::ShutDownInRecovery)
                );
                clean_since = clean.then(|| clean_since.unwrap_or_else(Instant::now));
                if clean_since.is_some_and(|since| since.elapsed() >= DELIVERED_WITHIN) {
                    return;
                }
            }
        };
        tokio::select! {
            ended = end(running, FAST_WITHIN) => ended,
            () = delivered => kill(running).await,
        }
    }
}

/// The end of the agent itself: PostgreSQL is stopped in good order.
pub(crate) async fn stop_for_good(running: &Running) -> Done {
    end(running, AT_LEISURE_WITHIN).await
}

async fn end(running: &Running, within: Duration) -> Done {
    let _ = running.signal(Sig::Fast); // an ended one is told by `gone`
    match tokio::time::timeout(within, running.gone()).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) | Err(_) => kill(running).await,
    }
}

async fn kill(running: &Running) -> Done {
    let _gone = running.fence(KILLED_WITHIN).await?;
    Ok(())
}
