//! Interrex as a library: the parts that a program of your own can run inside itself.
//!
//! A [`Coordinator`] votes and decides, an [`Agent`] makes PostgreSQL follow, a [`Client`] asks and tells the
//! coordinators through the admin API. `examples/embed.rs` runs one of them and talks to it. Each is put together by a
//! builder or by plain options, checks what it was given before anything is written, and returns its errors as
//! sentences that can be printed as they stand ([`OpenError`], [`RunError`], [`AgentError`], [`ClientError`]).
//!
//! | part | runs | is held by |
//! |---|---|---|
//! | [`Coordinator::run`] | until the future that it was given resolves; leadership is handed away, the log closed | [`Handle`], cheap to clone |
//! | [`Agent::run`] | until the future that it was given resolves; PostgreSQL is stopped as a standby | [`AgentHandle`], cheap to clone: its machine's instances, what each is busy with, what went wrong last |
//! | [`Client`] | never: it connects when it is asked, and follows the leader | itself, cheap to clone |
//!
//! Promises, held by `tests/embed.rs` and `tests/walls.rs`: none of them installs a logger, a signal handler or a
//! cryptographic provider, ends the process, or keeps anything in globals; several of each live in one process. They
//! need a tokio runtime with time and I/O, and tell their story to `tracing`, where the program may listen or not. An
//! agent waits for its child processes, hence tokio installs its handler of SIGCHLD once PostgreSQL's tools run.

pub use interrex_agent::postgres::RunAs;
pub use interrex_agent::{Agent, AgentConfig, AgentError, Builder as AgentBuilder, Handle as AgentHandle};
pub use interrex_agent::{InstanceConfig, Tended, Trouble, Written};
pub use interrex_api::client::{Client, ClientError, ClientOptions, EventStream, Tried};
pub use interrex_api::session::LeaderHint;
pub use interrex_api::{admin, refused};
pub use interrex_cluster as cluster;
pub use interrex_config::{DataDir, DataDirError};
pub use interrex_coordinator::raft::{
    Limits as LogLimits, LogDisk, LogError, MemoryDisk, OpenError as LogOpenError, Pace, Timing,
};
pub use interrex_coordinator::{
    Builder as CoordinatorBuilder, Coordinator, Handle, OpenError, RunError, Witness,
};
/// The seams: clock, randomness, tasks and connections, each of which a builder takes another one of.
pub use interrex_rt as rt;
pub use interrex_tls::{Files, Owner, Tls, Token};
