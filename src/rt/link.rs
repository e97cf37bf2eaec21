//! Connections: made to an address, taken at one. TCP, unless whoever puts a node together brings something else: a
//! tunnel, a Unix socket, pipes in memory.
//!
//! Knows bytes only; who is at the other end, and in which words it speaks, is the affair of those who use it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// An open connection.
pub type Link = Box<dyn Stream>;

/// Something that is waited for, and may fail.
pub type Awaited<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Makes connections.
pub trait Dial: Send + Sync + 'static {
    /// A connection to whoever listens there. May take for ever: the caller has a deadline.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Awaited<'a, Link>;
}

/// Takes connections.
pub trait Listen: Send + 'static {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// The next connection, and where it came from. Cancel safe.
    fn accept(&mut self) -> Awaited<'_, (Link, SocketAddr)>;
}

/// How connections are made: by TCP, unless another way was given. Cheap to clone; equal to its clones.
#[derive(Clone, Default)]
pub struct Dialer(Option<Arc<dyn Dial>>);

impl Dialer {
    /// Another way than TCP.
    #[must_use]
    pub fn through(way: Arc<dyn Dial>) -> Self {
        Self(Some(way))
    }

    /// True unless another way was given.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.0.is_none()
    }

    /// A connection to whoever listens there. Has no deadline of its own.
    ///
    /// # Errors
    /// As the system, or the other way, has it.
    pub async fn dial(&self, host: &str, port: u16) -> io::Result<Link> {
        match &self.0 {
            Some(way) => way.dial(host, port).await,
            None => {
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl PartialEq for Dialer {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for Dialer {}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tcp() { "tcp" } else { "another way than tcp" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    struct Pipe(std::sync::Mutex<Option<DuplexStream>>);

    impl Dial for Pipe {
        fn dial<'a>(&'a self, _: &'a str, _: u16) -> Awaited<'a, Link> {
            let end = self.0.lock().unwrap().take();
            Box::pin(async { Ok(Box::new(end.ok_or(io::ErrorKind::ConnectionRefused)?) as Link) })
        }
    }

    #[tokio::test]
    async fn a_dialer_takes_the_way_that_it_was_given_and_equals_its_clones() {
        let (near, mut far) = tokio::io::duplex(64);
        let dialer = Dialer::through(Arc::new(Pipe(Some(near).into())));
        let mut link = dialer.dial("n1", 7400).await.unwrap();
        link.write_all(b"ave").await.unwrap();
        let mut heard = [0; 3];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ave");
        assert_eq!(dialer.dial("n1", 7400).await.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(dialer, dialer.clone());
        assert_ne!(dialer, Dialer::default());
    }
}
