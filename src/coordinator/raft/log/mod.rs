//! The raft log on disk: votes, entries and the group's identity in append-only segment files.
//!
//! Promises: what was acknowledged is there after a crash, in the order in which it was acknowledged; what is damaged
//! refuses to start, by file and offset. Leaves to others: what an entry means, and when it may be purged.
//! Why not a crate: docs/decisions/2026-11-22-raft-log-store.md.

mod contents;
mod disk;
mod dump;
mod frame;
mod memory_disk;
mod record;
mod recover;
mod store;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use contents::Contents;
pub use disk::{LogDisk, Pace};
pub(crate) use disk::{RealDisk, aside};
pub use dump::dump;
pub use memory_disk::MemoryDisk;
pub(crate) use record::{Record, Start};
pub use recover::LogError;
pub(crate) use recover::segments;
pub(crate) use store::LogStore;
