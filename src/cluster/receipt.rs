//! What a copy held that nobody else had, when it was given up: the receipt (PROTOCOL.md 'Failover' 6). The agent keeps
//! the WAL and the whole list on its machine; the record keeps this summary, so that nobody has to find out alone.
//!
//! Under `acks >= 1` nothing on it was ever acknowledged: a commit that was, is on the line. Its outcome was an error, a
//! broken connection or no answer. Where commits waited for nobody, or an operator accepted loss, acknowledged ones may
//! be on it.

use crate::ids::{Epoch, Incarnation, InstanceName};
use crate::report::Rebuild;
use crate::shown;
use crate::time::WallMs;
use crate::wal::Position;
use serde::{Deserialize, Serialize};
use std::fmt;

/// So many receipts stand in the record; the oldest goes first. The machines keep theirs by themselves.
pub const KEPT: usize = 32;

/// What one copy held past the line when it was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The epoch in which it was given up.
    pub epoch: Epoch,
    /// The copy that was given up.
    pub incarnation: Incarnation,
    /// How it was to be brought back.
    pub how: Rebuild,
    /// Where it left the line; absent: it has nothing in common with it, or that could not be told.
    #[serde(with = "shown::position")]
    pub from: Option<Position>,
    /// Where it ended; absent: its WAL did not tell.
    #[serde(with = "shown::position")]
    pub to: Option<Position>,
    /// Bytes of WAL between the two.
    pub bytes: u64,
    /// Transactions committed there, those of the agents left out. Absent: the WAL could not be read to its end.
    pub transactions: Option<u64>,
    /// First and last commit, as PostgreSQL's clock had it, in words; absent: none, or not told.
    pub commits: Option<(String, String)>,
    /// What was written to, a phrase each: "shop.public.orders: 3 inserted". Cut to a length that can be shown.
    pub tables: Vec<String>,
    /// What could not be found out or kept, a sentence each.
    pub gaps: Vec<String>,
    /// Directory on the instance's machine that has the WAL and the whole list.
    pub kept: String,
}

/// What a receipt means for those who wrote: for people, beside every receipt.
pub const MEANS: &str = "With acks >= 1 none of these transactions was ever acknowledged: its client got an error, a \
broken connection or no answer.\nWhere commits waited for nobody (acks = 0, or alone), or an operator accepted loss, \
acknowledged ones may be among them.\n";

/// A receipt, with whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whose copy.
    pub instance: InstanceName,
    /// When it was recorded, by the proposing leader's wall clock.
    pub at: WallMs,
    /// What it held.
    pub receipt: Receipt,
}

impl Receipt {
    /// About a copy of which nothing else is known yet.
    pub fn about(epoch: Epoch, incarnation: Incarnation, how: Rebuild) -> Self {
        Self {
            epoch,
            incarnation,
            how,
            from: None,
            to: None,
            bytes: 0,
            transactions: None,
            commits: None,
            tables: Vec::new(),
            gaps: Vec::new(),
            kept: String::new(),
        }
    }

    /// True when the other one is about the same copy given up at the same place.
    pub fn same_as(&self, other: &Receipt) -> bool {
        let about = |receipt: &Receipt| (receipt.epoch, receipt.incarnation, receipt.from, receipt.to);
        about(self) == about(other)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transactions {
            Some(1) => f.write_str("1 transaction")?,
            Some(count) => write!(f, "{count} transactions")?,
            None => f.write_str("an unknown number of transactions")?,
        }
        match self.from {
            Some(from) => write!(f, " in {} bytes of WAL past {from}", self.bytes)?,
            None => f.write_str(" in WAL that could not be measured")?,
        }
        if !self.tables.is_empty() {
            write!(f, " ({})", self.tables.join("; "))?;
        }
        for gap in &self.gaps {
            write!(f, "; {gap}")?;
        }
        Ok(())
    }
}
