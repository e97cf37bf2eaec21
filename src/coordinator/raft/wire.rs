//! Between openraft's types and the messages of `proto/raft.proto`, which are used on the wire and in the log's files.
//!
//! Outgoing conversions cannot fail. Incoming ones refuse what is incomplete, with a sentence; nothing behind this
//! border looks at a message again.

use std::collections::{BTreeMap, BTreeSet};

use interrex_api::pb;
use openraft::entry::RaftEntry as _;
use openraft::{EntryPayload, vote::RaftLeaderId as _};
use pb::raft_entry::Payload;

use super::types::{Command, Entry, LogId, Membership, Peer, SnapshotMeta, StoredMembership, Vote};

/// A message that lacks something without which it has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message is incomplete: {0}")]
pub(crate) struct Incomplete(pub(crate) &'static str);

pub(crate) fn vote_out(vote: &Vote) -> pb::RaftVote {
    pb::RaftVote { term: vote.leader_id.term, voted_for: vote.leader_id.voted_for, committed: vote.committed }
}

pub(crate) fn vote_in(vote: &pb::RaftVote) -> Vote {
    match vote.committed {
        true => Vote::new_committed(vote.term, vote.voted_for),
        false => Vote::new(vote.term, vote.voted_for),
    }
}

/// The vote of a request, which has no meaning without one.
pub(crate) fn needed_vote(vote: Option<&pb::RaftVote>) -> Result<Vote, Incomplete> {
    vote.map(vote_in).ok_or(Incomplete("no vote"))
}

pub(crate) fn log_id_out(id: &LogId) -> pb::RaftLogId {
    pb::RaftLogId { term: **id.committed_leader_id(), index: id.index() }
}

pub(crate) fn log_id_in(id: &pb::RaftLogId) -> LogId {
    // Which member led the term is not part of a log id: a term has one leader.
    let leader = openraft::impls::leader_id_std::LeaderId::<u64, u64>::new(id.term, 0);
    LogId::new(leader.to_committed(), id.index)
}

pub(crate) fn membership_out(membership: &Membership) -> pb::RaftMembership {
    let configs = membership.get_joint_config().iter();
    pb::RaftMembership {
        configs: configs
            .map(|c| pb::raft_membership::Config { voters: c.iter().copied().collect() })
            .collect(),
        nodes: membership.nodes().map(|(id, peer)| node_out(*id, peer)).collect(),
    }
}

pub(crate) fn node_out(raft_id: u64, peer: &Peer) -> pb::raft_membership::Node {
    let peer = pb::RaftPeer { machine: peer.machine.clone(), addr: peer.addr.clone() };
    pb::raft_membership::Node { raft_id, peer: Some(peer) }
}

pub(crate) fn node_in(node: pb::raft_membership::Node) -> Result<(u64, Peer), Incomplete> {
    let peer = node.peer.ok_or(Incomplete("a member without a peer"))?;
    Ok((node.raft_id, Peer { machine: peer.machine, addr: peer.addr }))
}

pub(crate) fn membership_in(membership: pb::RaftMembership) -> Result<Membership, Incomplete> {
    let configs: Vec<BTreeSet<u64>> =
        membership.configs.into_iter().map(|c| c.voters.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, Peer> = membership.nodes.into_iter().map(node_in).collect::<Result<_, _>>()?;
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes)
        .map_err(|_| Incomplete("a membership without voters, or a voter without a peer"))
}

pub(crate) fn entry_out(entry: &Entry) -> pb::RaftEntry {
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(command) => Some(Payload::Normal(command.0.clone())),
        EntryPayload::Membership(m) => Some(Payload::Membership(membership_out(m))),
    };
    pb::RaftEntry { log_id: Some(log_id_out(&entry.log_id)), payload }
}

pub(crate) fn entry_in(entry: pb::RaftEntry) -> Result<Entry, Incomplete> {
    let log_id = log_id_in(&entry.log_id.ok_or(Incomplete("an entry without a log id"))?);
    let payload = match entry.payload {
        None => EntryPayload::Blank,
        Some(Payload::Normal(bytes)) => EntryPayload::Normal(Command(bytes)),
        Some(Payload::Membership(m)) => EntryPayload::Membership(membership_in(m)?),
    };
    Ok(Entry::new(log_id, payload))
}

pub(crate) fn meta_out(meta: &SnapshotMeta) -> pb::RaftSnapshotMeta {
    pb::RaftSnapshotMeta {
        last: meta.last_log_id.as_ref().map(log_id_out),
        membership_log_id: meta.last_membership.log_id().as_ref().map(log_id_out),
        membership: Some(membership_out(meta.last_membership.membership())),
    }
}

pub(crate) fn meta_in(meta: pb::RaftSnapshotMeta) -> Result<SnapshotMeta, Incomplete> {
    let membership = membership_in(meta.membership.ok_or(Incomplete("a snapshot without a membership"))?)?;
    Ok(SnapshotMeta {
        last_log_id: meta.last.as_ref().map(log_id_in),
        last_membership: StoredMembership::new(meta.membership_log_id.as_ref().map(log_id_in), membership),
    })
}
