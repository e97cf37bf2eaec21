//! Handing leadership on: to whom, and how. One rule for whoever leaves, is removed, or makes way for a primary: a voter
//! that answers and follows this leader, and of those, one whose machine has nothing better to do.

use std::collections::BTreeSet;

use tokio::time::timeout;

use super::RaftNode;
use super::machine::Machine;
use super::members::MemberError;
use super::types::Peer;

impl<M: Machine> RaftNode<M> {
    /// The voter that leadership may go to; the machines of `last` only where no other answers and follows. `None`:
    /// nobody does.
    pub async fn heir(&self, last: &BTreeSet<String>) -> Option<Peer> {
        let me = self.raft_id();
        let others = self.members().into_iter().filter(|member| member.voter && member.raft_id != me);
        let mut peers: Vec<Peer> =
            others.map(|member| Peer { machine: member.machine, addr: member.addr }).collect();
        peers.sort_by_key(|peer| last.contains(&peer.machine));
        for peer in peers {
            if self.identify(&peer).await.is_ok_and(|answer| answer.leader == me) {
                return Some(peer);
            }
        }
        None
    }

    /// Hands leadership to a machine, and waits until this member no longer leads.
    ///
    /// # Errors
    /// See [`MemberError`]; `Unfinished` when the machine did not take over: this member leads on.
    pub async fn transfer_leader(&self, to: &str) -> Result<(), MemberError> {
        let mut leadership = self.leadership();
        let now = leadership.borrow().clone();
        if !now.mine {
            return Err(MemberError::NotLeader { leader: now.leader });
        }
        let voters: BTreeSet<u64> = self.membership().voter_ids().collect();
        let target = self.members().into_iter().find(|m| m.machine == to && voters.contains(&m.raft_id));
        let Some(target) = target else {
            return Err(MemberError::Refused(format!(
                "{to} is not a voter of this group; see: interrex coordinator list"
            )));
        };
        if target.raft_id == self.raft_id() {
            return Ok(());
        }
        let asked = self.inner.raft.trigger().transfer_leader(target.raft_id).await;
        asked.map_err(|e| MemberError::Stopped(self.why_stopped(&e.to_string())))?;
        let handed = leadership.wait_for(|l| l.term > now.term && l.leader.is_some());
        match timeout(3 * self.inner.config.timing.election_max, handed).await {
            Ok(Ok(l)) if l.leader.as_ref().is_some_and(|p| p.machine == to) => Ok(()),
            Ok(Err(_)) => Err(MemberError::Stopped(self.why_stopped("it was shut down"))),
            _ => Err(MemberError::Unfinished(format!("{to} did not take over"))),
        }
    }
}
