//! CLOCK_BOOTTIME, the only clock of the guard and its clients: it goes on while the machine is suspended, so a
//! machine that wakes up late finds its deadline already past, and it is the same for every process of the machine.

use rustix::fd::{AsFd, OwnedFd};
use rustix::io;
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds since the machine was booted, time in suspend included.
pub fn boottime_ns() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Boottime);
    // Both parts are never negative on this clock; a kernel that says otherwise yields 0 rather than a panic.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * NANOS_PER_SECOND + nanos
}

/// A timer that becomes readable at an instant of [`boottime_ns`].
pub(crate) struct Alarm(OwnedFd);

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        rustix::time::timerfd_create(TimerfdClockId::Boottime, flags).map(Self)
    }

    /// Rings at `at_ns` (at once when that is past), or never. Setting it also clears an earlier ring.
    pub(crate) fn set(&self, at_ns: Option<u64>) -> io::Result<()> {
        // The kernel reads 0 as 'disarm', so the earliest instant that can be asked for is 1.
        let at = at_ns.map_or(0, |ns| ns.max(1));
        let value = Timespec {
            tv_sec: i64::try_from(at / NANOS_PER_SECOND).unwrap_or(i64::MAX),
            tv_nsec: (at % NANOS_PER_SECOND) as _,
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: never, it_value: value };
        rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &spec).map(|_| ())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
