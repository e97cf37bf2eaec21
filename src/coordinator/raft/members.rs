//! Who belongs to the group, and how that changes: one machine at a time, each change through the log.
//!
//! A raft id stands for one log. A machine whose log is gone comes back under a new id, which replaces the old one in
//! a single joint change, so that the group never counts a voter that cannot vote.

use std::collections::BTreeSet;
use std::time::Duration;

use interrex_api::pb;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant as _};
use tokio::time::timeout;

use super::RaftNode;
use super::machine::Machine;
use super::network::why;
use super::types::{Membership, Peer, Types};

/// A new member gets the whole log or a snapshot; both are small. Not caught up by then: the change is given up.
const CATCH_UP: Duration = Duration::from_secs(30);
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
            })
            .collect();
        members.sort_by(|a, b| (&a.machine, a.raft_id).cmp(&(&b.machine, b.raft_id)));
        members
    }

    pub(crate) fn membership(&self) -> Membership {
        self.inner.raft.metrics().borrow_watched().membership_config.membership().clone()
    }

    fn ids_of(&self, machine: &str) -> BTreeSet<u64> {
        self.membership().nodes().filter(|(_, peer)| peer.machine == machine).map(|(id, _)| *id).collect()
    }

    /// Adds a machine whose coordinator runs at `addr` with an empty directory: first it learns, then it votes.
    ///
    /// # Errors
    /// See [`MemberError`]; `Refused` when the machine is a member already or does not answer there.
    pub async fn add_voter(&self, machine: &str, addr: &str) -> Result<(), MemberError> {
        let peer = Peer { machine: machine.to_owned(), addr: addr.to_owned() };
        if let Some(member) = self.members().into_iter().find(|m| m.machine == machine && m.voter) {
            let way = "`interrex coordinator remove` it first";
            return Err(MemberError::Refused(format!(
                "{machine} is a member already, at {}: {way}",
                member.addr
            )));
        }
        let found =
            self.identify(&peer).await.map_err(|why| MemberError::Refused(format!("ask {peer}: {why}")))?;
        if found.machine != machine {
            return Err(MemberError::Refused(format!("{} answers at {addr}, not {machine}", found.machine)));
        }
        let known = self.membership().get_node(&found.raft_id).is_some();
        if !found.pristine && !known {
            let why = "has a raft log already: empty its directory";
            return Err(MemberError::Refused(format!("{machine} at {addr} {why}")));
        }
        self.in_background(move |node| async move { node.replace(peer, found.raft_id).await }).await
    }

    /// Takes a machine out of the group.
    ///
    /// # Errors
    /// See [`MemberError`]; `Refused` when it is no member, or the only one.
    pub async fn remove_voter(&self, machine: &str) -> Result<(), MemberError> {
        let machine = machine.to_owned();
        self.in_background(move |node| async move {
            let _one_at_a_time = node.inner.changes.lock().await;
            let gone = node.ids_of(&machine);
            let voters: BTreeSet<u64> = node.membership().voter_ids().collect();
            if gone.is_empty() {
                return Err(MemberError::Refused(format!("{machine} is not a member")));
            }
            if voters.difference(&gone).next().is_none() {
                return Err(MemberError::Refused(format!("{machine} is the only coordinator")));
            }
            tracing::info!(machine, "removing a coordinator from the group");
            node.change(ChangeMembers::RemoveVoters(gone.clone())).await?;
            // What had only been learning is still listed.
            let rest: BTreeSet<u64> = node.ids_of(&machine);
            if rest.is_empty() { Ok(()) } else { node.change(ChangeMembers::RemoveNodes(rest)).await }
        })
        .await
    }

    /// Takes a machine back whose directory was empty, under the id that it drew, in place of its former one.
    pub(crate) async fn take_back(&self, peer: Peer, raft_id: u64) -> Result<(), MemberError> {
        let former: BTreeSet<u64> =
            self.ids_of(&peer.machine).into_iter().filter(|id| *id != raft_id).collect();
        if self.ids_of(&peer.machine).is_empty() {
            let way = format!("interrex coordinator add {} {}", peer.machine, peer.addr);
            return Err(MemberError::Refused(format!(
                "{} is not a member of this group: `{way}`",
                peer.machine
            )));
        }
        if former.iter().any(|id| self.heard_lately(*id)) {
            let line = format!(
                "{} still answers under its former raft id: two directories of one name?",
                peer.machine
            );
            return Err(MemberError::Refused(line));
        }
        let found =
            self.identify(&peer).await.map_err(|why| MemberError::Refused(format!("ask {peer}: {why}")))?;
        if found.raft_id != raft_id || found.machine != peer.machine {
            let line =
                format!("{} with raft id {:016x} answers at {}", found.machine, found.raft_id, peer.addr);
            return Err(MemberError::Refused(line));
        }
        self.in_background(move |node| async move { node.replace(peer, raft_id).await }).await
    }

    /// Whether a member answered this leader within the last two leases.
    fn heard_lately(&self, id: u64) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let acked = metrics.heartbeat.as_ref().and_then(|all| all.get(&id)).and_then(Option::as_ref);
        metrics.id == id || acked.is_some_and(|at| at.elapsed() < 2 * self.inner.config.timing.election_max)
    }

    /// A change that was begun is carried on even if the one who asked goes away.
    async fn in_background<F>(&self, f: impl FnOnce(Self) -> F + Send) -> Result<(), MemberError>
    where
        F: Future<Output = Result<(), MemberError>> + Send + 'static,
    {
        let done = tokio::spawn(f(self.clone())).await;
        done.unwrap_or_else(|e| Err(MemberError::Stopped(e.to_string())))
    }

    /// Makes `raft_id` the only id of its machine, and a voter.
    async fn replace(&self, peer: Peer, raft_id: u64) -> Result<(), MemberError> {
        let _one_at_a_time = self.inner.changes.lock().await;
        let leadership = self.leadership().borrow().clone();
        if !leadership.mine {
            return Err(MemberError::NotLeader { leader: leadership.leader });
        }
        if self.membership().get_joint_config().len() > 1 {
            // An earlier leader died between the two halves of a change.
            self.change(ChangeMembers::AddVoterIds(BTreeSet::new())).await?;
        }
        if self.membership().get_node(&raft_id).is_none() {
            tracing::info!(machine = peer.machine, addr = peer.addr, "a new raft log learns from the group");
            let learn = self.inner.raft.add_learner(raft_id, peer.clone(), true);
            match timeout(CATCH_UP, learn).await {
                Ok(done) => drop(done.map_err(in_words)?),
                Err(_) => return Err(MemberError::Unfinished(format!("{peer} has not caught up in 30 s"))),
            }
        }
        let all = self.ids_of(&peer.machine);
        let mut voters: BTreeSet<u64> =
            self.membership().voter_ids().filter(|id| !all.contains(id)).collect();
        voters.insert(raft_id);
        self.change(ChangeMembers::ReplaceAllVoters(voters)).await?;
        let rest: BTreeSet<u64> =
            self.ids_of(&peer.machine).into_iter().filter(|id| *id != raft_id).collect();
        if !rest.is_empty() {
            self.change(ChangeMembers::RemoveNodes(rest)).await?;
        }
        tracing::info!(
            machine = peer.machine,
            raft_id = format!("{raft_id:016x}"),
            "a coordinator votes under a new raft id"
        );
        Ok(())
    }

    async fn change(&self, change: ChangeMembers<u64, Peer>) -> Result<(), MemberError> {
        match timeout(CATCH_UP, self.inner.raft.change_membership(change, false)).await {
            Ok(done) => done.map(drop).map_err(in_words),
            Err(_) => Err(MemberError::Unfinished("no quorum took the change in 30 s".to_owned())),
        }
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

fn in_words(e: RaftError<Types, ClientWriteError<Types>>) -> MemberError {
    match e {
        RaftError::APIError(ClientWriteError::ForwardToLeader(f)) => {
            MemberError::NotLeader { leader: f.leader_node }
        }
        RaftError::APIError(e) => MemberError::Unfinished(format!("change the members: {e}")),
        RaftError::Fatal(e) => MemberError::Stopped(e.to_string()),
    }
}
