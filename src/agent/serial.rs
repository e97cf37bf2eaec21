//! Numbers what this agent says, so that coordinators know a word that was overtaken on its way. The order of an
//! agent's runs is its count of starts, kept in `starts` beside its other files; within a run a counter rises.
//!
//! A count that cannot be read or kept does not keep the agent from running: coordinators then hear it once its former
//! run has been silent for long.

use crate::shelf::Shelf;
use interrex_api::session::Serial;
use interrex_rt::Rng;
use std::io;
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
    /// Counts one more start of the agent.
    ///
    /// # Errors
    /// There is no random number to be had.
    pub(crate) fn begin(shelf: &dyn Shelf, rng: &dyn Rng) -> io::Result<Self> {
        let run = rng.number()?;
        let counted = |text: Vec<u8>| String::from_utf8(text).ok()?.trim().parse::<u64>().ok();
        let before = match shelf.read(FILE).map(|kept| kept.map(counted)) {
            Ok(None) => 0,
            Ok(Some(Some(before))) => before,
            Ok(Some(None)) | Err(_) => {
                tracing::warn!(
                    "{} does not tell how often this agent was started: coordinators may not hear it for some seconds",
                    shelf.path(FILE).display()
                );
                0
            }
        };
        let start = before.saturating_add(1);
        if let Err(error) = shelf.replace(FILE, format!("{start}\n").as_bytes()) {
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
    use crate::shelf::MemoryShelf;
    use interrex_rt::SystemRng;

    #[test]
    fn words_rise_within_a_run_and_starts_from_run_to_run() {
        let shelf = MemoryShelf::default();
        let first = Serials::begin(&shelf, &SystemRng).unwrap();
        let (one, two) = (first.next(), first.next());
        assert_eq!((one.start, one.run), (two.start, two.run));
        assert!(one.number < two.number);
        let again = Serials::begin(&shelf, &SystemRng).unwrap().next();
        assert_eq!(again.start, 2);
        assert_ne!(again.run, one.run);
    }

    #[test]
    fn a_count_that_is_damaged_keeps_nobody_from_starting() {
        let shelf = MemoryShelf::default();
        shelf.replace(FILE, b"many").unwrap();
        assert_eq!(Serials::begin(&shelf, &SystemRng).unwrap().next().start, 1);
        assert_eq!(Serials::begin(&shelf, &SystemRng).unwrap().next().start, 2);
    }
}
