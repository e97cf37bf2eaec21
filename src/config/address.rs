//! Where something can be dialled: a host (name or IP) and a port.
//!
//! What this machine listens on is a `SocketAddr`; what others dial may be a name, which is resolved
//! when it is dialled and not before: a name service that is down must not keep a node from starting.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `host:port`, `1.2.3.4:port` or `[::1]:port`; the port is never 0, the host never a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host without brackets, as PostgreSQL's `host=` wants it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 1–65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The IP address, if the host is one (a name is not resolved here).
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether traffic to it stays on this machine: a loopback IP or `localhost`.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Self {
        Address { host: socket.ip().to_string(), port: socket.port() }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            if socket.ip().is_unspecified() {
                return Err(format!("{} is a wildcard and cannot be dialled", socket.ip()));
            }
            return port(socket.port()).map(|_| socket.into());
        }
        let (host, digits) = text.rsplit_once(':').ok_or("the port is missing")?;
        let number = digits.parse::<u16>().map_err(|_| format!("'{digits}' is no port (1-65535)"))?;
        if !is_host_name(host) {
            return Err(format!("'{host}' is neither an IP address nor a host name"));
        }
        Ok(Address { host: host.into(), port: port(number)? })
    }
}

/// Parses an address to listen on: an IP of this machine and a port, no name.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(socket) => port(socket.port()).map(|_| socket),
        Err(_) => match text.parse::<Address>() {
            Ok(address) => Err(format!("'{}' is a name; a listener needs an IP address", address.host)),
            Err(why) => Err(why),
        },
    }
}

fn port(number: u16) -> Result<u16, String> {
    if number == 0 { Err("port 0 cannot be found by others".into()) } else { Ok(number) }
}

/// RFC 1123 letters; a name made of digits and dots alone is a mistyped IP address.
fn is_host_name(host: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.len() <= 253 && host.split('.').all(label) && !host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_it_was_written() {
        for text in ["10.0.0.1:7400", "[::1]:7400", "db-1.example:7400", "localhost:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_its_reason() {
        for (text, why) in [
            ("10.0.0.1", "the port is missing"),
            ("10.0.0.1:0", "port 0 cannot be found by others"),
            ("0.0.0.0:7400", "0.0.0.0 is a wildcard and cannot be dialled"),
            ("10.0.0.1:99999", "'99999' is no port (1-65535)"),
            ("10.0.0.300:7400", "'10.0.0.300' is neither an IP address nor a host name"),
            ("a_b:7400", "'a_b' is neither an IP address nor a host name"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err(), why, "{text}");
        }
    }
}
