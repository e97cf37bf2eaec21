//! What is shown of a run and not judged: when things were, as seen, told and answered.

use interrex_cluster::event::Event;
use interrex_ledger::{LedgerFile, Outcome};
use interrex_rig::Moment;
use serde::Serialize;

use crate::film::Frame;

/// One run, in `CLOCK_MONOTONIC` milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Story {
    /// What was done, in a sentence.
    pub(crate) what: &'static str,
    /// The film's first frame.
    pub(crate) began_ms: u64,
    pub(crate) struck_ms: u64,
    pub(crate) healed_ms: u64,
    pub(crate) ended_ms: u64,
    pub(crate) frames: Vec<Frame>,
    /// When each write was acknowledged.
    pub(crate) acks: Vec<u64>,
    /// Writes that were not, and how they ended.
    pub(crate) troubled: Vec<(u64, &'static str)>,
    /// The coordinators' own words.
    pub(crate) told: Vec<Told>,
}

/// An event of the cluster.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Told {
    pub(crate) at_ms: u64,
    pub(crate) epoch: u32,
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl Told {
    /// `now`: a moment by both clocks, which no fault has moved.
    pub(crate) fn all(events: &[Event], now: Moment) -> Vec<Told> {
        let told = |event: &Event| Told {
            at_ms: now.monotonic(event),
            epoch: event.epoch.0,
            kind: event.kind.clone(),
            text: event.text.clone(),
        };
        events.iter().map(told).collect()
    }
}

/// When writes were acknowledged, and when and how others ended.
pub(crate) fn answers(ledgers: &[LedgerFile]) -> (Vec<u64>, Vec<(u64, &'static str)>) {
    let (mut acks, mut troubled) = (Vec::new(), Vec::new());
    for attempt in ledgers.iter().flat_map(|ledger| ledger.attempts().values()) {
        match attempt.outcome {
            Outcome::Ok => acks.push(attempt.at_ms),
            Outcome::Warned => troubled.push((attempt.at_ms, "acknowledged with a warning")),
            Outcome::Unknown => troubled.push((attempt.at_ms, "no answer")),
            Outcome::Failed => troubled.push((attempt.at_ms, "refused")),
        }
    }
    (acks, troubled)
}
