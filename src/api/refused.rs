//! Why a coordinator does not do what it was asked, and how that travels: as a gRPC status for everybody, plus one
//! metadata key that tells our own client exactly which refusal it was. A status without that key was not written by
//! a coordinator but by the transport, and says nothing about whether the request was carried out.

use crate::convert::{BadMessage, Wire};
use crate::pb;
use crate::session::LeaderHint;
use prost::Message as _;
use std::fmt;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Metadata key that names the refusal.
const KIND: &str = "interrex-refused";
/// Metadata key that carries the leader hint, an encoded `LeaderHint`.
const HINT: &str = "interrex-leader-bin";

/// Why a coordinator does not do what it was asked. Every text is a sentence for people, with the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// This coordinator does not lead (FAILED_PRECONDITION). With the hint, when it knows who does.
    NotLeader(Option<LeaderHint>),
    /// The request makes no sense as it stands (INVALID_ARGUMENT).
    Invalid(String),
    /// There is no such cluster, instance or machine (NOT_FOUND).
    NotFound(String),
    /// The name is taken (ALREADY_EXISTS).
    Exists(String),
    /// It makes sense, and the state of things does not allow it (FAILED_PRECONDITION).
    Rejected(String),
    /// Nothing was done; the same may work in a moment (UNAVAILABLE).
    Unavailable(String),
    /// It may or may not have been carried out: look before asking again (DEADLINE_EXCEEDED).
    OutcomeUnknown(String),
    /// This machine is no member of the group of coordinators that it would have to answer for; others are
    /// (FAILED_PRECONDITION).
    NotMember(String),
    /// There is no group of coordinators yet, and none comes about before somebody does something
    /// (FAILED_PRECONDITION).
    NotFormed(String),
    /// Who asks may not (PERMISSION_DENIED).
    Forbidden(String),
    /// A fault of the coordinator itself (INTERNAL).
    Internal(String),
}

impl Refused {
    fn kind(&self) -> &'static str {
        match self {
            Self::NotLeader(_) => "not-leader",
            Self::Invalid(_) => "invalid",
            Self::NotFound(_) => "not-found",
            Self::Exists(_) => "exists",
            Self::Rejected(_) => "rejected",
            Self::Unavailable(_) => "unavailable",
            Self::OutcomeUnknown(_) => "outcome-unknown",
            Self::NotMember(_) => "not-member",
            Self::NotFormed(_) => "not-formed",
            Self::Forbidden(_) => "forbidden",
            Self::Internal(_) => "internal",
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::NotLeader(_) | Self::Rejected(_) | Self::NotMember(_) | Self::NotFormed(_) => {
                Code::FailedPrecondition
            }
            Self::Invalid(_) => Code::InvalidArgument,
            Self::NotFound(_) => Code::NotFound,
            Self::Exists(_) => Code::AlreadyExists,
            Self::Unavailable(_) => Code::Unavailable,
            Self::OutcomeUnknown(_) => Code::DeadlineExceeded,
            Self::Forbidden(_) => Code::PermissionDenied,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The refusal that a status carries; `None` when it was written by the transport, or by a newer coordinator.
    pub fn from_status(status: &Status) -> Option<Refused> {
        let text = || status.message().to_owned();
        Some(match status.metadata().get(KIND)?.to_str().ok()? {
            "not-leader" => Self::NotLeader(hint(status)),
            "invalid" => Self::Invalid(text()),
            "not-found" => Self::NotFound(text()),
            "exists" => Self::Exists(text()),
            "rejected" => Self::Rejected(text()),
            "unavailable" => Self::Unavailable(text()),
            "outcome-unknown" => Self::OutcomeUnknown(text()),
            "not-member" => Self::NotMember(text()),
            "not-formed" => Self::NotFormed(text()),
            "forbidden" => Self::Forbidden(text()),
            "internal" => Self::Internal(text()),
            _ => return None,
        })
    }
}

/// An unreadable hint is no hint: the client then asks the others.
fn hint(status: &Status) -> Option<LeaderHint> {
    let bytes = status.metadata().get_bin(HINT)?.to_bytes().ok()?;
    LeaderHint::from_pb(pb::LeaderHint::decode(bytes).ok()?).ok()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader(None) => {
                write!(f, "not the leader, and none is known: an election may be under way")
            }
            Self::NotLeader(Some(hint)) => {
                write!(f, "not the leader: ask {} at {}", hint.machine, hint.address)
            }
            Self::Invalid(text)
            | Self::NotFound(text)
            | Self::Exists(text)
            | Self::Rejected(text)
            | Self::Unavailable(text)
            | Self::OutcomeUnknown(text)
            | Self::NotMember(text)
            | Self::NotFormed(text)
            | Self::Forbidden(text)
            | Self::Internal(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Refused {}

impl From<BadMessage> for Refused {
    fn from(bad: BadMessage) -> Self {
        Self::Invalid(format!("the request cannot be read: {bad}"))
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        let mut status = Status::new(refused.code(), refused.to_string());
        status.metadata_mut().insert(KIND, MetadataValue::from_static(refused.kind()));
        if let Refused::NotLeader(Some(hint)) = &refused {
            let bytes = hint.to_pb().encode_to_vec();
            status.metadata_mut().insert_bin(HINT, MetadataValue::from_bytes(&bytes));
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_survives_the_wire() {
        let text = || "orders: no such cluster; see: interrex list".to_owned();
        let hint = LeaderHint { machine: "n2".parse().unwrap(), address: "10.0.0.2:7400".to_owned() };
        for refused in [
            Refused::NotLeader(None),
            Refused::NotLeader(Some(hint)),
            Refused::Invalid(text()),
            Refused::NotFound(text()),
            Refused::Exists(text()),
            Refused::Rejected(text()),
            Refused::Unavailable(text()),
            Refused::OutcomeUnknown(text()),
            Refused::NotMember(text()),
            Refused::NotFormed(text()),
            Refused::Forbidden(text()),
            Refused::Internal(text()),
        ] {
            let status = Status::from(refused.clone());
            assert_eq!(Refused::from_status(&status), Some(refused));
        }
    }

    #[test]
    fn a_status_of_the_transport_is_no_refusal() {
        assert_eq!(Refused::from_status(&Status::unavailable("connection reset")), None);
    }
}
