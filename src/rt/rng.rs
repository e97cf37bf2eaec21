//! Randomness that nobody can guess: for passwords, identities, and whose election comes first.

use std::fmt::Debug;
use std::io;

/// Draws random bytes.
pub trait Rng: Debug + Send + Sync + 'static {
    /// Fills the buffer.
    ///
    /// # Errors
    /// The system has no randomness to give; nothing of the buffer may be used then.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// One number.
    ///
    /// # Errors
    /// As [`Rng::fill`].
    fn number(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
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
