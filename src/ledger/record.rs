//! The words of a ledger: what one line says, what became of one attempt, and how many of each there were.

use serde::{Deserialize, Serialize};

/// The newest file format this crate writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// The first line of a writer's run; a file that was written by several runs has several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The file format, from 1.
    pub ledger: u32,
    /// Whose rows these are: the value of the column `client`, the same for all runs of a file.
    pub client: String,
    /// The wall clock at `mono_ms`, milliseconds since 1970: for the reader's calendar alone.
    pub wall_ms: u64,
    /// `CLOCK_MONOTONIC` at `wall_ms`; all other times of the run are on this clock.
    pub mono_ms: u64,
}

/// What a line says of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// The statement is about to be sent; written first, so that no row can exist that the file does not know.
    Sent,
    /// It ended so.
    #[serde(untagged)]
    Ended(Outcome),
}

/// What the writer may conclude about one insert. Exactly one of these per id, and none is ever revised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Acknowledged without reservation: from here on the row must be on every instance, for ever.
    Ok,
    /// Acknowledged, but with a warning (a wait for synchronous replication was cancelled): nothing was promised (F2).
    Warned,
    /// No answer: the row may exist or not, both are right, and it is never tried again.
    Unknown,
    /// Refused by a live server with an error: the row must not exist.
    Failed,
}

/// One line about one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The row's primary key; strictly rising within a file.
    pub id: i64,
    /// `CLOCK_MONOTONIC` in milliseconds: of the sending, or of the answer's arrival.
    pub at_ms: u64,
    /// Sent, or how it ended.
    pub outcome: Mark,
    /// The instance asked, as host:port.
    pub host: String,
    /// The warning or error, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// All that a file says about one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which run of the file it belongs to, from 0. Times are comparable only within a run.
    pub run: usize,
    /// When it was sent, `CLOCK_MONOTONIC` milliseconds.
    pub sent_ms: u64,
    /// When its outcome was known; `sent_ms` if the writer died before.
    pub at_ms: u64,
    /// How it ended; `Unknown` if the writer died before it knew.
    pub outcome: Outcome,
    /// The instance asked, as host:port.
    pub host: String,
    /// The warning or error, when there was one.
    pub why: Option<String>,
}

/// How many attempts ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Acknowledged without reservation.
    pub ok: u64,
    /// Acknowledged with a warning.
    pub warned: u64,
    /// Unanswered.
    pub unknown: u64,
    /// Refused.
    pub failed: u64,
}

impl FromIterator<Outcome> for Tally {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut tally = Self::default();
        outcomes.into_iter().for_each(|outcome| tally.add(outcome));
        tally
    }
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Warned => self.warned += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Failed => self.failed += 1,
        }
    }
}
