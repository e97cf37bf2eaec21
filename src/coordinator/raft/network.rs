//! The client side of the raft wire: how this member calls the others.
//!
//! One HTTP/2 connection a peer, dialled when first needed. Every call has a deadline; every failure of the transport
//! is reported as *unreachable*, so that openraft backs off (50 to 500 ms) instead of hammering a dead machine. A
//! refusal (wrong group, wrong id) is logged when it first appears, not at each heartbeat.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use interrex_api::dial::{NoTarget, Target, insecure};
use interrex_api::pb::{self, raft_client::RaftClient};
use interrex_rt::Dialer;
use interrex_tls::Tls;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::config::Config;
use super::log::LogStore;
use super::types::{Peer, Snapshot, Types, Vote};
use super::wire;

/// Time to establish a connection; a machine that is up answers within a few.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// Bytes of a snapshot sent in one message, well below gRPC's usual limit of 4 MiB.
const SNAPSHOT_PART: usize = 1 << 20;
/// Messages may hold many entries; entries are small, but a batch of them must always fit.
pub(crate) const MAX_MESSAGE: usize = 64 << 20;

/// The connections to all other members, shared by everything that calls them.
#[derive(Clone)]
pub(crate) struct Peers {
    inner: Arc<PeersInner>,
}

struct PeersInner {
    log: LogStore,
    tls: Option<Tls>,
    dialer: Dialer,
    /// For calls that carry entries: these are answered after a flush.
    append_deadline: Duration,
    channels: Mutex<BTreeMap<Peer, Channel>>,
    /// What each member last refused, so that each refusal is logged once.
    refusals: Mutex<BTreeMap<u64, String>>,
    /// The highest level of entries that each member's build reads; 0: it does not tell. Of a leader, what their last
    /// answers told; of a follower, what its leader told.
    levels: Mutex<BTreeMap<u64, u32>>,
}

impl Peers {
    /// As this member is configured.
    pub(crate) fn new(log: LogStore, config: &Config) -> Self {
        let (tls, dialer) = (config.tls.clone(), config.dialer.clone());
        let (append_deadline, reads_level) = (config.timing.election_min, config.reads_level);
        let (channels, refusals) = Default::default();
        let levels = Mutex::new(BTreeMap::from([(log.look(|c| c.start.raft_id), reads_level)]));
        Self { inner: Arc::new(PeersInner { log, tls, dialer, append_deadline, channels, refusals, levels }) }
    }

    /// The highest level of entries that a member's build reads, by its own word or the leader's; `None`: nobody told.
    pub(crate) fn reads_level(&self, id: u64) -> Option<u32> {
        self.levels().get(&id).copied().filter(|level| *level > 0)
    }

    /// Takes in what this member's leader was told. Whatever an earlier one told is as old as its reign.
    pub(crate) fn told_by_leader(&self, reads: &[pb::RaftReads]) {
        let own = self.inner.log.look(|c| c.start.raft_id);
        let mut levels = self.levels();
        levels.retain(|id, _| *id == own);
        levels.extend(reads.iter().filter(|r| r.raft_id != own).map(|r| (r.raft_id, r.reads_level)));
    }

    fn levels(&self) -> MutexGuard<'_, BTreeMap<u64, u32>> {
        self.inner.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client for whoever answers at a peer's address.
    ///
    /// # Errors
    /// When the address is no `host:port`, or no certificate can bear the machine's name.
    pub(crate) fn client(&self, peer: &Peer) -> Result<RaftClient<Channel>, NoTarget> {
        let mut channels = self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(peer) {
            Some(channel) => channel.clone(),
            None => {
                let channel = self.channel(peer)?;
                channels.insert(peer.clone(), channel.clone());
                channel
            }
        };
        Ok(RaftClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE))
    }

    /// The one place where connections between members are configured. A certificate names its machine, whatever the
    /// address.
    fn channel(&self, peer: &Peer) -> Result<Channel, NoTarget> {
        let settings = |endpoint: Endpoint| {
            endpoint
                .tcp_keepalive(Some(Duration::from_secs(5)))
                .http2_keep_alive_interval(Duration::from_secs(2))
                .keep_alive_timeout(Duration::from_secs(2))
        };
        Target::of(&peer.addr, Some(&peer.machine))?.channel(
            self.inner.tls.as_ref(),
            &self.inner.dialer,
            CONNECT_TIMEOUT,
            settings,
        )
    }

    fn note(&self, target: u64, peer: &Peer, outcome: Result<(), &Status>) {
        let mut refusals = self.inner.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                refusals.remove(&target);
            }
            Err(status) => {
                let Some(line) = refusal(status) else { return };
                if refusals.insert(target, line.clone()).as_ref() != Some(&line) {
                    tracing::warn!(machine = peer.machine, address = peer.addr, "raft call refused: {line}");
                }
            }
        }
    }
}

fn reads(raft_id: u64, reads_level: u32) -> pb::RaftReads {
    pb::RaftReads { raft_id, reads_level }
}

/// A refusal, of the call or of the connection, in words; `None` when the member was only not reached.
fn refusal(status: &Status) -> Option<String> {
    use tonic::Code::{FailedPrecondition, PermissionDenied};
    match status.code() {
        FailedPrecondition | PermissionDenied => Some(status.message().to_owned()),
        _ => insecure(status),
    }
}

/// Why a call brought no answer.
pub(crate) fn why(status: &Status) -> String {
    insecure(status).unwrap_or_else(|| status.message().to_owned())
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, peer: &Peer) -> PeerClient {
        PeerClient { peers: self.clone(), target, peer: peer.clone() }
    }
}

