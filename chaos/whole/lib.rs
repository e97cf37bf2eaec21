//! The second tier of the simulation, nearer to what ships: the real coordinators (openraft itself, our log, driver,
//! leases, sessions, gRPC and all) in virtual time, each in a runtime of its own, over connections and disks in memory.
//! Agents are the real ones down to the deed: lines, loop, the keeper of leases and beats. Below that line deeds, servers,
//! clients, strikes and properties are those of the first tier (`chaos/sim`, by its [`Stage`](interrex_sim::Stage)).
//!
//! Whatever a run does follows from its seed: a process is one thread's runtime with a paused clock and seeded
//! randomness, and all of them take turns on the thread that runs the seed. What breaks this is banned in clippy.toml.

#[cfg(not(tokio_unstable))]
compile_error!(
    "only with `--cfg tokio_unstable` is tokio's own randomness seeded: it stands in .cargo/config.toml, which an \
     environment RUSTFLAGS overrides"
);

mod batch;
mod coordinator;
mod disk;
mod entropy;
mod hear;
mod net;
mod operator;
mod pipe;
mod process;
mod puppet;
mod run;
mod running;
mod session;
mod strings;

pub use batch::{batch, play, play_hash, shorten};
pub use run::{run, run_two_groups};
