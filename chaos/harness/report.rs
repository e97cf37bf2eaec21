//! What a run tells: a few lines for people, or one object for programs. Counts and milliseconds are numbers.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use interrex_rig::Phases;

use crate::catalogue::expected;
use crate::story::Story;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) fault: &'static str,
    pub(crate) seed: u64,
    pub(crate) machines: u8,
    /// It held, and the fault took effect.
    pub(crate) sound: bool,
    /// The fault showed no effect: the run says nothing.
    pub(crate) void: bool,
    /// What does not hold.
    pub(crate) violations: Vec<String>,
    /// How the effect showed, or why it did not.
    pub(crate) effect: String,
    /// The primary when the fault came.
    pub(crate) primary: String,
    /// The primary at the end.
    pub(crate) new_primary: Option<String>,
    /// Who led the coordinators when the fault came.
    pub(crate) leader: String,
    /// How long the fault lasted.
    pub(crate) lasted_ms: u64,
    /// Epochs begun since.
    pub(crate) promotions: u32,
    pub(crate) promotions_at_least: u32,
    pub(crate) promotions_at_most: u32,
    /// The longest time without an acknowledgement since the fault; absent: no two follow each other.
    pub(crate) gap_ms: Option<u64>,
    pub(crate) gap_ms_at_most: u64,
    /// The parts of the change of primary, where the fault began one epoch at least.
    pub(crate) phases: Phases,
    /// From the end of the fault until all was well; absent: it was not in time.
    pub(crate) whole_ms: Option<u64>,
    pub(crate) whole_ms_at_most: u64,
    pub(crate) acked: u64,
    /// Of these, by the client on the primary's own side.
    pub(crate) acked_at_the_side_door: u64,
    /// Acknowledged, and missing on at least one instance.
    pub(crate) lost: u64,
    pub(crate) warned: u64,
    pub(crate) unknown: u64,
    pub(crate) failed: u64,
    /// Of the bank: confirmed, unanswered, and refused.
    pub(crate) transfers: u64,
    pub(crate) transfers_unknown: u64,
    pub(crate) transfers_refused: u64,
    /// The machine's load averages at the end.
    pub(crate) load: Vec<f64>,
    /// What is shown of it.
    #[serde(skip)]
    pub(crate) story: Story,
}

impl Report {
    /// The verdict.
    pub(crate) fn word(&self) -> &'static str {
        match (self.violations.is_empty(), self.void) {
            (false, _) => "BROKEN",
            (true, true) => "void",
            (true, false) => "sound",
        }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let ms = |ms: Option<u64>| ms.map_or_else(|| "not known".to_owned(), |ms| format!("{ms} ms"));
        let expected = expected((self.promotions_at_least, self.promotions_at_most));
        let new = self.new_primary.as_deref().unwrap_or("nobody");
        let mut lines = vec![
            format!("{}: {}", self.fault, self.word()),
            format!(
                "  {} was the primary and {} led the coordinators; {} epochs were begun (expected: {expected}), {new} is the \
                 primary",
                self.primary, self.leader, self.promotions
            ),
            format!("  effect: {}; it lasted {} ms", self.effect, self.lasted_ms),
            format!(
                "  writes stood still for {} (at most {} ms), all was well after {} (at most {} ms)",
                ms(self.gap_ms),
                self.gap_ms_at_most,
                ms(self.whole_ms),
                self.whole_ms_at_most
            ),
            format!(
                "  {} writes acknowledged, {} lost, {} unknown, {} refused, {} with a warning",
                self.acked, self.lost, self.unknown, self.failed, self.warned
            ),
            format!(
                "  {} serializable transfers confirmed, {} unknown, {} refused",
                self.transfers, self.transfers_unknown, self.transfers_refused
            ),
        ];
        lines.extend(self.violations.iter().map(|violation| format!("  VIOLATION {violation}")));
        lines.push(format!(
            "  again: interrex-chaos run {} --seed {} --machines {}",
            self.fault, self.seed, self.machines
        ));
        lines
    }
}

/// A result, on standard output. Whoever closed the pipe has read enough.
pub(crate) fn say(text: &str) -> anyhow::Result<ExitCode> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("write the result"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What went wrong, on standard error. With that gone nobody is left to be told.
pub(crate) fn complain(text: &str) {
    for line in text.lines() {
        let _ = writeln!(io::stderr(), "interrex-chaos: {line}");
    }
}