/// Calls one member, under the id that the membership gives it.
pub(crate) struct PeerClient {
    peers: Peers,
    target: u64,
    peer: Peer,
}

impl PeerClient {
    fn header(&self) -> pb::RaftHeader {
        let start = self.peers.inner.log.look(|c| c.start.clone());
        pb::RaftHeader {
            group_id: start.group_id,
            from: start.raft_id,
            to: self.target,
            replaced: start.replaced,
        }
    }

    async fn call<T, F>(
        &self,
        within: Duration,
        f: impl FnOnce(RaftClient<Channel>) -> F,
    ) -> Result<T, Unreachable<Types>>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let client = self.peers.client(&self.peer).map_err(|e| self.unreachable(&e.to_string()))?;
        match timeout(within, f(client)).await {
            Ok(Ok(answer)) => {
                self.peers.note(self.target, &self.peer, Ok(()));
                Ok(answer.into_inner())
            }
            Ok(Err(status)) => {
                self.peers.note(self.target, &self.peer, Err(&status));
                Err(self.unreachable(&why(&status)))
            }
            Err(_) => Err(self.unreachable(&format!("no answer within {} ms", within.as_millis()))),
        }
    }

    fn unreachable(&self, why: &str) -> Unreachable<Types> {
        Unreachable::from_string(format!("{}: {why}", self.peer))
    }

    fn vote_request(&self, rpc: &VoteRequest<Types>) -> pb::RaftVoteRequest {
        pb::RaftVoteRequest {
            header: Some(self.header()),
            vote: Some(wire::vote_out(&rpc.vote)),
            last: rpc.last_log_id.as_ref().map(wire::log_id_out),
            leadership_transfer: rpc.leadership_transfer,
        }
    }

    fn vote_answer(&self, answer: &pb::RaftVoteResponse) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let vote = wire::needed_vote(answer.vote.as_ref()).map_err(|e| self.unreachable(&e.to_string()))?;
        let last = answer.last.as_ref().map(wire::log_id_in);
        Ok(VoteResponse::new(vote, last, answer.granted))
    }
}

impl RaftNetworkV2<Types> for PeerClient {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        use pb::raft_append_response::Outcome;
        let within = match rpc.entries.is_empty() {
            true => option.hard_ttl(),
            false => option.hard_ttl().max(self.peers.inner.append_deadline),
        };
        let request = pb::RaftAppendRequest {
            header: Some(self.header()),
            vote: Some(wire::vote_out(&rpc.vote)),
            prev: rpc.prev_log_id.as_ref().map(wire::log_id_out),
            entries: rpc.entries.iter().map(wire::entry_out).collect(),
            commit: rpc.leader_commit.as_ref().map(wire::log_id_out),
            reads: self.peers.levels().iter().map(|(id, level)| reads(*id, *level)).collect(),
        };
        let answer = self.call(within, |mut c| async move { c.append(request).await }).await?;
        self.peers.levels().insert(self.target, answer.reads_level);
        match answer.outcome() {
            Outcome::Success => Ok(AppendEntriesResponse::Success),
            Outcome::Partial => {
                Ok(AppendEntriesResponse::PartialSuccess(answer.matching.as_ref().map(wire::log_id_in)))
            }
            Outcome::Conflict => Ok(AppendEntriesResponse::Conflict),
            Outcome::HigherVote => {
                let vote =
                    wire::needed_vote(answer.vote.as_ref()).map_err(|e| self.unreachable(&e.to_string()))?;
                Ok(AppendEntriesResponse::HigherVote(vote))
            }
            Outcome::Unspecified => Err(self.unreachable("an answer without an outcome").into()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = self.vote_request(&rpc);
        let answer = self.call(option.hard_ttl(), |mut c| async move { c.vote(request).await }).await?;
        self.vote_answer(&answer)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = self.vote_request(&rpc);
        let answer = self.call(option.hard_ttl(), |mut c| async move { c.pre_vote(request).await }).await?;
        self.vote_answer(&answer)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let first = pb::RaftSnapshotPart {
            header: Some(self.header()),
            vote: Some(wire::vote_out(&vote)),
            meta: Some(wire::meta_out(&snapshot.meta)),
            data: Vec::new(),
        };
        let rest = snapshot.snapshot.chunks(SNAPSHOT_PART).map(|data| pb::RaftSnapshotPart {
            header: None,
            vote: None,
            meta: None,
            data: data.to_vec(),
        });
        let parts: Vec<_> = std::iter::once(first).chain(rest).collect();
        let send =
            self.call(option.hard_ttl(), |mut c| async move { c.snapshot(tokio_stream::iter(parts)).await });
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            answer = send => {
                let answer = answer?;
                let vote = wire::needed_vote(answer.vote.as_ref()).map_err(|e| self.unreachable(&e.to_string()))?;
                Ok(SnapshotResponse::new(vote))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let request = pb::RaftTransferRequest {
            header: Some(self.header()),
            to: *rpc.to_node_id(),
            from_leader: Some(wire::vote_out(rpc.from_leader())),
            last: rpc.last_log_id().map(wire::log_id_out),
        };
        let answer =
            self.call(option.hard_ttl(), |mut c| async move { c.transfer_leader(request).await }).await?;
        Ok(match answer.vote.as_ref().map(wire::vote_in) {
            Some(actual) => Err(TransferLeaderError::VoteChanged { expected: *rpc.from_leader(), actual }),
            None if answer.log_not_flushed => Err(TransferLeaderError::LogNotFlushed {
                expected: rpc.last_log_id().copied(),
                actual: answer.last.as_ref().map(wire::log_id_in),
            }),
            None => Ok(()),
        })
    }
}
