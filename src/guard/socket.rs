//! The guard's socket: one path per guard, a few clients, never waiting for any of them.

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, send, socket_with, sockopt,
};

use crate::wire::{Answer, Frame, SIZE};

/// The listening socket, unlinked by [`Listener::unlink`].
pub(crate) struct Listener {
    fd: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Binds `path`. A path that nobody listens on is what a killed guard left, and is replaced.
    pub(crate) fn claim(path: &Path) -> Result<Self, String> {
        let fail = |doing: &str, error: Errno| format!("cannot {doing} socket {}: {error}", path.display());
        let address = SocketAddrUnix::new(path)
            .map_err(|_| format!("socket path {} is too long (at most 107 bytes)", path.display()))?;
        match connect(new_socket().map_err(|e| fail("make", e))?, &address) {
            Err(Errno::NOENT) => {}
            Err(Errno::CONNREFUSED) => rustix::fs::unlink(path).map_err(|e| fail("replace", e))?,
            Err(error) if error != Errno::AGAIN => return Err(fail("look at", error)),
            _ => {
                return Err(format!(
                    "another guard serves {}: its PostgreSQL still runs; connect to it, or stop it first",
                    path.display()
                ));
            }
        }
        let fd = new_socket().map_err(|e| fail("make", e))?;
        bind(&fd, &address).map_err(|e| fail("bind", e))?;
        listen(&fd, 16).map_err(|e| fail("listen on", e))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// The next client that came in, if any.
    pub(crate) fn accept(&self) -> Option<Client> {
        accept_with(&self.fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok().map(Client)
    }

    /// Unlinks the path, so that a next guard may take it.
    pub(crate) fn unlink(&self) {
        let _ = rustix::fs::unlink(&self.path);
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Unlinks the path of a guard that was killed: one that is there and nobody listens on.
pub(crate) fn remove_abandoned(path: &Path) {
    let Ok(address) = SocketAddrUnix::new(path) else { return };
    if new_socket().is_ok_and(|fd| connect(fd, &address) == Err(Errno::CONNREFUSED)) {
        let _ = rustix::fs::unlink(path);
    }
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// A connected agent.
pub(crate) struct Client(OwnedFd);

/// What one look at a client's socket gave.
pub(crate) enum Received {
    /// A message (this many bytes of the frame).
    Message(Frame, usize),
    /// Nothing at the moment.
    Nothing,
    /// The client is gone.
    Gone,
}

impl Client {
    /// The agent that started this guard hands over a connected socket as standard input, so there is no moment in
    /// which it is not connected. Anything else there (a terminal, a file) is no client.
    pub(crate) fn from_stdin() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        if sockopt::socket_type(stdin).ok()? != SocketType::SEQPACKET {
            return None;
        }
        let fd = rustix::io::fcntl_dupfd_cloexec(stdin, 3).ok()?;
        rustix::io::ioctl_fionbio(&fd, true).ok()?;
        Some(Client(fd))
    }

    pub(crate) fn receive(&self) -> Received {
        let mut frame = [0; SIZE];
        match recv(&self.0, &mut frame, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Received::Gone,
            Ok((read, _)) => Received::Message(frame, read.min(SIZE)),
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(_) => Received::Gone,
        }
    }

    /// Sends without waiting: a client that does not read its answers loses them, not our time.
    pub(crate) fn send(&self, answer: &Answer, id: u32) {
        let _ = send(&self.0, &answer.encode(id), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
