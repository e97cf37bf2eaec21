//! The shipped rules under a million bad days: the very code of `src/cluster` in a simulated world in which one seed
//! decides everything. Virtual time, a network that delays, loses, repeats and cuts, coordinators with a modelled log,
//! agents that die between any two phases of a deed, clocks that drift, guards, clients, and a model of PostgreSQL with
//! the traps that matter. `chaos/check` judges what happens. [`Stage`] is the same world for coordinators that are real.
//!
//! Whatever a run does follows from its seed: no wall clock, no hash map, no thread inside a run. Two runs of one seed
//! are the same play, byte for byte, on any machine.

mod afar;
mod agent;
mod anew;
mod batch;
mod begin;
#[cfg(feature = "mutants")]
mod bites;
mod calm;
mod client;
mod coordinator;
mod danger;
mod dead;
mod draw;
mod endpoint;
mod event;
mod existing;
mod faults;
mod found;
mod happen;
mod heal;
mod leaving;
mod many;
mod mend;
mod mutants;
mod neighbour;
mod network;
mod own;
mod pace;
mod parameters;
mod pinned;
mod plan;
mod postgres;
mod queue;
mod reach;
mod rng;
mod rounds;
mod sessions;
mod shrink;
mod slowness;
mod stage;
mod strike;
mod theme;
mod trace;
mod trapped;
mod traps;
mod turnover;
mod wal;
mod world;

pub use batch::{
    Batch, Outcome, batch, play, play_hash, run, run_beyond_the_margin, run_with_mixed_reports, shorten,
};
pub use danger::Danger;
pub use interrex_check::Violation;
pub use many::{Output, exit, many, tell};
pub use pinned::{PINNED, Pinned};
pub use rng::Rng;
pub use stage::{Asked, Keeping, Order, Stage};
pub use trace::hash;
pub use traps::{Trap, Traps};

#[cfg(feature = "mutants")]
pub use bites::{BITES, Bite, kindly};
#[cfg(feature = "mutants")]
pub use interrex_cluster::mutants::Mutant;
#[cfg(feature = "mutants")]
pub use mutants::{MUTANTS, Missed, mutated, themed};
