//! Passwords and identities, drawn where the leader creates a cluster; the log carries them from there.

use interrex_cluster::ids::ClusterId;
use interrex_cluster::record::Secrets;
use interrex_rt::Rng;
use std::io;

/// 24 random bytes as text that needs no quoting in a URL, a shell or a connection string: 32 characters.
pub(crate) fn password(rng: &dyn Rng) -> io::Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0u8; 24];
    rng.fill(&mut bytes)?;
    let text = bytes.chunks_exact(3).flat_map(|three| {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize]))
    });
    Ok(text.collect())
}

/// The passwords of a new cluster, and its random identity.
pub(crate) fn of_cluster(rng: &dyn Rng, owner: Option<(String, String)>) -> io::Result<(ClusterId, Secrets)> {
    let mut id = [0u8; 4];
    rng.fill(&mut id)?;
    let secrets = Secrets { superuser: password(rng)?, replication: password(rng)?, owner };
    Ok((ClusterId(u32::from_be_bytes(id)), secrets))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 1, 2, …
    #[derive(Debug)]
    struct Counting;

    impl Rng for Counting {
        fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
            bytes.iter_mut().zip(0..).for_each(|(byte, i)| *byte = i);
            Ok(())
        }
    }

    #[test]
    fn a_password_is_url_safe_base64_of_24_bytes() {
        assert_eq!(password(&Counting).unwrap(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
    }

    #[test]
    fn no_two_passwords_of_a_cluster_are_the_same() {
        let (_, secrets) = of_cluster(&interrex_rt::SystemRng, None).unwrap();
        assert_ne!(secrets.superuser, secrets.replication);
    }
}
