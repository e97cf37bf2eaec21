//! One connection to one coordinator. [`channel`] is the only place where connections are made: TLS goes here.

use super::error::ClientError;
use crate::serve::RELAYED;
use std::time::Duration;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

/// A connection on which the peer does not answer pings for so long is closed: a stopped process still acknowledges
/// TCP, only an answer of its own counts as life.
const PING: Duration = Duration::from_millis(500);

/// How a client connects, and how patient it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// Most time for a TCP connection.
    pub connect: Duration,
    /// Most time for one call to one coordinator, connecting included.
    pub call: Duration,
    /// Most time for everything: every address, every repetition.
    pub overall: Duration,
    /// Who asks, for the coordinators' logs: `interrex-ctl/0.1`.
    pub user_agent: String,
    /// Set by a coordinator that passes a call on: it is marked so, and hints are not followed.
    pub relayed: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(300),
            call: Duration::from_secs(2),
            overall: Duration::from_secs(5),
            user_agent: concat!("interrex/", env!("CARGO_PKG_VERSION")).to_owned(),
            relayed: false,
        }
    }
}

impl ClientOptions {
    /// A request with its deadline and its marks.
    pub(crate) fn request<P>(&self, message: P, deadline: Duration) -> Request<P> {
        let mut request = Request::new(message);
        request.set_timeout(deadline);
        self.mark(&mut request);
        request
    }

    /// A request for a stream, which may last.
    pub(crate) fn lasting<P>(&self, message: P) -> Request<P> {
        let mut request = Request::new(message);
        self.mark(&mut request);
        request
    }

    fn mark<P>(&self, request: &mut Request<P>) {
        if self.relayed {
            request.metadata_mut().insert(RELAYED, MetadataValue::from_static("1"));
        }
    }
}

/// A channel to `host:port`. Nothing is dialled before the first call, and a broken connection is dialled anew by the
/// next one.
///
/// # Errors
/// The address is none.
pub(crate) fn channel(address: &str, options: &ClientOptions) -> Result<Channel, ClientError> {
    let bad = || ClientError::BadAddress { given: address.to_owned() };
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    if port.is_none_or(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err(bad());
    }
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .and_then(|endpoint| endpoint.user_agent(options.user_agent.clone()))
        .map_err(|_| bad())?
        .connect_timeout(options.connect)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_lazy())
}
