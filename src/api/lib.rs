//! The wire: what travels between processes and onto the coordinators' disks, and nothing that decides anything.
//!
//! - [`session`] and [`admin`]: requests and answers in our own types;
//! - [`serve`]: the traits that a coordinator implements, and their services;
//! - [`client`]: the client that finds the leader and follows it, and the one that speaks to a single coordinator;
//! - [`dial`]: how a coordinator is reached, with or without TLS;
//! - [`log`]: entries and snapshots as bytes;
//! - [`refused`]: why something was not done, as a value on both sides.
//!
//! A message becomes one of our own types at the border (`convert`), fallibly; everything behind it may trust it.

pub mod admin;
pub mod client;
mod convert;
pub mod dial;
pub mod log;
mod redact;
pub mod refused;
pub mod serve;
pub mod session;

pub use convert::BadMessage;

/// The generated messages, clients and servers of package `interrex.v1`. Outside this crate only `coordinator/raft`
/// reads it, for the Raft service: everybody else speaks [`session`], [`admin`] and [`log`].
pub mod pb {
    #![allow(missing_docs, unreachable_pub, reason = "generated; the proto files carry the documentation")]
    #![allow(clippy::all, reason = "generated")]
    tonic::include_proto!("interrex.v1");
}

/// The encoded descriptors of every file in proto/, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/interrex.v1.bin"));

/// The same of the standard health service, which every coordinator serves beside its own.
pub const HEALTH_FILE_DESCRIPTOR_SET: &[u8] = tonic_health::pb::FILE_DESCRIPTOR_SET;
