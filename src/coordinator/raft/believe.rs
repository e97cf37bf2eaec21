//! Whom a member believes, with TLS on: the caller's certificate bears the name of a machine of the group, and of the
//! very machine that the call claims to come from. Without TLS everybody is believed, as the operator wrote.
//!
//! Who belongs to the group is what the log says; while this directory knows no group (a first start, or a log that was
//! lost), the machines that its node file lists, for somebody has to tell it. A raft id that this log does not know yet
//! is that of a directory which came back empty, or of a member that this one has not heard of for long: it is believed
//! as the machine that its certificate names, if that machine belongs to the group. So a member that lags is never cut
//! off by a machine's new log. A machine of another *name* has to be in the log before it calls, so a newcomer votes only
//! once every voter has the entry that lists it ([`super::transition`]). A directory that is not of the group yet asks
//! the members that it knows, who prove their names, and believes whom they list.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use interrex_tls::{Peer, Proof};
use tonic::Request;

use super::RaftNode;
use super::machine::Machine;

/// Who a call says that it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Claim<'a> {
    /// The directory with this raft id.
    Id(u64),
    /// The machine of this name.
    Machine(&'a str),
    /// The machine of this name, which only asks who is who: it need not belong to the group. One that is to be added
    /// has to learn so, and one that was removed.
    Asker(&'a str),
}

/// What the connection of a request proved.
pub(crate) fn proof<T>(request: &Request<T>) -> Proof {
    request.extensions().get::<Peer>().map_or(Proof::Open, |peer| peer.proof.clone())
}

impl<M: Machine> RaftNode<M> {
    /// Whether a call may come from whom it claims to come from.
    ///
    /// # Errors
    /// One line with the way out.
    pub(crate) fn believe(&self, proof: &Proof, claim: Claim<'_>) -> Result<(), String> {
        let config = &self.inner.config;
        if config.tls.is_none() {
            return Ok(());
        }
        let me = &config.machine_name;
        let Some(names) = proof.names() else {
            return Err(format!("{me} takes raft calls only from members with a certificate"));
        };
        if let Claim::Asker(machine) = claim
            && names.has(machine)
        {
            return Ok(());
        }
        let membership = self.membership();
        let mut group: BTreeSet<&str> = membership.nodes().map(|(_, peer)| peer.machine.as_str()).collect();
        let vouched;
        if group.is_empty() {
            vouched = self.inner.vouched.lock().unwrap_or_else(PoisonError::into_inner).clone();
            group.extend(config.group_members.keys().chain(&vouched).map(String::as_str));
        }
        let claimed = match claim {
            Claim::Machine(machine) | Claim::Asker(machine) => Some(machine),
            Claim::Id(id) => membership.get_node(&id).map(|peer| peer.machine.as_str()),
        };
        let believed =
            group.iter().any(|machine| names.has(machine) && claimed.is_none_or(|c| c == *machine));
        if believed {
            return Ok(());
        }
        let group = group.into_iter().collect::<Vec<_>>().join(", ");
        Err(match claimed {
            Some(claimed) => format!(
                "a call in the name of {claimed} came with a certificate for {names}; {me} knows the members {group}"
            ),
            None => {
                format!("a raft call came with a certificate for {names}; {me} knows the members {group}")
            }
        })
    }
}
