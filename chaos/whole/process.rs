//! A process: one runtime on a paused clock, which moves only when the world lets it. Killed, it is gone at its last
//! await, with all its tasks, and its connections are closed, as the kernel would; stopped, it does nothing, and finds
//! its clocks moved when it goes on.

use std::time::Duration;
use tokio::runtime::{Builder, RngSeed, Runtime};
use tokio::time::{advance, sleep};

/// A process that runs, or is stopped.
pub(crate) struct Process {
    runtime: Runtime,
    /// How much of the world's time it has yet to notice, in milliseconds.
    missed: u64,
}

impl Process {
    /// A new one; `seed` is for what tokio itself draws.
    #[expect(
        clippy::expect_used,
        reason = "a runtime without I/O and threads takes nothing that could be missing"
    )]
    pub(crate) fn new(seed: u64) -> Self {
        let mut builder = Builder::new_current_thread();
        let builder =
            builder.enable_time().start_paused(true).rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()));
        Self { runtime: builder.build().expect("a runtime of memory alone"), missed: 0 }
    }

    /// Begins something in it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }

    /// Lets so much time pass in it.
    pub(crate) fn step(&mut self, ms: u64) {
        let missed = std::mem::take(&mut self.missed);
        self.runtime.block_on(async {
            if missed > 0 {
                advance(Duration::from_millis(missed)).await;
            }
            // On a paused clock: whatever is due within it is done, and nobody waits.
            sleep(Duration::from_millis(ms)).await;
        });
    }

    /// So much time passes, and it is stopped.
    pub(crate) fn miss(&mut self, ms: u64) {
        self.missed += ms;
    }
}
