//! Outage, as a client feels it: the longest time between two acknowledgements that follow each other.

use serde::Serialize;

use crate::file::LedgerFile;

/// Two consecutive acknowledgements and the time between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Arrival of the last acknowledgement before, `CLOCK_MONOTONIC` milliseconds.
    pub from_ms: u64,
    /// Arrival of the first acknowledgement after.
    pub to_ms: u64,
    /// The difference.
    pub ms: u64,
    /// The id acknowledged before; [`LedgerFile::attempts`] knows by whom.
    pub from_id: i64,
    /// The id acknowledged after.
    pub to_id: i64,
}

/// The longest gap that ended after `after` (`CLOCK_MONOTONIC` milliseconds; none: in the whole file), the earliest
/// of equals. A gap never spans two runs of a writer: the time in which nobody wrote says nothing about the servers.
/// `None` when no two acknowledgements follow each other there: an outage that never ended is no gap, so a caller
/// that killed something first waits for an acknowledgement after it.
#[must_use]
pub fn longest_gap(file: &LedgerFile, after: Option<u64>) -> Option<Gap> {
    let acknowledged: Vec<_> = file.acknowledged().collect();
    acknowledged
        .windows(2)
        .map(|pair| (pair[0], pair[1]))
        .filter(|((_, before), (_, next))| {
            before.run == next.run && after.is_none_or(|after| next.at_ms > after)
        })
        .map(|((from_id, before), (to_id, next))| Gap {
            from_ms: before.at_ms,
            to_ms: next.at_ms,
            ms: next.at_ms.saturating_sub(before.at_ms),
            from_id,
            to_id,
        })
        // max_by_key keeps the last of equals; the first one is where the trouble began.
        .rev()
        .max_by_key(|gap| gap.ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Appender;
    use crate::record::{Entry, Mark, Outcome};

    fn file_of(runs: &[&[(i64, u64, Outcome)]]) -> LedgerFile {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        for run in runs {
            let (mut appender, _) = Appender::open(&path, "c").unwrap();
            for (id, at_ms, outcome) in *run {
                for outcome in [Mark::Sent, Mark::Ended(*outcome)] {
                    appender
                        .note(Entry { id: *id, at_ms: *at_ms, outcome, host: "h:1".into(), why: None })
                        .unwrap();
                }
            }
        }
        LedgerFile::read(&path).unwrap()
    }

    #[test]
    fn the_longest_gap_runs_from_acknowledgement_to_acknowledgement() {
        use Outcome::{Failed, Ok, Unknown, Warned};
        let file = file_of(&[&[
            (1, 100, Ok),
            (2, 110, Ok),
            (3, 410, Unknown),
            (4, 900, Failed),
            (5, 1000, Warned),
            (6, 1500, Ok),
            (7, 1510, Ok),
        ]]);
        let gap = longest_gap(&file, None).unwrap();
        assert_eq!((gap.from_ms, gap.to_ms, gap.ms, gap.from_id, gap.to_id), (110, 1500, 1390, 2, 6));
        assert_eq!(longest_gap(&file, Some(1499)), Some(gap));
        assert_eq!(longest_gap(&file, Some(1500)).unwrap().ms, 10);
        assert_eq!(longest_gap(&file, Some(1510)), None);
    }

    #[test]
    fn the_time_between_two_runs_of_a_writer_is_no_outage() {
        let file = file_of(&[&[(1, 100, Outcome::Ok), (2, 110, Outcome::Ok)], &[(3, 9000, Outcome::Ok)]]);
        assert_eq!(longest_gap(&file, None).unwrap().ms, 10);
    }
}
