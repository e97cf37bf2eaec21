//! Interrex as a library: the parts that a program of your own can run inside itself.
//!
//! A [`Coordinator`] votes and decides, an [`Agent`] makes PostgreSQL follow, a [`Client`] asks and tells the
//! coordinators through the admin API. None of them installs a logger, ends the process, or keeps global state;
//! each runs until the future that it was given resolves.

pub use interrex_agent::postgres::RunAs;
pub use interrex_agent::{Agent, AgentConfig, InstanceConfig};
pub use interrex_api::client::{Client, ClientError, ClientOptions};
pub use interrex_cluster as cluster;
pub use interrex_coordinator::{Coordinator, Handle};
pub use interrex_tls::{Files, Owner, Tls, Token};
