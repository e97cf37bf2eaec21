//! coordinator
pub mod raft;
