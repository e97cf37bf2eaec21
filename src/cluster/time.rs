//! Time as an argument. An [`Instant`] is a point on the reader's own CLOCK_BOOTTIME, in milliseconds; instants of
//! two machines are never compared. Wall-clock time appears only as [`WallMs`], for display.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A point on one process's own boot clock, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(pub u64);

impl Instant {
    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This instant, `span` later.
    pub fn plus(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds since 1970, by the clock of whoever wrote it. For people; no rule reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallMs(pub u64);

/// Writes a span as people say it: `250 ms`, `3.2 s`.
pub fn span(duration: Duration) -> impl fmt::Display {
    struct Span(Duration);
    impl fmt::Display for Span {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0.as_millis() {
                ms @ 0..1000 => write!(f, "{ms} ms"),
                ms => write!(f, "{}.{} s", ms / 1000, ms % 1000 / 100),
            }
        }
    }
    Span(duration)
}
