//! The node file, and whether this machine can keep what it says.
//!
//! `load` turns the text of a node file into a [`Node`] or into lines that each name file, line, key
//! and way out (exit 2: a file or an argument is to be edited). `check` asks the machine whether it can
//! run that node (exit 1: the world refuses) and writes nothing. `open_data_dir` is the first thing
//! that does write: it takes the lock and the identity of the data directory.
//!
//! Left to others: everything after the start. A `Node` is a wish that fits the machine, no more.

mod address;
mod data_dir;
mod error;
mod file;
mod node;
mod target;
mod text;
mod world;

pub use address::Address;
pub use data_dir::{DataDir, DataDirError, FORMAT, open_data_dir};
pub use error::{ConfigError, Problem, WorldError};
pub use file::load;
pub use interrex_cluster::ids::{ClusterName, InstanceName, MachineName};
pub use node::{Agent, Cluster, Coordinator, Instance, LogFormat, Login, Node, Priority, WhenAlone};
pub use target::Target;
pub use world::{MIN_MAJOR, Place, User, World, check};
