//! What the scenes stand on: a town of machines on loopback, with a clean slate before and after.
//!
//! A [`Town`] is three machines' worth of the real `interrex node` on real PostgreSQL, each below its own directory on
//! its own ports. Scenes wait with [`Town::until`] and [`Town::eventually`], which say what they waited for. When a scene
//! fails its town's logs stay, and the message says where; otherwise no process, directory or shared memory is left.
//! `INTERREX_IT_KEEP=1` keeps the logs of scenes that succeed, too. On a disk that discards what is deleted (mount option
//! `discard`) a third of a scene of two clusters is its removal; `TMPDIR=/dev/shm` spares that, which `make test` does where it can.

mod cli;
mod diverge;
mod existing;
mod ledger;
mod machine;
#[path = "../../shared/ports.rs"]
mod ports;
mod postgresql;
mod processes;
mod shared_memory;
mod status;
mod town;
mod tree;
mod wait;

pub(crate) use cli::{Answer, INTERREX, run, run_unread};
pub(crate) use existing::Existing;
pub(crate) use ledger::{Writer, now_ms};
pub(crate) use machine::Machine;
pub(crate) use postgresql::{bin_dir, initdb, major};
pub(crate) use processes::{Process, below};
pub(crate) use status::{asynchronous, changing, healthy, instance, primary};
pub(crate) use town::{CLUSTER, Town};
pub(crate) use tree::{Tree, is_root, of_postgres, temporary, tree, unchanged};
pub(crate) use wait::{PATIENCE, eventually};

/// A port that was free a moment ago and that nobody else in this process gets.
pub(crate) fn free() -> u16 {
    ports::listener().local_addr().expect("it listens").port()
}
