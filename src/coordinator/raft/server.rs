//! The server side of the raft wire. It checks that a call is meant for this very directory and group, then hands it
//! to openraft.
//!
//! The id in the header was drawn at random by this directory, so whoever names it has asked here before: a pristine
//! directory takes its group from the first such call. Any other mismatch is refused. With TLS on, it is asked first
//! whether the caller is who it claims to be ([`super::believe`]).

use std::sync::{Mutex, PoisonError};

use interrex_api::pb::{self, raft_append_response::Outcome, raft_server};
use interrex_tls::Proof;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
};
use openraft::raft::{VoteRequest, VoteResponse};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::RaftNode;
use super::believe::{Claim, proof};
use super::machine::Machine;
use super::members::MemberError;
use super::network::MAX_MESSAGE;
use super::types::{Peer, Snapshot, Types};
use super::wire::{self, Incomplete};

/// The raft service of one node, to be mounted on its coordinator's gRPC server.
pub type RaftServer<M> = raft_server::RaftServer<RaftService<M>>;

/// Answers the other members.
pub struct RaftService<M: Machine> {
    node: RaftNode<M>,
    /// The refusal logged last: each is logged once, not at each heartbeat.
    refused: Mutex<String>,
}

pub(crate) fn service<M: Machine>(node: RaftNode<M>) -> RaftServer<M> {
    let service = RaftService { node, refused: Mutex::default() };
    raft_server::RaftServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

impl From<Incomplete> for Status {
    fn from(e: Incomplete) -> Self {
        Self::invalid_argument(e.to_string())
    }
}

/// openraft has stopped: the caller may as well take this machine for dead.
fn gone(e: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("raft has stopped: {e}"))
}

impl<M: Machine> RaftService<M> {
    async fn admit(&self, header: Option<&pb::RaftHeader>, proof: &Proof) -> Result<(), Status> {
        let header = header.ok_or(Incomplete("no header"))?;
        self.believe(proof, Claim::Id(header.from))?;
        let inner = &self.node.inner;
        let (id, group, pristine, knows) = inner
            .log
            .look(|c| (c.start.raft_id, c.start.group_id, c.pristine(), !c.start.replaced.is_empty()));
        let machine = &inner.config.machine_name;
        if header.to != id {
            let line = format!(
                "{machine} answers here under raft id {id:016x}, the call was meant for {:016x} (a directory \
                 that lost its log?)",
                header.to
            );
            return Err(Status::failed_precondition(self.refuse(header.from, line)));
        }
        // A group that named itself would turn every agent away from itself.
        let replaced = || header.replaced.iter().copied().filter(|replaced| *replaced != header.group_id);
        if header.group_id == group && group != 0 {
            // The build that this directory was taken in with may not have been told, or not have kept it.
            if knows || replaced().next().is_none() {
                return Ok(());
            }
            return inner.log.save_group(group, replaced().collect()).await.map_err(gone);
        }
        if !pristine || header.group_id == 0 {
            let line = format!(
                "{machine} belongs to raft group {group:016x}, the call came from {:016x}",
                header.group_id
            );
            return Err(Status::failed_precondition(self.refuse(header.from, line)));
        }
        tracing::info!(
            group = format!("{:016x}", header.group_id),
            "this directory now belongs to a raft group"
        );
        inner.log.save_group(header.group_id, replaced().collect()).await.map_err(gone)
    }

    fn believe(&self, proof: &Proof, claim: Claim<'_>) -> Result<(), Status> {
        let from = match claim {
            Claim::Id(id) => id,
            Claim::Machine(_) | Claim::Asker(_) => 0,
        };
        let believed = self.node.believe(proof, claim);
        believed.map_err(|line| Status::permission_denied(self.refuse(from, line)))
    }

    fn refuse(&self, from: u64, line: String) -> String {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if *refused != line {
            tracing::warn!(raft_id = format!("{from:016x}"), "raft call refused: {line}");
            refused.clone_from(&line);
        }
        line
    }

    async fn vote_request(
        &self,
        request: Request<pb::RaftVoteRequest>,
    ) -> Result<VoteRequest<Types>, Status> {
        let proof = proof(&request);
        let request = request.into_inner();
        self.admit(request.header.as_ref(), &proof).await?;
        let vote = wire::needed_vote(request.vote.as_ref())?;
        let mut rpc = VoteRequest::new(vote, request.last.as_ref().map(wire::log_id_in));
        rpc.leadership_transfer = request.leadership_transfer;
        Ok(rpc)
    }
}

fn vote_response(answer: &VoteResponse<Types>) -> Response<pb::RaftVoteResponse> {
    Response::new(pb::RaftVoteResponse {
        vote: Some(wire::vote_out(&answer.vote)),
        granted: answer.vote_granted,
        last: answer.last_log_id.as_ref().map(wire::log_id_out),
    })
}

