//! Free ports on loopback, all different.
//!
//! They lie below the range from which the kernel takes the ports of outgoing connections: a machine that is down for
//! a while must find its ports free again, while a writer dials that very address fifty times a second. (Inside that
//! range such a dial may even connect to itself.)

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below these live well-known services.
const LOWEST: u16 = 15_000;
/// With fewer to choose from the kernel is asked instead.
const ENOUGH: usize = 1_000;

/// `count` ports that were free a moment ago; all were held at once, so no two are the same.
pub(crate) fn free(count: usize) -> io::Result<Vec<u16>> {
    let range = below_outgoing(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?);
    let listeners = match range {
        Some(range) => in_range(count, range)?,
        None => (0..count).map(|_| listen(0)).collect::<io::Result<Vec<_>>>()?,
    };
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn below_outgoing(range: &str) -> Option<Range<u16>> {
    let first: u16 = range.split_whitespace().next()?.parse().ok()?;
    let range = LOWEST..first;
    (range.len() >= ENOUGH).then_some(range)
}

/// Begins at a place of this process's own, so that two demos begun together do not take the same ports.
fn in_range(count: usize, range: Range<u16>) -> io::Result<Vec<TcpListener>> {
    let begin = own_number() % range.len();
    let ports = range.clone().cycle().skip(begin).take(range.len());
    let listeners: Vec<_> = ports.filter_map(|port| listen(port).ok()).take(count).collect();
    if listeners.len() < count {
        return Err(io::Error::other(format!("fewer than {count} ports of {range:?} are free")));
    }
    Ok(listeners)
}

/// Spread by a prime: neighbouring process ids must not mean neighbouring ports.
fn own_number() -> usize {
    usize::try_from(std::process::id()).unwrap_or_default().wrapping_mul(7_919)
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_are_distinct_free_and_no_outgoing_connection_takes_them() {
        let ports = free(6).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 6);
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        if let Some(below) = below_outgoing(&range) {
            assert!(ports.iter().all(|port| below.contains(port)), "{ports:?} in {below:?}");
        }
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = in_range(1, 15_000..32_768).unwrap();
        let port = taken[0].local_addr().unwrap().port();
        assert_ne!(in_range(1, port..port + 500).unwrap()[0].local_addr().unwrap().port(), port);
    }

    #[test]
    fn where_outgoing_connections_take_nearly_all_ports_the_kernel_chooses() {
        assert_eq!(below_outgoing("1024\t65535\n"), None);
        assert_eq!(below_outgoing("32768\t60999\n"), Some(15_000..32_768));
    }
}
