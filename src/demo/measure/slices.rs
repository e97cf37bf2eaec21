//! A long run of pgbench, cut into slices of time: when each began, and how many transactions ended in it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

/// Slices that follow each other without a gap.
pub(super) struct Slices {
    /// Microseconds since 1970, as pgbench's log has them: where the first begins, and where each ends.
    edges: Vec<u64>,
}

impl Slices {
    /// The first begins.
    pub(super) fn begin() -> Slices {
        Slices { edges: vec![now()] }
    }

    /// One ends here, and the next begins; how long it was.
    pub(super) fn next(&mut self) -> Duration {
        let now = now();
        let began = self.edges.last().copied().unwrap_or(now);
        self.edges.push(now);
        Duration::from_micros(now.saturating_sub(began))
    }

    /// How many of `ends` each slice has.
    pub(super) fn counts(&self, ends: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; self.edges.len() - 1];
        for end in ends {
            // The edges that are not after it: none before the first slice, all of them after the last.
            let passed = self.edges.partition_point(|edge| edge <= end);
            if let Some(count) = passed.checked_sub(1).and_then(|slice| counts.get_mut(slice)) {
                *count += 1;
            }
        }
        counts
    }
}

/// pgbench reads the same clock.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// When each transaction of pgbench's logs in `dir` ended, in microseconds since 1970. A line that is still being written
/// is not counted.
pub(super) fn ends(dir: &Path) -> anyhow::Result<Vec<u64>> {
    let mut ends = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let whole = text.rfind('\n').map_or("", |last| &text[..last]);
        for line in whole.lines() {
            ends.push(end(line).with_context(|| format!("{}: '{line}' is no transaction", path.display()))?);
        }
    }
    Ok(ends)
}

/// `client transaction time script epoch-seconds microseconds`
fn end(line: &str) -> Option<u64> {
    let mut fields = line.split(' ').skip(4).map(|field| field.parse::<u64>().ok());
    Some(fields.next()?? * 1_000_000 + fields.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_counted_where_they_ended() {
        let slices = Slices { edges: vec![10, 20, 30] };
        assert_eq!(slices.counts(&[9, 10, 19, 20, 29, 30, 31]), [2, 2]);
    }

    #[test]
    fn a_log_is_read_up_to_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ends(dir.path()).unwrap(), [0_u64; 0]);
        fs::write(dir.path().join("a.1"), "0 199 2241 0 1175850568 995598\n1 7 22 0 11758").unwrap();
        assert_eq!(ends(dir.path()).unwrap(), [1_175_850_568_995_598]);
        fs::write(dir.path().join("a.2"), "failed\n").unwrap();
        assert!(format!("{:#}", ends(dir.path()).unwrap_err()).contains("'failed' is no transaction"));
    }
}
