//! Free ports on loopback. They lie below the range from which the kernel takes the ports of outgoing connections, so
//! that a machine which is down for a while finds its ports free again; nobody else of this process gets the same.
//!
//! One file for several crates' tests, which take it in with `#[path]`.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Between well-known services and the kernel's own range, which begins at 32768 unless somebody moved it.
const FIRST: usize = 10_000;
const COUNT: usize = 20_000;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Listens on a port that was free.
pub(crate) fn listener() -> TcpListener {
    // Spread by a prime: two test runs at once must not walk the same way.
    let begin = usize::try_from(std::process::id()).unwrap().wrapping_mul(7_919);
    (0..COUNT)
        .map(|_| FIRST + (begin + TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .map(|port| u16::try_from(port).unwrap())
        .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .expect("a free port between 10000 and 30000")
}
