//! Who is at the other end of a connection, as far as its handshake proved it. A server attaches it to every request
//! of the connection; it is the connection's, whatever the request itself claims.

use crate::Names;
use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where from; absent when the connection broke before it was asked.
    pub remote: Option<SocketAddr>,
    /// What it proved.
    pub proof: Proof,
}

/// What a connection proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing, and nothing is asked: TLS is off here.
    Open,
    /// Nothing: it speaks plain text to a server that speaks TLS.
    Plain,
    /// It speaks TLS, and showed no certificate.
    Nobody,
    /// It holds the key of a certificate with these names, signed by our CA.
    Certificate(Arc<Names>),
}

impl Proof {
    /// The names proved, if any.
    pub fn names(&self) -> Option<&Names> {
        match self {
            Proof::Certificate(names) => Some(names),
            Proof::Open | Proof::Plain | Proof::Nobody => None,
        }
    }
}
