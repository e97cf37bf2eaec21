//! Where a primary's WAL ended when: what tells for how long a standby has been behind, by one clock.
//!
//! PostgreSQL's own `replay_lag` stands still while a standby replays nothing, and the age of the last replayed commit
//! grows where nobody writes, and compares two machines' clocks.

use crate::process::Boottime;
use interrex_cluster::wal::Lsn;

/// So many ends are kept: a minute and more of looks, and of a longer time every second one, again and again.
const KEPT: usize = 512;

/// The ends of WAL that were seen, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ends(Vec<(Lsn, Boottime)>);

impl Ends {
    /// Takes in one look, which is now: WAL is flushed up to `end`, and everybody replayed up to `replayed` at least.
    pub(super) fn look(&mut self, end: Lsn, replayed: Lsn, now: Boottime) {
        // WAL that ends earlier than it did is another server's.
        if self.0.last().is_some_and(|(last, _)| end < *last) {
            self.0.clear();
        }
        self.0.retain(|(seen, _)| *seen > replayed);
        if self.0.last().is_none_or(|(last, _)| end > *last) {
            self.0.push((end, now));
        }
        if self.0.len() > KEPT {
            let mut number = 0;
            // The oldest stays: nobody has been behind for longer.
            self.0.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// Milliseconds since there has been WAL beyond what was replayed; 0: there is none. Too short by a look at most.
    pub(super) fn behind_ms(&self, replayed: Lsn, now: Boottime) -> u64 {
        let first = self.0.iter().find(|(end, _)| *end > replayed);
        let since = first.map(|(_, at)| now.since(*at)).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Boottime {
        Boottime::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_standby_is_behind_since_there_was_more_than_it_replayed() {
        let mut ends = Ends::default();
        ends.look(Lsn(100), Lsn(90), at(1_000));
        ends.look(Lsn(200), Lsn(90), at(2_000));
        ends.look(Lsn(200), Lsn(90), at(9_000));
        assert_eq!(ends.behind_ms(Lsn(200), at(9_000)), 0, "it has all, however long nobody wrote");
        assert_eq!(ends.behind_ms(Lsn(150), at(9_000)), 7_000);
        assert_eq!(ends.behind_ms(Lsn(90), at(9_000)), 8_000);
    }

    #[test]
    fn what_everybody_replayed_is_forgotten_and_so_is_another_server_s_wal() {
        let mut ends = Ends::default();
        ends.look(Lsn(100), Lsn(0), at(1_000));
        ends.look(Lsn(200), Lsn(100), at(2_000));
        assert_eq!(ends.0, [(Lsn(200), at(2_000))]);
        ends.look(Lsn(50), Lsn(40), at(3_000));
        assert_eq!(ends.0, [(Lsn(50), at(3_000))]);
    }

    #[test]
    fn a_standby_that_stands_still_for_days_costs_no_more_than_one_for_a_minute() {
        let mut ends = Ends::default();
        for look in 1..=100_000 {
            ends.look(Lsn(look), Lsn(0), at(look * 250));
        }
        assert!(ends.0.len() <= KEPT);
        assert_eq!(ends.behind_ms(Lsn(0), at(25_000_000)), 24_999_750);
    }
}
