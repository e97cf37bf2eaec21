//! What a coordinator answers: one file a question. The wire is `interrex-api`'s; here are the handlers, and the server
//! that they and the log's own service are mounted on.

mod accept;
pub(crate) mod admin;
pub(crate) mod create;
mod events;
mod failover;
pub(crate) mod gate;
pub(crate) mod goals;
mod group;
mod health;
pub(crate) mod relay;
mod server;
pub(crate) mod session;
mod switchover;
mod wishes;

pub(crate) use accept::Entrance;
#[cfg(test)]
pub(crate) use accept::{AT_ONCE, connections};
pub(crate) use server::{bind, serve};

use crate::core::{Core, hint};
use crate::raft::{ConfirmError, MemberError};
use interrex_api::refused::Refused;
use std::time::Duration;

/// For a quorum to confirm that this coordinator leads.
pub(crate) const CONFIRMATION: Duration = Duration::from_secs(1);

/// Whether this machine could answer for a group of coordinators.
///
/// # Errors
/// It belongs to none, and waiting would not help; the way out is in the text.
fn belongs(core: &Core) -> Result<(), Refused> {
    if let Some(line) = core.node.outside() {
        return Err(Refused::NotMember(line));
    }
    core.node.unformed().map_or(Ok(()), |line| Err(Refused::NotFormed(line)))
}

/// A confirmation that did not come, as a refusal.
fn unconfirmed(why: ConfirmError) -> Refused {
    match why {
        ConfirmError::NotLeader { leader } => Refused::NotLeader(leader.as_ref().and_then(hint)),
        ConfirmError::NoQuorum => Refused::Unavailable(why.to_string()),
        ConfirmError::Stopped(_) => Refused::Internal(why.to_string()),
    }
}

/// A change of the group that did not come about, as a refusal.
fn unchanged(why: MemberError) -> Refused {
    match why {
        MemberError::NotLeader { leader } => Refused::NotLeader(leader.as_ref().and_then(hint)),
        MemberError::Refused(_) => Refused::Rejected(why.to_string()),
        MemberError::Unfinished(_) => Refused::Unavailable(why.to_string()),
        MemberError::Stopped(_) => Refused::Internal(why.to_string()),
    }
}
