//! How long ago a peer last spoke, by this machine's own CLOCK_BOOTTIME.
//!
//! PostgreSQL stamps what a standby answers with the *standby's* wall clock (`reply_time`), and what a receiver hears
//! with its own, which an administrator may set. Neither is ever compared with a clock: a stamp that differs from the
//! one seen before means that somebody spoke since, and from then on the time is ours. What is seen for the first time
//! was heard now; an age is at most one look too short.

use crate::process::{Boottime, boottime_now};
use std::collections::BTreeMap;

/// Who speaks: a process, and the name that it goes by (process ids come back).
pub(super) type Who = (String, String);

/// The last stamp of everybody who was there at the last look.
#[derive(Debug, Default)]
pub(super) struct Heard {
    stamps: BTreeMap<Who, (String, Boottime)>,
}

impl Heard {
    /// Takes in one look at everybody, and gives the milliseconds since each last spoke. Whoever is not among them
    /// is forgotten.
    pub(super) fn look(&mut self, stamps: BTreeMap<Who, String>) -> BTreeMap<Who, u64> {
        self.look_at(stamps, boottime_now())
    }

    fn look_at(&mut self, stamps: BTreeMap<Who, String>, now: Boottime) -> BTreeMap<Who, u64> {
        let before = std::mem::take(&mut self.stamps);
        let since = |who: &Who, stamp: &String| match before.get(who) {
            Some((same, since)) if same == stamp => *since,
            Some(_) | None => now,
        };
        self.stamps = stamps
            .into_iter()
            .map(|(who, stamp)| {
                let at = since(&who, &stamp);
                (who, (stamp, at))
            })
            .collect();
        let age = |at: Boottime| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        self.stamps.iter().map(|(who, (_, at))| (who.clone(), age(*at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(heard: &mut Heard, stamps: &[(&str, &str)], at_ms: u64) -> Vec<u64> {
        let who = |name: &str| (name.to_owned(), "ix_b".to_owned());
        let stamps = stamps.iter().map(|(pid, stamp)| (who(pid), (*stamp).to_owned())).collect();
        heard.look_at(stamps, Boottime::from_ns(at_ms * 1_000_000)).into_values().collect()
    }

    #[test]
    fn an_answer_stamped_by_a_clock_that_is_hours_off_is_as_fresh_as_it_came() {
        let mut heard = Heard::default();
        assert_eq!(look(&mut heard, &[("1", "10:00:00")], 1_000), [0]);
        assert_eq!(look(&mut heard, &[("1", "10:00:01")], 2_000), [0], "it spoke since");
        assert_eq!(look(&mut heard, &[("1", "10:00:01")], 5_500), [3_500], "it has been quiet");
        assert_eq!(
            look(&mut heard, &[("1", "09:00:00")], 6_000),
            [0],
            "its clock was set back, and it spoke"
        );
    }

    #[test]
    fn a_new_process_is_heard_from_its_first_look_on() {
        let mut heard = Heard::default();
        look(&mut heard, &[("1", "a")], 1_000);
        assert_eq!(look(&mut heard, &[("2", "a")], 9_000), [0]);
        assert_eq!(look(&mut heard, &[("1", "a"), ("2", "a")], 10_000), [0, 1_000], "forgotten meanwhile");
    }
}
