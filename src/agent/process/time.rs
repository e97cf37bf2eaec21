//! Instants of CLOCK_BOOTTIME to the nanosecond, as the guard counts them: they go on in suspend and mean the same to
//! every process of one machine, and nothing to any other machine.

use std::time::Duration;

use interrex_cluster::time::Instant;

/// An instant of CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boottime(u64);

impl Boottime {
    /// From nanoseconds since boot.
    pub fn from_ns(ns: u64) -> Self {
        Boottime(ns)
    }

    /// Nanoseconds since boot.
    pub fn as_ns(self) -> u64 {
        self.0
    }

    /// This instant, `span` later.
    pub fn plus(self, span: Duration) -> Self {
        Boottime(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Boottime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl From<Instant> for Boottime {
    fn from(instant: Instant) -> Self {
        Boottime(instant.0.saturating_mul(1_000_000))
    }
}

/// Now.
pub fn boottime_now() -> Boottime {
    Boottime(interrex_guard::clock::boottime_ns())
}
