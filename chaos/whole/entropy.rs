//! What a process asks the machine for: time and randomness, out of the world and the seed.

use interrex_rt::{Clock, Rng};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A wall clock that begins in November 2026; for display alone, as everywhere.
const WALL_MS: u64 = 1_795_000_000_000;

/// A machine's boot clock, set by the world: it drifts, and goes on while a process is stopped.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorldClock(Arc<AtomicU64>);

impl WorldClock {
    pub(crate) fn set(&self, boot_ms: u64) {
        self.0.store(boot_ms, Ordering::Relaxed);
    }
}

impl Clock for WorldClock {
    fn boot_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn wall_ms(&self) -> u64 {
        WALL_MS + self.boot_ms()
    }
}

/// Randomness of a seed.
#[derive(Debug)]
pub(crate) struct Seeded(Mutex<interrex_sim::Rng>);

impl Seeded {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(Mutex::new(interrex_sim::Rng::new(seed, stream)))
    }
}

impl Rng for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.fill_with(|| u8::try_from(rng.below(256)).unwrap_or_default());
        Ok(())
    }
}
