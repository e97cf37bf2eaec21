//! A coordinator: one of the voters that keep every cluster's record, and, while it leads, the one that decides.
//!
//! ```no_run
//! # async fn embed() -> Result<(), Box<dyn std::error::Error>> {
//! use interrex_coordinator::Coordinator;
//! let coordinator = Coordinator::builder()
//!     .machine("n1".parse()?)
//!     .listen("127.0.0.1:7400".parse()?)
//!     .members([("n1".parse()?, "127.0.0.1:7400".to_owned())].into())
//!     .data_dir("/var/lib/interrex")
//!     .open()
//!     .await?;
//! let handle = coordinator.handle();
//! coordinator.run(std::future::pending()).await?;
//! # drop(handle); Ok(())
//! # }
//! ```
//!
//! Promises: no globals, no logger of its own (events go to `tracing`), no `process::exit`; whatever fails is returned.
//! To read: [`raft`] keeps one log; `machine` is what the log amounts to; `reports` is what agents say; `driver` turns
//! both into decisions by asking `interrex-cluster`, whose rules are the only ones; `levels` keeps out of the log what an
//! older coordinator would stop at; `lease` and `service` answer.

mod builder;
mod clusters;
mod coordinator;
mod core;
mod driver;
mod lease;
mod levels;
mod machine;
pub mod raft;
mod reports;
mod secrets;
mod service;
mod trust;
mod turned_away;
mod voices;
mod yielding;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use coordinator::{Coordinator, Handle, OpenError, RunError};
pub use machine::Witness;
