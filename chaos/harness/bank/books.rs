//! What the tellers were told: each transfer that was sent, and how it ended.

use std::collections::BTreeMap;

use interrex_ledger::Outcome;

/// Money from one account to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) source: i64,
    pub(crate) target: i64,
    pub(crate) amount: i64,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By its number, which no two have.
    pub(crate) transfers: BTreeMap<i64, (Transfer, Outcome)>,
    /// What a transaction saw that it must never see.
    pub(crate) findings: Vec<String>,
}

impl Books {
    /// Another teller's.
    pub(crate) fn add(&mut self, theirs: Books) {
        self.transfers.extend(theirs.transfers);
        self.findings.extend(theirs.findings);
    }

    /// How many ended so.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.transfers.values().filter(|(_, ended)| *ended == outcome).count() as u64
    }
}
