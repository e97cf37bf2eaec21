//! Numbers what this agent says, so that coordinators know a word that was overtaken on its way. The order of an
//! agent's runs is its count of starts, kept in `starts` beside its other files; within a run a counter rises.
//!
//! A count that cannot be read or kept does not keep the agent from running: coordinators then hear it once its former
//! run has been silent for long.

use crate::state::replace;
use interrex_api::session::Serial;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const FILE: &str = "starts";

/// Gives out serials, to every line of every instance.
#[derive(Debug)]
pub(crate) struct Serials {
    start: u64,
    run: u64,
    next: AtomicU64,
}

impl Serials {
    /// Counts one more start of the agent in `data_dir`.
    ///
    /// # Errors
    /// The system has no random number to give.
    pub(crate) fn begin(data_dir: &Path) -> io::Result<Self> {
        let run = getrandom::u64().map_err(|e| io::Error::other(e.to_string()))?;
        let path = data_dir.join(FILE);
        let before = match fs::read_to_string(&path).map(|text| text.trim().parse::<u64>()) {
            Ok(Ok(before)) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(
                    "{} does not tell how often this agent was started: coordinators may not hear it for some seconds",
                    path.display()
                );
                0
            }
        };
        let start = before.saturating_add(1);
        if let Err(error) = replace(&path, format!("{start}\n").as_bytes(), None) {
            tracing::warn!("this start of the agent is not counted: {error}");
        }
        Ok(Self { start, run, next: AtomicU64::new(1) })
    }

    /// The next word's.
    pub(crate) fn next(&self) -> Serial {
        Serial { start: self.start, run: self.run, number: self.next.fetch_add(1, Ordering::SeqCst) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_rise_within_a_run_and_starts_from_run_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let first = Serials::begin(dir.path()).unwrap();
        let (one, two) = (first.next(), first.next());
        assert_eq!((one.start, one.run), (two.start, two.run));
        assert!(one.number < two.number);
        let again = Serials::begin(dir.path()).unwrap().next();
        assert_eq!(again.start, 2);
        assert_ne!(again.run, one.run);
    }

    #[test]
    fn a_count_that_is_damaged_keeps_nobody_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "many").unwrap();
        assert_eq!(Serials::begin(dir.path()).unwrap().next().start, 1);
        assert_eq!(Serials::begin(dir.path()).unwrap().next().start, 2);
    }
}
