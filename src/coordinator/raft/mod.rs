//! One log kept by a group of coordinators, on openraft, whose words stay in here.
//!
//! Promises: an entry whose reply was returned is applied once on every member, in the same order, and survives the
//! loss of a minority of directories. Leaves to others: what an entry means ([`Machine`]), and the gRPC server that
//! [`RaftNode::service`] is mounted on. Entries and replies are opaque bytes; no cluster is known here.
//!
//! To read: `node` (the API), `formation`, `members`, `change` and `transition` (who belongs, and how that changes),
//! `believe` (who proves it), `leadership`, `heirs` and `confirm` (who leads), `levels` (what every member reads), `log`
//! (what is on disk), `network` and `server` (the wire), `runtime` (where openraft's own tasks run).

mod believe;
mod change;
mod config;
mod confirm;
mod formation;
mod heirs;
mod judge;
mod leadership;
mod levels;
mod log;
mod machine;
mod mark;
mod members;
mod network;
mod node;
mod recover;
mod runtime;
mod server;
mod snapshot;
mod transition;
mod types;
mod wire;

#[cfg(test)]
mod tests;

pub use change::{Progress, Wish};
pub use config::{Config, Limits, OpenError, Timing};
pub use confirm::ConfirmError;
pub use leadership::Leadership;
pub use levels::Older;
pub use log::{LogDisk, LogError, MemoryDisk, Pace, dump};
pub use machine::{Machine, Unknown};
#[cfg(test)]
pub(crate) use mark::MARK;
pub(crate) use mark::Mark;
pub use members::{MemberError, MemberInfo};
pub(crate) use node::EndsTasks;
pub use node::{MAX_ENTRY, ProposeError, RaftNode};
pub use recover::{RecoverError, Recovered, recover, recover_disk, trust_record};
pub use server::{RaftServer, RaftService};
pub use types::Peer;

/// "; n2 (10.0.0.2:7400) does", where that is known.
fn leader_hint(leader: Option<&Peer>) -> String {
    leader.map_or_else(String::new, |peer| format!("; {peer} does"))
}
