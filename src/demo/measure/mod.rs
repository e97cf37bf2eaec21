//! What a cluster costs while nothing is wrong: at rest, and under load.

pub(crate) mod idle;
pub(crate) mod pgbench;
mod processes;
mod slices;
