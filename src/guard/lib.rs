//! The guard: the tiny process that is PostgreSQL's parent and outlives the agent.
//!
//! It promises one thing: past the deadline that the agent last handed over, or when the postmaster is gone, or when
//! it is told to, nothing of this PostgreSQL runs any more. A backend outlives its killed postmaster and goes on
//! committing (F31), so 'PostgreSQL is gone' here always means: the postmaster *and* every descendant have been reaped.
//! Should the guard itself be killed, the parent-death signal takes the postmaster along (PROTOCOL.md, clause 12).
//!
//! One thread, no async runtime, nothing allocated once PostgreSQL runs, time only from CLOCK_BOOTTIME. It knows
//! nothing of roles, clusters or SQL, and it never deletes `postmaster.pid`. Its client is `interrex_agent::process`.

pub mod clock;
pub mod wire;

mod args;
mod cgroup;
mod descendants;
mod launch;
mod log;
mod parent;
mod serve;
mod signals;
mod socket;
mod start;

pub use parent::die_with_starter;
pub use start::main;

/// Removes what a *killed* guard leaves behind: its socket and its empty control group (one that ends by itself leaves
/// neither). Does nothing while a guard or a process of its PostgreSQL lives. For the agent that saw it die, and for
/// whoever takes a whole data directory away; a next guard on the same socket path manages without it.
pub fn clear_traces(socket: &std::path::Path) {
    socket::remove_abandoned(socket);
    cgroup::remove_abandoned(socket);
}
