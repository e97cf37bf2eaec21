//! Ending the server: fast and bounded, then with everything below it. Gone means the postmaster *and* every backend.

use super::{Done, StepError};
use crate::instance::Instance;
use crate::process::{Running, Sig};
use interrex_cluster::instance::next_step::Stop;
use std::time::Duration;

/// A fast shutdown waits for every connected walsender to take the shutdown checkpoint (F29): one that hangs must not
/// hold up a failover. Clients are gone within its first moments.
const FAST_WITHIN: Duration = Duration::from_millis(2_000);
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
            Stop::Fast => end(&running, FAST_WITHIN).await?,
            Stop::Fence => kill(&running).await?,
        }
        self.forget_process(None).await;
        // Only told now: the server had to end either way.
        signal.map_err(StepError::from)
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
