//! In which order one agent said what it said. Messages overtake one another: one that was stuck in a connection, or
//! in the socket of a coordinator that was stopped, is an old word, and an old "stopped" must not look like a dead
//! primary. Whoever asks here knows whether a message is newer than all that was heard of its agent.
//!
//! Within a run of an agent the number decides. Between runs the later start does; should an agent have lost count of
//! its starts, it is heard once the run that it contradicts was silent for long.

use interrex_api::session::Serial;
use interrex_cluster::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// So many replaced runs are remembered; an agent is not restarted more often while a message is on its way.
const REPLACED: usize = 8;

/// The newest word of one agent.
#[derive(Debug)]
pub(crate) struct Voice {
    newest: Serial,
    at: Instant,
    replaced: VecDeque<u64>,
}

impl Voice {
    /// Whoever is heard for the first time is believed to be the present one.
    pub(crate) fn new(serial: Serial, at: Instant) -> Self {
        Self { newest: serial, at, replaced: VecDeque::new() }
    }

    /// Takes note of a message; false when it was overtaken by what was heard before. `patience`: silence after which
    /// an agent that lost count of its starts is heard all the same.
    pub(crate) fn hears(&mut self, serial: Serial, patience: Duration, now: Instant) -> bool {
        if serial.run == self.newest.run {
            if serial.number <= self.newest.number {
                return false;
            }
        } else {
            let later = serial.start >= self.newest.start && !self.replaced.contains(&serial.run);
            if !later && now.since(self.at) < patience {
                return false;
            }
            self.replaced.retain(|run| *run != serial.run);
            self.replaced.push_back(self.newest.run);
            if self.replaced.len() > REPLACED {
                self.replaced.pop_front();
            }
        }
        (self.newest, self.at) = (serial, now);
        true
    }

    /// The listener was away until `now`: silence begins there.
    pub(crate) fn listen_anew(&mut self, now: Instant) {
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(9);

    fn word(start: u64, number: u64) -> Serial {
        Serial { start, run: 0xA000 + start, number }
    }

    #[test]
    fn within_a_run_the_number_decides() {
        let mut voice = Voice::new(word(1, 5), Instant(0));
        assert!(voice.hears(word(1, 7), PATIENCE, Instant(10)));
        assert!(!voice.hears(word(1, 6), PATIENCE, Instant(20)), "overtaken");
        assert!(!voice.hears(word(1, 7), PATIENCE, Instant(60_000)), "the same once more, however late");
    }

    #[test]
    fn a_run_that_was_replaced_is_not_heard_again() {
        let mut voice = Voice::new(word(1, 500), Instant(0));
        assert!(voice.hears(word(2, 1), PATIENCE, Instant(10)));
        assert!(!voice.hears(word(1, 501), PATIENCE, Instant(20)));
        assert!(voice.hears(word(2, 2), PATIENCE, Instant(30)));
    }

    #[test]
    fn an_older_run_that_was_never_heard_does_not_silence_the_present_one() {
        let mut voice = Voice::new(word(3, 1), Instant(0));
        assert!(!voice.hears(word(2, 900), PATIENCE, Instant(10)));
        assert!(voice.hears(word(3, 2), PATIENCE, Instant(20)));
    }

    #[test]
    fn an_agent_that_lost_count_of_its_starts_is_heard_after_a_long_silence() {
        let mut voice = Voice::new(word(7, 40), Instant(0));
        assert!(!voice.hears(word(1, 1), PATIENCE, Instant(8_999)));
        assert!(voice.hears(word(1, 2), PATIENCE, Instant(9_000)));
        assert!(!voice.hears(word(7, 41), PATIENCE, Instant(9_010)), "it was replaced, whatever it counts");
        voice.listen_anew(Instant(60_000));
        assert!(
            !voice.hears(word(7, 42), PATIENCE, Instant(60_010)),
            "silence while nobody listened is none"
        );
    }
}
