//! Waiting for conditions. A condition that never comes true ends the scene with the sentence that says what it was.

use std::time::{Duration, Instant};

/// Far longer than anything takes on a busy machine with debug builds; whoever waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks: short against what is measured, long against what a look costs.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until there is something to see. Gives up after `within`, with the sentence and what `context` adds to it.
pub(crate) async fn eventually<T>(
    within: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
    context: impl FnOnce() -> String,
) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        if Instant::now() >= until {
            panic!("waited {} s for: {what}\n{}", within.as_secs(), context());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
