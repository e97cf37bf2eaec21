//! The wire: the gRPC code that is generated from proto/, and nothing that decides anything.
//!
//! A message becomes one of our own types at the border, fallibly; everything behind the border may trust it.

/// The generated messages, clients and servers of package `interrex.v1`.
pub mod pb {
    #![allow(missing_docs, unreachable_pub, reason = "generated; the proto files carry the documentation")]
    #![allow(clippy::all, reason = "generated")]
    tonic::include_proto!("interrex.v1");
}

/// The encoded descriptors of every file in proto/, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/interrex.v1.bin"));
