//! The seams between our code and the machine: time, randomness, tasks. Each is a small trait with one real
//! implementation here; a simulation brings its own.
//!
//! Knows nothing of Interrex: milliseconds and bytes, no types of ours.

mod clock;
mod rng;
mod spawner;

pub use clock::{Clock, SystemClock};
pub use rng::{Rng, SystemRng};
pub use spawner::{Spawner, Task, TokioSpawner, Work};
