//! Why a client has no answer, in sentences that can be printed as they stand.

use crate::convert::BadMessage;
use crate::dial::insecure;
use crate::refused::Refused;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;
use tonic::{Code, ConnectError, Status};

/// Why a client has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// There is nobody to ask.
    #[error("no coordinator is named: try --coordinators host:port,… or set INTERREX_COORDINATORS")]
    NoAddress,
    /// An address that is none.
    #[error(
        "'{given}' is not the address of a coordinator: expected host:port, such as 10.0.0.1:7400, or n1=10.0.0.1:7400"
    )]
    BadAddress {
        /// The text given.
        given: String,
    },
    /// Nobody is there.
    #[error("no coordinator answered: {}", list(tried))]
    NoAnswer {
        /// Every address, in the order tried.
        tried: Vec<Tried>,
    },
    /// They are there, and no connection over TLS came about: one side does not believe the other.
    #[error("no coordinator could be spoken to over TLS: {}", list(tried))]
    Insecure {
        /// Every address, in the order tried.
        tried: Vec<Tried>,
    },
    /// Whoever is there is no member of the group of coordinators: removed from it, or not added yet.
    #[error("no coordinator that was asked is a member of the group: {}", list(tried))]
    NotMember {
        /// Every address, in the order tried.
        tried: Vec<Tried>,
    },
    /// Whoever is there waits for others, to form the group of coordinators with them.
    #[error("the group of coordinators is not formed yet: {}", list(tried))]
    NotFormed {
        /// Every address, in the order tried.
        tried: Vec<Tried>,
    },
    /// They are there, and none of them can do it now: an election is under way, or a majority is missing.
    #[error("no coordinator can do this at the moment: {}", list(tried))]
    NotNow {
        /// Every address of the last round, in the order tried.
        tried: Vec<Tried>,
    },
    /// The answer is no.
    #[error("{refused}")]
    Refused {
        /// Who said so.
        address: String,
        /// What was said.
        refused: Refused,
    },
    /// The request was sent and its answer never came. Only for calls that must not be repeated.
    #[error(
        "{}: the request may or may not have been carried out: look with interrex show, or interrex coordinator list, before asking again",
        tried
    )]
    OutcomeUnknown {
        /// To whom, and what happened.
        tried: Tried,
    },
    /// An answer that cannot be read.
    #[error("{address} answered what this build cannot read ({bad}): is it of another version?")]
    BadReply {
        /// Who answered.
        address: String,
        /// What is wrong with it.
        bad: BadMessage,
    },
}

/// One address and why it did not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// `host:port`.
    pub address: String,
    /// What happened there.
    pub why: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.why)
    }
}

fn list(tried: &[Tried]) -> String {
    tried.iter().map(Tried::to_string).collect::<Vec<_>>().join("; ")
}

/// What a call that brought no answer tells about the request.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A coordinator's own word.
    Refused(Refused),
    /// It was never sent.
    NotSent(String),
    /// It was never sent: one side does not believe the other.
    Insecure(String),
    /// It was sent, perhaps; nothing is known.
    Unknown(String),
}

impl Failure {
    /// What a status tells, of a call that had `deadline`. Without our mark it is the transport's.
    pub(crate) fn of(status: &Status, deadline: Duration) -> Failure {
        if let Some(refused) = Refused::from_status(status) {
            return Failure::Refused(refused);
        }
        if let Some(why) = insecure(status) {
            return Failure::Insecure(why);
        }
        let mut never_connected = false;
        let mut innermost = None;
        let mut source = status.source();
        while let Some(error) = source {
            never_connected |= error.is::<ConnectError>();
            innermost = Some(error);
            source = error.source();
        }
        let why = innermost.map_or_else(|| status.message().to_owned(), plain);
        // The deadline travels with the request, and either end may be the first to notice that it passed.
        if !never_connected && matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded) {
            return Failure::timed_out(deadline);
        }
        if never_connected { Failure::NotSent(why) } else { Failure::Unknown(why) }
    }

    /// What a deadline of our own tells.
    pub(crate) fn timed_out(after: Duration) -> Failure {
        Failure::Unknown(Self::timed_out_text(after))
    }

    /// The same, in words.
    pub(crate) fn timed_out_text(after: Duration) -> String {
        format!("no answer within {}", interrex_cluster::time::span(after))
    }
}

/// An error's text, without the noise that Rust adds to errors of the system.
fn plain(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(io::ErrorKind::ConnectionReset) => "connection reset".to_owned(),
        Some(io::ErrorKind::TimedOut) => "connection timed out".to_owned(),
        Some(io::ErrorKind::HostUnreachable) => "no route to host".to_owned(),
        Some(io::ErrorKind::NetworkUnreachable) => "network unreachable".to_owned(),
        _ => error.to_string(),
    }
}
