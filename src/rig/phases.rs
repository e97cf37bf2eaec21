//! The parts of an outage, read off the story that the coordinators tell: the same for the demo, the bench and the chaos
//! runs.

use interrex_cluster::event::Event;
use interrex_cluster::ids::Epoch;
use interrex_ledger::{monotonic_ms, wall_ms};
use serde::Serialize;

/// One moment by both clocks: events are dated by the wall's, the ledger by `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub wall_ms: u64,
    /// `CLOCK_MONOTONIC` milliseconds.
    pub mono_ms: u64,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Moment {
        Moment { wall_ms: wall_ms(), mono_ms: monotonic_ms() }
    }

    /// A date of an event as `CLOCK_MONOTONIC` milliseconds, if no wall clock was set meanwhile.
    #[must_use]
    pub fn monotonic(&self, event: &Event) -> u64 {
        (self.mono_ms + event.at.0).saturating_sub(self.wall_ms)
    }
}

/// The parts of an outage, in their order. Absent: the event that ends it was not told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Phases {
    /// From the strike until a new epoch began.
    pub detect_ms: Option<u64>,
    /// Until the last seal before the election.
    pub seal_ms: Option<u64>,
    /// Until the election.
    pub elect_ms: Option<u64>,
    /// Until the promotion was in the record.
    pub promote_ms: Option<u64>,
    /// Until the writer's first acknowledgement.
    pub first_commit_ms: Option<u64>,
}

impl Phases {
    /// Reads them from the events of the reigns after `old_epoch`.
    #[must_use]
    pub fn read(
        events: &[Event],
        old_epoch: Epoch,
        epoch: Epoch,
        struck: Moment,
        first_ack_mono_ms: u64,
    ) -> Phases {
        let newer = |event: &&Event| event.epoch > old_epoch;
        let at = |event: &Event| event.at.0;
        let begins = |event: &&Event| matches!(event.kind.as_str(), "failover-begun" | "handing-over");
        let begun = events.iter().filter(newer).find(begins).map(at);
        let of_reign = |kind: &'static str| {
            let wanted = move |event: &&Event| event.epoch == epoch && event.kind == kind;
            events.iter().filter(wanted)
        };
        let election = of_reign("elected").next();
        let before_election = |event: &&Event| election.is_none_or(|election| event.index < election.index);
        let sealed = of_reign("sealed").rfind(before_election).map(at);
        let elected = election.map(at);
        let promoted = of_reign("promoted").next().map(at);
        let first_ack = Some(struck.wall_ms + first_ack_mono_ms.saturating_sub(struck.mono_ms));
        let span = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?));
        Phases {
            detect_ms: span(Some(struck.wall_ms), begun),
            seal_ms: span(begun, sealed),
            elect_ms: span(sealed, elected),
            promote_ms: span(elected, promoted),
            first_commit_ms: span(promoted, first_ack),
        }
    }

    /// A line each; `planned`: nothing was killed.
    pub fn lines(&self, planned: bool) -> Vec<String> {
        let begun = match planned {
            true => "its checkpoint was made and a new epoch began",
            false => "the kill was noticed and a new epoch began",
        };
        let ends = [
            begun,
            "enough standbys refuse the old primary",
            "the one that holds most was chosen",
            "it is primary, on a timeline of its own",
            "the writer has its first acknowledgement",
        ];
        let line = |((name, ms), what): ((&str, Option<u64>), &str)| match ms {
            Some(ms) => format!("  {name:<13}{ms:>6} ms  {what}"),
            None => format!("  {name:<13}     - ms  not told"),
        };
        self.named().into_iter().zip(ends).map(line).collect()
    }

    /// The first phase whose end was not told.
    pub fn untold(&self) -> Option<&'static str> {
        self.named().into_iter().find_map(|(name, ms)| ms.is_none().then_some(name))
    }

    /// By name, in their order.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<u64>); 5] {
        [
            ("detect", self.detect_ms),
            ("seal", self.seal_ms),
            ("elect", self.elect_ms),
            ("promote", self.promote_ms),
            ("first commit", self.first_commit_ms),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::time::WallMs;

    fn event(index: u64, at: u64, epoch: u32, kind: &str) -> Event {
        let cluster = "demo".parse().unwrap();
        Event {
            index,
            at: WallMs(at),
            cluster,
            epoch: Epoch(epoch),
            kind: kind.to_owned(),
            text: String::new(),
        }
    }

    fn struck() -> Moment {
        Moment { wall_ms: 100_000, mono_ms: 7_000 }
    }

    #[test]
    fn phases_follow_one_another_from_the_kill_to_the_first_acknowledgement() {
        let events = [
            event(3, 50_000, 2, "elected"),
            event(4, 51_000, 2, "promoted"),
            event(7, 100_600, 3, "failover-begun"),
            event(8, 100_640, 3, "sealed"),
            event(9, 100_650, 3, "sealed"),
            event(10, 100_660, 3, "elected"),
            event(11, 100_900, 3, "promoted"),
            event(12, 100_950, 3, "opened"),
            event(13, 103_000, 3, "sealed"),
        ];
        let phases = Phases::read(&events, Epoch(2), Epoch(3), struck(), 8_000);
        let expected = Phases {
            detect_ms: Some(600),
            seal_ms: Some(50),
            elect_ms: Some(10),
            promote_ms: Some(240),
            first_commit_ms: Some(100),
        };
        assert_eq!(phases, expected);
    }

    #[test]
    fn with_two_epochs_in_one_outage_detection_ends_with_the_first() {
        let events = [
            event(7, 100_600, 3, "failover-begun"),
            event(8, 100_700, 3, "sealed"),
            event(9, 101_000, 4, "failover-begun"),
            event(10, 101_100, 4, "sealed"),
            event(11, 101_110, 4, "elected"),
        ];
        let phases = Phases::read(&events, Epoch(2), Epoch(4), struck(), 9_000);
        assert_eq!((phases.detect_ms, phases.seal_ms, phases.elect_ms), (Some(600), Some(500), Some(10)));
        assert_eq!((phases.promote_ms, phases.first_commit_ms), (None, None));
        assert!(phases.lines(false)[3].contains("not told"), "{:?}", phases.lines(false));
    }
}
