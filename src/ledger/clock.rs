//! The two clocks of a ledger: the monotonic one, by which everything is measured, and the wall clock, which only
//! anchors a file in the calendar. Monotonic readings are comparable between all processes of one boot, so a test
//! that noted when it killed a server may compare that instant with the writer's.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in milliseconds since an arbitrary start, the same for every process of this boot.
#[must_use]
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanoseconds / 1_000_000
}

/// The wall clock in milliseconds since 1970; 0 when the machine believes in an earlier year.
#[must_use]
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
