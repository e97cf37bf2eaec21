//! One connection to one coordinator: how patient it is, and what every call on it shows.

use super::error::ClientError;
use crate::dial::Target;
use crate::serve::{AUTHORIZATION, RELAYED};
use interrex_rt::Dialer;
use interrex_tls::{Tls, Token};
use std::time::Duration;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

/// How a client connects, and how patient it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// Most time for a connection, TLS not included.
    pub connect: Duration,
    /// Most time for one call to one coordinator, connecting included.
    pub call: Duration,
    /// Most time for everything: every address, every repetition.
    pub overall: Duration,
    /// A connection is silent for so long before the other end is asked for a sign of life, and closed when none has come
    /// after as long again: a stopped process still acknowledges TCP, only an answer of its own counts.
    pub ping: Duration,
    /// Who asks, for the coordinators' logs: `interrex-ctl/0.1`.
    pub user_agent: String,
    /// Set by a coordinator that passes a call on: it is marked so, and hints are not followed.
    pub relayed: bool,
    /// Whom to believe, and as whom to connect. Absent: plain text.
    pub tls: Option<Tls>,
    /// Shown with every call, by whoever has no certificate.
    pub token: Option<Token>,
    /// How connections are made. Default: by TCP.
    pub dialer: Dialer,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(300),
            call: Duration::from_secs(2),
            overall: Duration::from_secs(5),
            ping: Duration::from_millis(500),
            user_agent: concat!("interrex/", env!("CARGO_PKG_VERSION")).to_owned(),
            relayed: false,
            tls: None,
            token: None,
            dialer: Dialer::default(),
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
        // A token is printable ASCII, so this never fails.
        if let Some(token) = &self.token
            && let Ok(mut shown) = MetadataValue::try_from(token.bearer())
        {
            shown.set_sensitive(true);
            request.metadata_mut().insert(AUTHORIZATION, shown);
        }
    }
}

/// A channel to `host:port` or `MACHINE=host:port`. Nothing is dialled before the first call, and a broken connection
/// is dialled anew by the next one.
///
/// # Errors
/// The address is none.
pub(crate) fn channel(address: &str, options: &ClientOptions) -> Result<Channel, ClientError> {
    let bad = || ClientError::BadAddress { given: address.to_owned() };
    let target: Target = address.parse().map_err(|_| bad())?;
    let agent = options.user_agent.parse::<tonic::codegen::http::HeaderValue>().map_err(|_| bad())?;
    let settings = |endpoint: tonic::transport::Endpoint| {
        let named = endpoint.clone().user_agent(agent).unwrap_or(endpoint);
        named
            .http2_keep_alive_interval(options.ping)
            .keep_alive_timeout(options.ping)
            .keep_alive_while_idle(true)
    };
    target.channel(options.tls.as_ref(), &options.dialer, options.connect, settings).map_err(|_| bad())
}
