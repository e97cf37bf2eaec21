//! What the supervisor is told of the node's life: ready, reloading, stopping. The protocol is one datagram to the socket
//! that $NOTIFY_SOCKET names (sd_notify(3)); these few lines are all of it that a node uses, hence no crate.
//!
//! Without the variable nothing is told. A supervisor that does not listen is said so once, and never stops a node.

use rustix::time::{ClockId, clock_gettime};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whoever started this node and wants to hear of it.
pub(crate) struct Supervisor(Option<OsString>);

impl Supervisor {
    /// The one that the environment names, if it does.
    pub(crate) fn of_environment() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()))
    }

    /// The ports are taken, the log is open, the agent begins: what was started is there. Whether a cluster works is
    /// another question, for `interrex status`.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Files are read again; [`Supervisor::ready`] ends that.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        // Microseconds, as systemd wants to know which of two reloads this answers.
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}{:06}", now.tv_sec, now.tv_nsec / 1_000));
    }

    /// PostgreSQL is being stopped, leadership handed away.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, what: &str) {
        let Some(socket) = &self.0 else { return };
        if let Err(why) = send(socket, what.as_bytes()) {
            let socket = socket.display();
            tracing::warn!(%socket, "the supervisor named by NOTIFY_SOCKET was not told {what:?}: {why}");
        }
    }
}

/// `@name` is a name of the abstract namespace, everything else a path.
fn send(socket: &OsStr, what: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let from = UnixDatagram::unbound()?;
    // A supervisor that reads nothing must not hold up a node.
    from.set_nonblocking(true)?;
    from.send_to_addr(what, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(by: &UnixDatagram) -> String {
        let mut bytes = [0; 128];
        let length = by.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_hear_what_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        Supervisor(Some(path.into())).ready();
        assert_eq!(heard(&at_path), "READY=1");

        let name = format!("interrex-{}", std::process::id());
        let at_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let supervisor = Supervisor(Some(format!("@{name}").into()));
        supervisor.reloading();
        let told = heard(&at_name);
        let digits = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(digits.parse::<u64>().is_ok_and(|usec| usec > 0), "{told}");
    }

    #[test]
    fn nobody_to_tell_and_nobody_who_listens_are_no_failure() {
        Supervisor(None).stopping();
        Supervisor(Some("/nowhere/at/all".into())).stopping();
    }
}
