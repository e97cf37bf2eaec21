//! What time it is: by the boot clock, which ages are counted on, and by the wall clock, which is for people.

use rustix::time::{ClockId, clock_gettime};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds on CLOCK_BOOTTIME: never steps, and goes on while the machine is suspended.
    fn boot_ms(&self) -> u64;

    /// Milliseconds since 1970 by the wall clock, which may step. For display alone.
    fn wall_ms(&self) -> u64;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot_ms(&self) -> u64 {
        millis(ClockId::Boottime)
    }

    fn wall_ms(&self) -> u64 {
        millis(ClockId::Realtime)
    }
}

/// A wall clock before 1970 reads as 1970.
fn millis(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_never_goes_back_and_the_wall_clock_is_past_2020() {
        let earlier = SystemClock.boot_ms();
        assert!(SystemClock.boot_ms() >= earlier);
        assert!(SystemClock.wall_ms() > 1_577_836_800_000);
    }
}
