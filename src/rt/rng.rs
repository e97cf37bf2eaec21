//! Randomness that nobody can guess: for passwords and identities.

use std::io;

/// Draws random bytes.
pub trait Rng: Send + Sync + 'static {
    /// Fills the buffer.
    ///
    /// # Errors
    /// The system has no randomness to give; nothing of the buffer may be used then.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// The kernel's generator (getrandom).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|e| io::Error::other(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let (mut one, mut other) = ([0; 16], [0; 16]);
        SystemRng.fill(&mut one).unwrap();
        SystemRng.fill(&mut other).unwrap();
        assert_ne!(one, other);
    }
}
