//! The coordinator apart from the agent: on a thread and a runtime of its own, so that nothing that the agent waits for
//! (a disk that stalls, a proof that takes its time) holds up a vote or a heartbeat. One thread is enough for it: it
//! waits far more than it works, and waking a second one costs more than it brings.

use crate::Failed;
use interrex_coordinator::{Builder, OpenError, RunError};
use std::future::Future;
use tokio::sync::oneshot;

/// A coordinator that is open and takes part.
pub(crate) struct Apart {
    outcome: oneshot::Receiver<Result<(), RunError>>,
}

/// Opens it, and lets it run until `shutdown` resolves or it ends by itself.
pub(crate) async fn begin(
    builder: Builder,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Apart, Failed> {
    let why = |e: std::io::Error| {
        Failed::new(1, format!("start the coordinator's thread: {e}; is a limit too low?"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(why)?;
    let (tell_opened, opened) = oneshot::channel::<Result<(), OpenError>>();
    let (tell_outcome, outcome) = oneshot::channel();
    let work = async move {
        match builder.open().await {
            Ok(coordinator) => {
                // Whoever does not listen any more has ended, and says so by `shutdown`.
                drop(tell_opened.send(Ok(())));
                drop(tell_outcome.send(coordinator.run(shutdown).await));
            }
            Err(error) => drop(tell_opened.send(Err(error))),
        }
    };
    let thread = std::thread::Builder::new().name("coordinator".to_owned());
    thread.spawn(move || runtime.block_on(work)).map_err(why)?;
    match opened.await {
        Ok(Ok(())) => Ok(Apart { outcome }),
        Ok(Err(error)) => Err(Failed::new(1, error)),
        Err(_) => Err(panicked()),
    }
}

impl Apart {
    /// Waits until it has ended: with its leadership handed away and its log closed, or by itself, and why.
    pub(crate) async fn ended(self) -> Result<(), Failed> {
        match self.outcome.await {
            Ok(outcome) => outcome.map_err(|e| Failed::new(1, e)),
            Err(_) => Err(panicked()),
        }
    }
}

/// A bug; the panic was printed where it happened.
fn panicked() -> Failed {
    Failed::new(
        1,
        "the coordinator's thread panicked; the node ends, PostgreSQL stays under its guard: start it again",
    )
}
