//! A cluster of real processes on this machine: made, started, struck, asked, written to and cleared away. What the demo
//! and the chaos runs have in common; what they do with it is theirs.
//!
//! Everything of a cluster lies below one directory, and by it everything that runs is known ([`processes`]): whoever has
//! the directory can clear away ([`sweep`]), whatever became of whoever made it.

mod cluster;
pub mod control_group;
mod directory;
mod ended;
mod leader;
mod load;
mod machine;
mod patience;
mod phases;
pub mod postgresql;
pub mod processes;
#[cfg(test)]
#[path = "../../tests/shared/program.rs"]
mod program;
mod progress;
mod shared_memory;
mod site;
pub mod sweep;
mod traces;
mod usage;
mod voice;
#[cfg(test)]
#[path = "../../tests/shared/whole_cluster.rs"]
mod whole_cluster;
mod writer;

pub use cluster::{CLUSTER, Cluster, USER};
pub use directory::Directory;
pub use ended::Ended;
pub use load::load;
pub use machine::{Killed, Machine};
pub use patience::Patience;
pub use phases::{Moment, Phases};
pub use progress::{Progress, in_words, missing, streams};
pub use site::{Duty, Launcher, Site};
pub use traces::Traces;
pub use usage::{Usage, exit_code};
pub use voice::Voice;
pub use writer::{Post, Writer};
