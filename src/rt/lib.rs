//! The seams between our code and the machine: time, randomness, tasks, connections. Each is a small trait with one real
//! implementation here; a simulation brings its own.
//!
//! Knows nothing of Interrex: milliseconds and bytes, no types of ours.

mod clock;
mod link;
mod rng;
mod spawner;

pub use clock::{Clock, SystemClock};
pub use link::{Awaited, Dial, Dialer, Link, Listen, Stream};
pub use rng::{Rng, SystemRng};
pub use spawner::{Spawner, Task, TokioSpawner, Work};
