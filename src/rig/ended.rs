//! Being told to end: by a person at the terminal, by whoever supervises, or because the terminal is gone.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// The signals that end a run: Ctrl-C, SIGTERM, and the terminal's end.
pub struct Ended {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Ended {
    /// Hears them from here on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> anyhow::Result<Ended> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Ended {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Ready once one of them came.
    pub async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
