//! The socket to a guard: whole messages, in order, and an end of stream the moment the guard is gone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use interrex_guard::wire::{Answer, Request, SIZE};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    socket_with, socketpair, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::pidfd::watched;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A connected socket.
pub(super) struct Link(AsyncFd<OwnedFd>);

impl Link {
    /// To the guard that listens on `path`.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        connect(&fd, &address)?;
        Ok(Self(watched(fd)?))
    }

    /// Our end, and the end to hand to a guard about to be started.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        Ok((Self(watched(ours)?), theirs))
    }

    /// The process that listens at the other end; meaningful after [`Link::connect`] only.
    pub(super) fn peer(&self) -> Option<u32> {
        let peer = sockopt::socket_peercred(self.0.get_ref()).ok()?;
        u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
    }

    pub(super) async fn send(&self, id: u32, request: &Request) -> io::Result<()> {
        let frame = request.encode(id);
        let attempt = |fd: &OwnedFd| {
            Ok(send(fd.as_fd(), &frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map(|_| ())?)
        };
        self.0.async_io(Interest::WRITABLE, attempt).await
    }

    /// The next answer and its id; `None` when the guard is gone. May be dropped at any moment without losing one.
    pub(super) async fn receive(&self) -> io::Result<Option<(u32, Answer)>> {
        loop {
            let mut frame = [0; SIZE];
            let attempt = |fd: &OwnedFd| Ok(recv(fd.as_fd(), &mut frame[..], RecvFlags::DONTWAIT)?.0);
            let read = match self.0.async_io(Interest::READABLE, attempt).await {
                // The guard ended with a request of ours unread. The kernel says so once, and before the messages
                // that are still to be read: its last word may be among them.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
                read => read?,
            };
            if read == 0 {
                return Ok(None);
            }
            // What a newer guard may say beyond our understanding is no answer to anything we asked.
            if let Some(heard) = Answer::decode(&frame[..read]) {
                return Ok(Some(heard));
            }
        }
    }
}
