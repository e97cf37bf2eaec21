//! Who belongs to the group, as this node's log has it, and who answers at an address. A raft id stands for one log: a
//! machine whose log is gone comes back under a new id. How the members change: [`super::change`] judges what an
//! operator wants, [`super::transition`] carries it out.

use std::collections::BTreeSet;
use std::time::Duration;

use interrex_api::pb;
use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::time::timeout;

use super::RaftNode;
use super::machine::Machine;
use super::network::why;
use super::types::{LogId, Membership, Peer, Types};

/// For one question to one machine.
pub(crate) const ASK: Duration = Duration::from_secs(1);

/// One member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// The machine's name.
    pub machine: String,
    /// `host:port` of its coordinator.
    pub addr: String,
    /// The id of its log, drawn when its directory was empty.
    pub raft_id: u64,
    /// It votes; otherwise it only learns.
    pub voter: bool,
    /// Since it last answered this node, which leads; absent: this node does not lead, is it, or never heard of it.
    pub heard: Option<Duration>,
    /// The highest level of entries that its build reads; absent: nobody told this node.
    pub reads_level: Option<u32>,
}

/// Why the group was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// This member does not lead.
    #[error("this coordinator does not lead the group{}", super::leader_hint(.leader.as_ref()))]
    NotLeader {
        /// Who does, as far as known.
        leader: Option<Peer>,
    },
    /// It must not be done, with the way out.
    #[error("{0}")]
    Refused(String),
    /// It could not be completed; asking again goes on where this ended.
    #[error("{0}; ask again")]
    Unfinished(String),
    /// The node has stopped.
    #[error("this coordinator's raft has stopped: {0}")]
    Stopped(String),
}

impl<M: Machine> RaftNode<M> {
    /// The members, as this node's log has them, by machine.
    #[must_use]
    pub fn members(&self) -> Vec<MemberInfo> {
        let membership = self.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let acked = |id: &u64| metrics.heartbeat.as_ref()?.get(id)?.as_ref().map(|at| at.elapsed());
        let mut members: Vec<MemberInfo> = membership
            .nodes()
            .map(|(id, peer)| MemberInfo {
                machine: peer.machine.clone(),
                addr: peer.addr.clone(),
                raft_id: *id,
                voter: voters.contains(id),
                heard: acked(id).filter(|_| metrics.id != *id),
                reads_level: self.inner.peers.reads_level(*id),
            })
            .collect();
        members.sort_by(|a, b| (&a.machine, a.raft_id).cmp(&(&b.machine, b.raft_id)));
        members
    }

    pub(crate) fn membership(&self) -> Membership {
        self.inner.raft.metrics().borrow_watched().membership_config.membership().clone()
    }

    /// Why this node answers for no group, in words: it was removed from the one that there is, or is to be added to it.
    /// `None`: it belongs to one, or forms one with others.
    #[must_use]
    pub fn outside(&self) -> Option<String> {
        let outside = self.inner.outside.load(std::sync::atomic::Ordering::Relaxed);
        self.inner.waiting.borrow().clone().filter(|_| outside)
    }

    /// Why there is no group yet, in words, where nothing but a person's doing will change that. `None`: there is one, or
    /// it forms in a moment.
    #[must_use]
    pub fn unformed(&self) -> Option<String> {
        let unformed = self.inner.unformed.load(std::sync::atomic::Ordering::Relaxed);
        self.inner.waiting.borrow().clone().filter(|_| unformed)
    }

    /// The address of each machine of the group as of the newest entry applied, and where that list stands in the log:
    /// what may still be cut off the log is not told.
    #[must_use]
    pub(crate) fn roster(&self) -> (u64, Vec<Peer>) {
        let applied = self.applied_membership();
        let peers = applied.membership().nodes().map(|(_, peer)| peer.clone()).collect();
        (applied.log_id().map_or(0, |id| id.index()), peers)
    }

    /// Which entry of the log the present membership is.
    pub(crate) fn membership_at(&self) -> Option<LogId> {
        *self.inner.raft.metrics().borrow_watched().membership_config.log_id()
    }

    pub(crate) fn ids_of(&self, machine: &str) -> BTreeSet<u64> {
        self.membership().nodes().filter(|(_, peer)| peer.machine == machine).map(|(id, _)| *id).collect()
    }

    /// Whether a member answered this leader within so long.
    pub(crate) fn heard_within(&self, id: u64, within: Duration) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let acked = metrics.heartbeat.as_ref().and_then(|all| all.get(&id)).and_then(Option::as_ref);
        metrics.id == id || acked.is_some_and(|at| at.elapsed() < within)
    }

    /// Asks who answers at an address.
    pub(crate) async fn identify(&self, peer: &Peer) -> Result<pb::RaftIdentifyResponse, String> {
        let mut client = self.inner.peers.client(peer).map_err(|e| e.to_string())?;
        let request = pb::RaftIdentifyRequest { machine: self.inner.config.machine_name.clone() };
        match timeout(ASK, client.identify(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(why(&status)),
            Err(_) => Err("no answer within 1 s".to_owned()),
        }
    }
}

pub(crate) fn in_words(e: RaftError<Types, ClientWriteError<Types>>) -> MemberError {
    match e {
        RaftError::APIError(ClientWriteError::ForwardToLeader(f)) => {
            MemberError::NotLeader { leader: f.leader_node }
        }
        RaftError::APIError(e) => MemberError::Unfinished(format!("change the members: {e}")),
        RaftError::Fatal(e) => MemberError::Stopped(e.to_string()),
    }
}
