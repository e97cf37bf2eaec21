//! The open port: takes connections, lets them prove who they are, and hands them to the server with the proof.
//!
//! Handshakes run beside one another and beside the calls of those who are in: one that dawdles holds up nobody. Each
//! takes the certificate as it is now. Plain text on a port that speaks TLS is let in only as far as to be told so
//! ([`super::gate`]); a handshake that fails is logged once for each caller and reason.

use futures::{Stream, stream};
use interrex_rt::{Link, Listen};
use interrex_tls::{Names, Peer, Proof, Tls, in_words};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::Connected;

/// Whoever has not proved who it is by then is sent away, and so is whoever was told in plain text that it cannot.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Handshakes under way. One more, and the oldest is given up: an honest one takes milliseconds, so it is one that
/// dawdles, and whoever opens many connections without a word keeps nobody else out.
pub(crate) const AT_ONCE: usize = 128;
/// Callers whose last failure is remembered.
const REMEMBERED: usize = 64;
/// After the system refused to take a connection (no descriptors left): nothing tells when it will.
const PAUSE: Duration = Duration::from_millis(50);
/// First byte of every TLS connection.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Where connections come from.
pub(crate) enum Entrance {
    /// A TCP port of this machine.
    Port(TcpListener),
    /// What the coordinator's owner brought instead.
    Other(Box<dyn Listen>),
}

impl Entrance {
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Port(listener) => listener.local_addr(),
            Self::Other(listener) => Ok(listener.address()),
        }
    }

    async fn accept(&mut self) -> io::Result<(Caller, SocketAddr)> {
        match self {
            Self::Port(listener) => listener.accept().await.map(|(stream, from)| (Caller::Tcp(stream), from)),
            Self::Other(listener) => listener.accept().await.map(|(link, from)| (Caller::Other(link), from)),
        }
    }
}

/// Who has come, before it has proved anything.
enum Caller {
    Tcp(TcpStream),
    Other(Link),
}

impl Caller {
    fn link(self) -> Link {
        match self {
            Self::Tcp(stream) => Box::new(stream),
            Self::Other(link) => link,
        }
    }
}

/// A connection and who is at its other end.
pub(crate) struct Connection {
    io: Link,
    peer: Peer,
    /// Of one that is only to be told why it is not let in: then it is over.
    until: Option<Pin<Box<Sleep>>>,
    /// Then each is: whoever does not hang up would keep the coordinator's port and memory.
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Connection {
    fn new(io: Link, remote: Option<SocketAddr>, proof: Proof, mut cut: watch::Receiver<bool>) -> Self {
        let until = matches!(proof, Proof::Plain).then(|| Box::pin(sleep(HANDSHAKE)));
        let cut = Box::pin(async move {
            // Also once there is no coordinator any more that could say so.
            let _ = cut.wait_for(|cut| *cut).await;
        });
        Self { io, peer: Peer { remote, proof }, until, cut }
    }
}

/// Why a connection did not come in: in words, or not worth any.
type Failed = (IpAddr, Option<String>);

struct Port {
    entrance: Entrance,
    tls: Option<Tls>,
    cut: watch::Receiver<bool>,
    shaking: JoinSet<Result<Connection, Failed>>,
    /// The handshakes of `shaking`, oldest first; some may have ended.
    order: VecDeque<AbortHandle>,
    said: BTreeMap<IpAddr, String>,
}

/// Every connection that comes in, for as long as it is asked for one.
pub(crate) fn connections(
    entrance: Entrance,
    tls: Option<Tls>,
    cut: watch::Receiver<bool>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (shaking, order, said) = (JoinSet::new(), VecDeque::new(), BTreeMap::new());
    let port = Port { entrance, tls, cut, shaking, order, said };
    stream::unfold(port, |mut port| async move {
        let connection = port.next().await;
        Some((Ok(connection), port))
    })
}

impl Port {
    async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                came = self.entrance.accept() => match came {
                    Ok((caller, from)) => self.shake(caller, from),
                    Err(why) => {
                        tracing::warn!("take a connection: {why}");
                        sleep(PAUSE).await;
                    }
                },
                Some(shaken) = self.shaking.join_next() => match shaken {
                    Ok(Ok(connection)) => return connection,
                    Ok(Err((from, Some(why)))) => self.say(from, why),
                    Ok(Err((_, None))) => {}
                    Err(given_up) if given_up.is_cancelled() => {}
                    Err(why) => tracing::error!("a handshake ended: {why}"),
                },
            }
        }
    }

    fn shake(&mut self, caller: Caller, from: SocketAddr) {
        if self.order.len() >= AT_ONCE {
            self.order.retain(|shaking| !shaking.is_finished());
        }
        if self.order.len() >= AT_ONCE
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.shaking.spawn(prove(caller, from, self.tls.clone(), self.cut.clone())));
    }

    fn say(&mut self, from: IpAddr, why: String) {
        if self.said.get(&from) == Some(&why) {
            return;
        }
        tracing::warn!(address = %from, "a caller was not let in: {why}");
        if self.said.len() >= REMEMBERED {
            self.said.clear();
        }
        self.said.insert(from, why);
    }
}

async fn prove(
    caller: Caller,
    from: SocketAddr,
    tls: Option<Tls>,
    cut: watch::Receiver<bool>,
) -> Result<Connection, Failed> {
    let remote = Some(from);
    let quietly = |_| (from.ip(), None);
    if let Caller::Tcp(stream) = &caller {
        stream.set_nodelay(true).map_err(quietly)?;
    }
    let Some(tls) = tls else {
        return Ok(Connection::new(caller.link(), remote, Proof::Open, cut));
    };
    let failed = |why: String| (from.ip(), Some(why));
    let proved = async {
        if let Caller::Tcp(stream) = &caller {
            let mut first = [0];
            // Who closes without a word wanted to know whether the port is open.
            if stream.peek(&mut first).await.map_err(quietly)? == 0 {
                return Err((from.ip(), None));
            }
            if first != [HANDSHAKE_RECORD] {
                return Ok(Connection::new(caller.link(), remote, Proof::Plain, cut));
            }
        }
        let own = tls.server().ok_or_else(|| failed("this side has no certificate".to_owned()))?;
        let shaken = TlsAcceptor::from(own).accept(caller.link()).await;
        let stream = shaken.map_err(|error| failed(in_words(&error, "the caller")))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let proof = shown.map_or(Proof::Nobody, |shown| Proof::Certificate(Arc::new(Names::of(shown))));
        Ok(Connection::new(Box::new(stream), remote, proof, cut))
    };
    match timeout(HANDSHAKE, proved).await {
        Ok(proved) => proved,
        Err(_) => Err(failed(format!("it did not end its TLS handshake within {} s", HANDSHAKE.as_secs()))),
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(until) = &mut self.until
            && until.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
