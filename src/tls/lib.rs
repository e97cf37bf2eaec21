//! Who this machine is to others, and whom it believes: certificates, their keys, and an operator's token.
//!
//! [`Tls`] is read from PEM files and judged at once (a wrong file is one line that names it and the way out); it is
//! read again when they change, so that a renewed certificate needs no restart, and what does not fit together never
//! replaces what does. [`Names`] are what a certificate proves about its owner; [`Token`] stands in for one.
//!
//! Promises: no global state, no process-wide crypto provider, no key or token in a log or an error. Left to others:
//! sockets (`interrex-api` dials, `interrex-coordinator` accepts), and who may ask for what.

mod fault;
mod files;
mod judge;
mod names;
mod peer;
mod tls;
mod token;
mod words;

pub use fault::{Fault, Item};
pub use files::Files;
pub use names::Names;
pub use peer::{Peer, Proof};
pub use tls::{Owner, Tls};
pub use token::Token;
pub use words::{ago, in_words};

/// The library that speaks TLS, for those who hold the sockets.
pub use tokio_rustls::rustls;
