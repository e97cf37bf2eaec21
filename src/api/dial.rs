//! Dialling a coordinator: what an address means, and a connection that is TLS where TLS is on.
//!
//! Over TLS the other end proves who it is before a byte of a request leaves: its certificate is signed by the CA, and
//! names the machine that was meant (`n1=10.0.0.1:7400`) or else the host dialled. A handshake that fails is told in
//! words. Each new connection takes the certificate as it is then, so a renewed one needs no restart.

use hyper_util::rt::TokioIo;
use interrex_rt::{Dialer, Link};
use interrex_tls::rustls::pki_types::ServerName;
use interrex_tls::{Tls, in_words};
use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint, Uri};

/// A server of ours speaks first, as soon as it believes this side's certificate; others may wait for us.
const GREETING: Duration = Duration::from_millis(250);
/// A handshake is a few milliseconds of work on either side, and a machine may be busy.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// A coordinator to dial: `host:port`, or `MACHINE=host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, as it was written.
    authority: String,
    host: String,
    port: u16,
    machine: Option<String>,
}

/// A text that is no address of a coordinator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected host:port or MACHINE=host:port")]
pub struct NoTarget;

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        match text.split_once('=') {
            Some((machine, address)) => Self::of(address, Some(machine)),
            None => Self::of(text, None),
        }
    }
}

impl Target {
    /// A coordinator at `host:port`; over TLS it has to be `machine`, if one is given.
    ///
    /// # Errors
    /// The address is none, or no certificate can bear the name.
    pub fn of(address: &str, machine: Option<&str>) -> Result<Self, NoTarget> {
        let (host, port) = address.rsplit_once(':').ok_or(NoTarget)?;
        // A slash is a URL's, which would be dialled by the name of its scheme.
        if host.is_empty() || host.contains('/') {
            return Err(NoTarget);
        }
        let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or(NoTarget)?;
        if machine.is_some_and(|name| name.is_empty() || name.contains(|c: char| c.is_whitespace())) {
            return Err(NoTarget);
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        Ok(Self { authority: address.to_owned(), host, port, machine: machine.map(str::to_owned) })
    }

    /// A channel to it, with `settings` of the caller's. Nothing is dialled before the first call, and a broken
    /// connection is dialled anew by the next one. `dialer` may take as long as `connect`, a handshake on its
    /// connection a second more. Call it within a tokio runtime.
    ///
    /// # Errors
    /// The address is none, or with TLS: no certificate can bear its name.
    pub fn channel(
        &self,
        tls: Option<&Tls>,
        dialer: &Dialer,
        connect: Duration,
        settings: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Result<Channel, NoTarget> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint =
            Endpoint::from_shared(format!("{scheme}://{}", self.authority)).map_err(|_| NoTarget)?;
        let endpoint = settings(endpoint.tcp_nodelay(true).connect_timeout(connect));
        let Some(tls) = tls else {
            return Ok(match dialer.is_tcp() {
                true => endpoint.connect_lazy(),
                false => {
                    let (target, dialer) = (Arc::new(self.clone()), dialer.clone());
                    endpoint.connect_with_connector_lazy(Plain { target, dialer })
                }
            });
        };
        let name = self.machine.as_ref().unwrap_or(&self.host).clone();
        let secure = Secure {
            name: ServerName::try_from(name).map_err(|_| NoTarget)?,
            target: Arc::new(self.clone()),
            tls: tls.clone(),
            dialer: dialer.clone(),
            connect,
        };
        Ok(endpoint.connect_timeout(connect + HANDSHAKE).connect_with_connector_lazy(secure))
    }

    /// What messages call the other end.
    fn called(&self) -> &str {
        self.machine.as_deref().unwrap_or("the coordinator")
    }
}

/// A TLS connection that did not come about, in words.
#[derive(Debug)]
pub(crate) struct Insecure(String);

impl fmt::Display for Insecure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Insecure {}

/// Why a call ended over TLS before it was sent, in words; `None` when TLS is not to blame.
pub fn insecure(status: &Status) -> Option<String> {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(Insecure(why)) = error.downcast_ref() {
            return Some(why.clone());
        }
        source = error.source();
    }
    None
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections without TLS to one coordinator, by another way than TCP.
#[derive(Clone)]
struct Plain {
    target: Arc<Target>,
    dialer: Dialer,
}

impl Service<Uri> for Plain {
    type Response = TokioIo<Link>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { target, dialer } = self.clone();
        Box::pin(async move { dialer.dial(&target.host, target.port).await.map(TokioIo::new) })
    }
}

/// Makes TLS connections to one coordinator.
#[derive(Clone)]
struct Secure {
    target: Arc<Target>,
    name: ServerName<'static>,
    tls: Tls,
    dialer: Dialer,
    /// For the connection below TLS alone.
    connect: Duration,
}

impl Service<Uri> for Secure {
    type Response = TokioIo<TlsStream<Link>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let secure = self.clone();
        Box::pin(async move { Ok(TokioIo::new(secure.connect().await?)) })
    }
}

impl Secure {
    async fn connect(self) -> Result<TlsStream<Link>, BoxError> {
        let dialled = self.dialer.dial(&self.target.host, self.target.port);
        let stream =
            timeout(self.connect, dialled).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let shaken = TlsConnector::from(self.tls.client()).connect(self.name, stream).await;
        let insecure = |error: io::Error| Insecure(in_words(&error, self.target.called()));
        let mut stream = shaken.map_err(insecure)?;
        // In TLS 1.3 this side is done before the other has judged its certificate: a refusal comes where the first
        // answer would. Here it still has words; inside HTTP/2 it would only be a broken connection.
        match timeout(GREETING, stream.fill_buf()).await {
            Ok(Err(error)) => Err(insecure(error).into()),
            Ok(Ok([])) => Err(insecure(io::ErrorKind::UnexpectedEof.into()).into()),
            Ok(Ok(_)) | Err(_) => Ok(stream),
        }
    }
}
