//! The agent: beside every PostgreSQL server, makes reality follow the record.
//!
//! It registers with the coordinators, learns what its instance has to be, looks at what it is, and takes the next
//! idempotent step (`interrex_cluster::instance`); it tells every coordinator what it sees, holds the primary's lease
//! and hands it to the guard. It decides nothing about other instances.
//!
//! [`Agent::builder`] is the way in; one agent runs any number of instances, each in a task tree of its own. No global
//! state, nothing ends the process. Dropped instead of shut down, it leaves PostgreSQL under its guard, as a crash of
//! the agent would: the next agent takes over, or the deadline ends it.
//!
//! | room | |
//! |---|---|
//! | `session` `told` | lines to the coordinators; what they said, put together |
//! | `reconcile` `steps` `eyes` | the loop; one deed each; what is seen and told |
//! | `keeper` `beat` `knock` | the lease; the synchronous commit that renews it; testimony about the primary |
//! | `state` `identity` | what must survive; who a data directory is |
//! | `receipts` | what copies held that nobody else had, kept on this machine |
//! | `highest` | the highest position told of the copy: ending below it, it was rolled back |
//! | `tidy` | what was moved aside goes once the cluster is whole |
//! | `tend` `serial` | one instance's trouble is not another's; which word of the agent a message is |
//! | `postgres` `process` | everything of PostgreSQL: SQL, files, tools; processes and the guard |

mod agent;
mod beat;
mod config;
mod eyes;
mod highest;
mod identity;
mod instance;
mod keeper;
mod knock;
pub mod postgres;
pub mod process;
mod receipts;
mod reconcile;
mod roster;
mod run;
mod serial;
mod session;
mod state;
mod steps;
mod tend;
mod tidy;
mod told;

pub use agent::{Agent, AgentError, Builder};
pub use config::{AgentConfig, InstanceConfig};
pub use state::{FORMAT, StateError};
