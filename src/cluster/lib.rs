//! THE RULES of Interrex: values in, values out.
//!
//! Coordinators replicate a [`record::Cluster`] and change it only by applying a [`command::Command`] ([`apply`]).
//! What should change is asked of [`decide`], a pure function of the record, of what agents said about themselves
//! ([`report`]) with its age ([`view`]), and of the [`policy`]. What an instance has to do follows from the record
//! alone ([`goal`]); how its agent gets there is [`instance`]'s affair, again as pure functions.
//!
//! Absent on purpose: clocks, randomness, `async`, `HashMap`, I/O. Time is an argument, so that the same code runs in
//! production and in simulation. The safety argument is told in [`quorum`].

pub mod apply;
pub mod candidate;
pub mod command;
pub mod decide;
pub mod diagnose;
pub mod event;
pub mod explain;
pub mod goal;
pub mod ids;
pub mod instance;
pub mod memory;
pub mod mutants;
pub mod operation;
pub mod policy;
pub mod problem;
pub mod quorum;
pub mod receipt;
pub mod record;
pub mod reinit;
pub mod report;
pub mod role;
pub mod route;
mod shown;
pub mod spec;
pub mod status;
pub mod time;
pub mod view;
pub mod wal;

#[cfg(test)]
mod scenarios;