#[tonic::async_trait]
impl<M: Machine> raft_server::Raft for RaftService<M> {
    async fn append(
        &self,
        request: Request<pb::RaftAppendRequest>,
    ) -> Result<Response<pb::RaftAppendResponse>, Status> {
        let proof = proof(&request);
        let request = request.into_inner();
        self.admit(request.header.as_ref(), &proof).await?;
        let rpc = AppendEntriesRequest {
            vote: wire::needed_vote(request.vote.as_ref())?,
            prev_log_id: request.prev.as_ref().map(wire::log_id_in),
            entries: request.entries.into_iter().map(wire::entry_in).collect::<Result<_, _>>()?,
            leader_commit: request.commit.as_ref().map(wire::log_id_in),
        };
        let inner = &self.node.inner;
        let answer = inner.raft.append_entries(rpc).await.map_err(gone)?;
        if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
            inner.peers.told_by_leader(&request.reads);
            inner.called.send_replace(Some(Instant::now()));
        }
        let mut response =
            pb::RaftAppendResponse { reads_level: inner.config.reads_level, ..Default::default() };
        let outcome = match &answer {
            AppendEntriesResponse::Success => Outcome::Success,
            AppendEntriesResponse::PartialSuccess(matching) => {
                response.matching = matching.as_ref().map(wire::log_id_out);
                Outcome::Partial
            }
            AppendEntriesResponse::Conflict => Outcome::Conflict,
            AppendEntriesResponse::HigherVote(vote) => {
                response.vote = Some(wire::vote_out(vote));
                Outcome::HigherVote
            }
        };
        response.set_outcome(outcome);
        Ok(Response::new(response))
    }

    async fn vote(
        &self,
        request: Request<pb::RaftVoteRequest>,
    ) -> Result<Response<pb::RaftVoteResponse>, Status> {
        let rpc = self.vote_request(request).await?;
        Ok(vote_response(&self.node.inner.raft.vote(rpc).await.map_err(gone)?))
    }

    async fn pre_vote(
        &self,
        request: Request<pb::RaftVoteRequest>,
    ) -> Result<Response<pb::RaftVoteResponse>, Status> {
        let rpc = self.vote_request(request).await?;
        Ok(vote_response(&self.node.inner.raft.pre_vote(rpc).await.map_err(gone)?))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<pb::RaftSnapshotPart>>,
    ) -> Result<Response<pb::RaftSnapshotResponse>, Status> {
        let proof = proof(&request);
        let mut parts = request.into_inner();
        let first = parts.message().await?.ok_or(Incomplete("a snapshot without parts"))?;
        self.admit(first.header.as_ref(), &proof).await?;
        let vote = wire::needed_vote(first.vote.as_ref())?;
        let meta = wire::meta_in(first.meta.ok_or(Incomplete("a snapshot without its meta"))?)?;
        let mut data = first.data;
        while let Some(part) = parts.message().await? {
            data.extend_from_slice(&part.data);
        }
        let snapshot = Snapshot { meta, snapshot: data };
        let answer = self.node.inner.raft.install_full_snapshot(vote, snapshot).await.map_err(gone)?;
        Ok(Response::new(pb::RaftSnapshotResponse { vote: Some(wire::vote_out(&answer.vote)) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::RaftTransferRequest>,
    ) -> Result<Response<pb::RaftTransferResponse>, Status> {
        let proof = proof(&request);
        let request = request.into_inner();
        self.admit(request.header.as_ref(), &proof).await?;
        let from = wire::needed_vote(request.from_leader.as_ref())?;
        let rpc = TransferLeaderRequest::new(from, request.to, request.last.as_ref().map(wire::log_id_in));
        let mut response = pb::RaftTransferResponse::default();
        match self.node.inner.raft.handle_transfer_leader(rpc).await.map_err(gone)? {
            Ok(()) => {}
            Err(TransferLeaderError::VoteChanged { actual, .. }) => {
                response.vote = Some(wire::vote_out(&actual))
            }
            Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
                response.log_not_flushed = true;
                response.last = actual.as_ref().map(wire::log_id_out);
            }
        }
        Ok(Response::new(response))
    }

    async fn identify(
        &self,
        request: Request<pb::RaftIdentifyRequest>,
    ) -> Result<Response<pb::RaftIdentifyResponse>, Status> {
        self.believe(&proof(&request), Claim::Asker(&request.get_ref().machine))?;
        let inner = &self.node.inner;
        let (raft_id, group_id, pristine) =
            inner.log.look(|c| (c.start.raft_id, c.start.group_id, c.pristine()));
        let metrics = inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let members = metrics.membership_config.membership();
        Ok(Response::new(pb::RaftIdentifyResponse {
            machine: inner.config.machine_name.clone(),
            raft_id,
            pristine,
            group_id,
            members: members.nodes().map(|(id, peer)| wire::node_out(*id, peer)).collect(),
            leader: metrics.current_leader.unwrap_or(0),
            configured: inner.config.group_members.keys().cloned().collect(),
            membership_index: metrics.membership_config.log_id().map_or(0, |id| id.index()),
            reads_level: inner.config.reads_level,
        }))
    }

    async fn join(
        &self,
        request: Request<pb::RaftJoinRequest>,
    ) -> Result<Response<pb::RaftJoinResponse>, Status> {
        self.believe(&proof(&request), Claim::Machine(&request.get_ref().machine))?;
        let request = request.into_inner();
        let peer = Peer { machine: request.machine, addr: request.addr };
        self.node.take_back(peer, request.raft_id).await.map_err(|e| match e {
            MemberError::Stopped(why) => gone(why),
            MemberError::Unfinished(_) => Status::unavailable(e.to_string()),
            MemberError::NotLeader { .. } | MemberError::Refused(_) => {
                Status::failed_precondition(e.to_string())
            }
        })?;
        let group_id = self.node.inner.log.look(|c| c.start.group_id);
        Ok(Response::new(pb::RaftJoinResponse { joined: true, group_id }))
    }
}
