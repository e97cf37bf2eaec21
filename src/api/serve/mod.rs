//! The answering side: traits in our own types, and the adapters that put them on the wire.
//!
//! A coordinator implements [`SessionHandler`] and [`AdminHandler`] and adds [`session_service`] and
//! [`admin_service`] to its tonic server. What cannot be read is refused here (INVALID_ARGUMENT, naming the field);
//! a handler sees only values that it may trust.

mod admin;
mod alive;
mod session;

pub use admin::{AdminBorder, AdminHandler, AdminService, admin_service};
pub use session::{SessionBorder, SessionHandler, SessionService, session_service};

use crate::refused::Refused;
use interrex_tls::{Peer, Proof};
use std::net::SocketAddr;
use std::pin::Pin;
use tokio_stream::Stream;
use tonic::Request;

/// Metadata key on a call that a coordinator passed on for somebody else.
pub(crate) const RELAYED: &str = "interrex-relayed";
/// Metadata key under which an operator shows a token, as everywhere: `Bearer …`.
pub const AUTHORIZATION: &str = "authorization";

/// Answers in a row; an error ends them.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Refused>> + Send>>;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Where from; absent when the transport has no addresses.
    pub remote: Option<SocketAddr>,
    /// True when a coordinator passed the call on: it must not be passed on again.
    pub relayed: bool,
    /// What its connection proved. [`Proof::Open`] also where the server attached nothing.
    pub proof: Proof,
}

impl Caller {
    fn of<T>(request: &Request<T>) -> Self {
        let peer = request.extensions().get::<Peer>();
        Self {
            remote: peer.map_or_else(|| request.remote_addr(), |peer| peer.remote),
            relayed: request.metadata().contains_key(RELAYED),
            proof: peer.map_or(Proof::Open, |peer| peer.proof.clone()),
        }
    }
}
