//! Things that are slow for a while: a machine whose processors others use, a disk that others wear out. What takes long
//! because of it goes on at full speed once that is over: a delay that was drawn while it lasted must not outlast it, or a
//! second of slowness would hold up a process for minutes.

use crate::world::{MS, Time};

/// How slow something is, and until when.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slowness {
    times: u64,
    until: Time,
}

impl Slowness {
    /// From `now` on, for `ms`, everything takes so many times as long. The last word on it counts.
    pub(crate) fn begins(&mut self, now: Time, times: u64, ms: u64) {
        *self = Self { times, until: now + ms * MS };
    }

    pub(crate) fn ends(&mut self) {
        *self = Self::default();
    }

    /// How long something lasts from `now` on that takes `work` otherwise.
    pub(crate) fn lasts(&self, now: Time, work: Time) -> Time {
        let times = self.times.max(1);
        let left = self.until.saturating_sub(now);
        let done = left / times;
        if work <= done { work * times } else { left + (work - done) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::S;

    #[test]
    fn what_is_not_done_while_it_is_slow_goes_on_at_full_speed() {
        let mut slow = Slowness::default();
        assert_eq!(slow.lasts(S, 3 * S), 3 * S, "nothing is slow");
        slow.begins(S, 40, 2_000);
        assert_eq!(slow.lasts(S, 10 * MS), 400 * MS, "all of it is done slowly");
        assert_eq!(
            slow.lasts(S, 3 * S),
            2 * S + 2_950 * MS,
            "50 ms of it are done in two seconds, the rest after them"
        );
        assert_eq!(slow.lasts(4 * S, 3 * S), 3 * S, "it is over");
    }
}
