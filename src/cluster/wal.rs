//! Places in the write-ahead log: LSNs, timelines, positions, and the ancestry that makes positions comparable.
//!
//! Instances are compared by [`Position`], never by LSN alone (F19): a lagging branch can have the larger LSN.
//! Because a timeline bears the number of the epoch that opened it (F20), a higher timeline is a later reign.

use crate::mutants::{self, Mutant};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A byte position in the WAL, written `hi/lo` in hex as PostgreSQL does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Bytes from `earlier` to here; zero when `earlier` lies ahead.
    pub fn bytes_since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF))
    }
}

/// Text that should have been a WAL position or a timeline history, and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: got '{given}'")]
pub struct BadWal {
    what: &'static str,
    given: String,
}

impl BadWal {
    fn new(what: &'static str, given: &str) -> Self {
        Self { what, given: given.to_owned() }
    }
}

impl FromStr for Lsn {
    type Err = BadWal;
    fn from_str(text: &str) -> Result<Self, BadWal> {
        let bad = || BadWal::new("expected an LSN such as 0/3000060", text);
        let (high, low) = text.split_once('/').ok_or_else(bad)?;
        let half = |digits: &str| u32::from_str_radix(digits, 16).map_err(|_| bad());
        Ok(Lsn(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

/// A timeline number. Equal to the epoch that opened it; 1 is initdb's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimelineId(pub u32);

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an instance holds durably: the timeline of its newest WAL record, and the end of that record.
/// The order is the order of reigns first, of bytes second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Timeline of the newest WAL record held.
    pub timeline: TimelineId,
    /// Durable end of WAL on that timeline.
    pub lsn: Lsn,
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        if mutants::on(Mutant::PositionByEpoch) {
            return self.lsn.cmp(&other.lsn);
        }
        (self.timeline, self.lsn).cmp(&(other.timeline, other.lsn))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on timeline {}", self.lsn, self.timeline)
    }
}

/// One line of a history: the timeline ended, for the branch at hand, at `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// The ancestor's number.
    pub timeline: TimelineId,
    /// Where the next timeline branched off.
    pub end: Lsn,
}

/// The ancestry of one timeline, oldest ancestor first, as a `.history` file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The timeline whose ancestry this is.
    pub timeline: TimelineId,
    /// Its ancestors, ends strictly within one another's reach: `end` never decreases.
    pub ancestors: Vec<Ancestor>,
}

impl History {
    /// Reads the contents of `0000000N.history`. Lines that start with `#` and blank lines are skipped, as PostgreSQL
    /// does.
    ///
    /// # Errors
    /// A line that is not `number<TAB>LSN<TAB>reason`, or numbers or ends that do not rise.
    pub fn parse(timeline: TimelineId, text: &str) -> Result<History, BadWal> {
        let mut ancestors: Vec<Ancestor> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let bad = || BadWal::new("expected 'timeline<TAB>LSN<TAB>reason' in a history file", line);
            let mut fields = line.split_whitespace();
            let number = fields.next().and_then(|n| n.parse().ok()).ok_or_else(bad)?;
            let end: Lsn = fields.next().ok_or_else(bad)?.parse().map_err(|_| bad())?;
            let rises = ancestors.last().is_none_or(|a| a.timeline.0 < number && a.end <= end);
            if !rises || number >= timeline.0 {
                return Err(bad());
            }
            ancestors.push(Ancestor { timeline: TimelineId(number), end });
        }
        Ok(History { timeline, ancestors })
    }

    /// The contents of the history file, as PostgreSQL would write it.
    pub fn render(&self) -> String {
        self.ancestors.iter().map(|a| format!("{}\t{}\tinterrex\n", a.timeline, a.end)).collect()
    }

    /// The timeline to which the record that ends at `end` belongs on this line: a record that ends where a timeline
    /// branched off still belongs to the ancestor.
    pub fn owner_of(&self, end: Lsn) -> TimelineId {
        self.ancestors.iter().find(|a| end <= a.end).map_or(self.timeline, |a| a.timeline)
    }

    /// Whether somebody whose newest record is at `position` is on this line: everything it holds is also here, or
    /// will be. `None`: its timeline is not an ancestor at all.
    pub fn branch_end(&self, timeline: TimelineId) -> Option<Lsn> {
        if timeline == self.timeline {
            return Some(Lsn(u64::MAX));
        }
        self.ancestors.iter().find(|a| a.timeline == timeline).map(|a| a.end)
    }

    /// What of `position` lies on this line: itself, or where its timeline was left. `None`: that is no ancestor at all.
    pub fn cut(&self, position: Position) -> Option<Position> {
        let end = self.branch_end(position.timeline)?;
        Some(Position { lsn: position.lsn.min(end), ..position })
    }

    /// True when `position` lies on this line, not past a fork.
    pub fn contains(&self, position: Position) -> bool {
        self.branch_end(position.timeline).is_some_and(|end| position.lsn <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> History {
        History::parse(
            TimelineId(7),
            "1\t0/3000000\tno recovery target specified\n\n# note\n4\t0/5000060\tx\n",
        )
        .unwrap()
    }

    #[test]
    fn an_lsn_reads_and_writes_as_postgresql_does() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!(lsn.0, 0x16_B374_D848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        for bad in ["", "1", "x/1", "1/123456789", "1/2/3"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_higher_lsn_on_an_older_timeline_is_behind() {
        let old = Position { timeline: TimelineId(4), lsn: Lsn(900) };
        let new = Position { timeline: TimelineId(7), lsn: Lsn(100) };
        assert!(old < new);
    }

    #[test]
    fn a_history_round_trips_and_skips_comments() {
        assert_eq!(line().render(), "1\t0/3000000\tinterrex\n4\t0/5000060\tinterrex\n");
        assert_eq!(History::parse(TimelineId(7), &line().render()).unwrap(), line());
    }

    #[test]
    fn a_history_whose_numbers_fall_is_refused() {
        for bad in ["4\t0/5\tx\n1\t0/6\tx\n", "1\t0/9\tx\n2\t0/3\tx\n", "9\t0/3\tx\n", "1\n", "a\t0/1\n"] {
            assert!(History::parse(TimelineId(7), bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_record_that_ends_at_a_fork_belongs_to_the_ancestor() {
        assert_eq!(line().owner_of("0/5000060".parse().unwrap()), TimelineId(4));
        assert_eq!(line().owner_of("0/5000061".parse().unwrap()), TimelineId(7));
    }

    #[test]
    fn past_a_fork_is_off_the_line_and_so_is_a_stranger() {
        let at = |timeline, lsn| Position { timeline: TimelineId(timeline), lsn: Lsn(lsn) };
        assert!(line().contains(at(4, 0x500_0060)));
        assert!(!line().contains(at(4, 0x500_0061)));
        assert!(line().contains(at(7, 0x900_0000)));
        assert!(!line().contains(at(5, 0x100)));
        assert_eq!(line().cut(at(4, 0x500_0061)), Some(at(4, 0x500_0060)));
        assert_eq!(line().cut(at(7, 0x900_0000)), Some(at(7, 0x900_0000)));
        assert_eq!(line().cut(at(5, 0x100)), None);
    }
}
