//! The ledger: the one client that writes to a cluster, keeps what it was told, and judges afterwards.
//!
//! A [`write()`] run inserts one row every few milliseconds and notes every answer in a file that survives the
//! writer itself; [`longest_gap`] reads from that file how long writes stood still; [`verify`] asks every instance
//! which rows it has and names each acknowledged one that is missing. The demo, the benchmark, the tests and the
//! chaos runs all use this crate, so that all of them mean the same by "lost" and by "outage".
//!
//! It depends on nothing else of the project on purpose: a witness must not share the accused's assumptions.

mod clock;
mod command;
mod dial;
mod error;
mod file;
mod gap;
mod record;
mod statement;
mod target;
mod verify;
mod writer;

#[cfg(test)]
mod scenes;
#[cfg(test)]
mod testing;

pub use clock::{monotonic_ms, wall_ms};
pub use command::{LedgerArgs, main};
pub use error::LedgerError;
pub use file::{Follow, LedgerFile};
pub use gap::{Gap, longest_gap};
pub use record::{Attempt, Entry, Header, Mark, Outcome, Tally};
pub use target::{HostSpec, Login};
pub use verify::{InstanceVerdict, Verdict, verify};
pub use writer::{Progress, WriterConfig, WriterSummary, write};
