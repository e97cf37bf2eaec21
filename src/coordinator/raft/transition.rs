//! How the group gets from one set of members to the next: each step is an entry of the log, so that a process may die
//! between any two and the group goes on. A newcomer learns first and votes once it has caught up; a voter whose log
//! was lost is replaced by its new log in a single joint change, so that the group never counts a voter that cannot
//! vote. What a leader began and did not end, the next one ends.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::{MutexGuard, oneshot};
use tokio::time::timeout;

use super::RaftNode;
use super::judge::ALIVE;
use super::machine::Machine;
use super::members::{MemberError, in_words};
use super::types::Peer;

/// A new member gets the whole log or a snapshot; both are small. Not caught up by then: the change is given up.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Whoever holds it changes the group, and nobody else does.
pub(super) type Turn<'a> = MutexGuard<'a, ()>;

impl<M: Machine> RaftNode<M> {
    /// Takes a machine of the group in under the id that its directory drew: in place of its former one when that log
    /// was lost, or, where an operator's change ended half way, in its own. What was begun is carried on even if the
    /// one who asked goes away.
    pub(crate) async fn take_back(&self, peer: Peer, raft_id: u64) -> Result<(), MemberError> {
        let (tell, told) = oneshot::channel();
        let node = self.clone();
        self.spawn(async move {
            let turn = node.inner.changes.lock().await;
            let how = match node.may_return(&peer, raft_id).await {
                Ok(()) => node.admit(&turn, &peer, raft_id).await,
                Err(why) => Err(why),
            };
            // Nobody may be left to hear it.
            drop(tell.send(how));
        });
        told.await.unwrap_or_else(|_| Err(MemberError::Stopped("it was shut down".to_owned())))
    }

    /// Judges the return of a machine's new directory.
    async fn may_return(&self, peer: &Peer, raft_id: u64) -> Result<(), MemberError> {
        self.leads()?;
        let known = self.ids_of(&peer.machine);
        if known.is_empty() {
            let way = format!("interrex coordinator add {}={}", peer.machine, peer.addr);
            return Err(MemberError::Refused(format!(
                "{} is not a member of this group: `{way}`",
                peer.machine
            )));
        }
        let lately = 2 * self.inner.config.timing.election_max;
        if known.iter().any(|id| *id != raft_id && self.heard_within(*id, lately)) {
            let line = format!(
                "{} still answers under its former raft id: two directories of one name?",
                peer.machine
            );
            return Err(MemberError::Refused(line));
        }
        let found =
            self.identify(peer).await.map_err(|why| MemberError::Refused(format!("ask {peer}: {why}")))?;
        if found.raft_id != raft_id || found.machine != peer.machine {
            let line =
                format!("{} with raft id {:016x} answers at {}", found.machine, found.raft_id, peer.addr);
            return Err(MemberError::Refused(line));
        }
        self.may_learn(&found)
    }

    /// Makes `raft_id` the only id of its machine, and a voter. Does nothing where that is so. `_turn` is what holds
    /// every other change off.
    pub(super) async fn admit(&self, _turn: &Turn<'_>, peer: &Peer, raft_id: u64) -> Result<(), MemberError> {
        self.ready_to_change().await?;
        if self.membership().get_node(&raft_id).is_none() {
            tracing::info!(
                machine = peer.machine,
                address = peer.addr,
                "a new raft log learns from the group"
            );
        }
        // Also for one that learns already: it has to have caught up before it votes.
        if !self.membership().voter_ids().any(|id| id == raft_id) {
            let learn = self.inner.raft.add_learner(raft_id, peer.clone(), true);
            match timeout(CATCH_UP, learn).await {
                Ok(done) => drop(done.map_err(in_words)?),
                Err(_) => return Err(MemberError::Unfinished(format!("{peer} has not caught up in 30 s"))),
            }
        }
        let all = self.ids_of(&peer.machine);
        let mut voters: BTreeSet<u64> = self.membership().voter_ids().collect();
        if voters.is_disjoint(&all) {
            self.told_to_all_voters().await?;
        }
        if !voters.contains(&raft_id) || !voters.is_disjoint(&(&all - &BTreeSet::from([raft_id]))) {
            voters.retain(|id| !all.contains(id));
            voters.insert(raft_id);
            self.change(ChangeMembers::ReplaceAllVoters(voters)).await?;
            tracing::info!(
                machine = peer.machine,
                raft_id = format!("{raft_id:016x}"),
                "a coordinator votes under a new raft id"
            );
        }
        let rest: BTreeSet<u64> =
            self.ids_of(&peer.machine).into_iter().filter(|id| *id != raft_id).collect();
        if rest.is_empty() { Ok(()) } else { self.change(ChangeMembers::RemoveNodes(rest)).await }
    }

    /// Takes every id of a machine out of the group. Does nothing where there is none.
    pub(super) async fn dismiss(&self, _turn: &Turn<'_>, machine: &str) -> Result<(), MemberError> {
        self.ready_to_change().await?;
        let gone = self.ids_of(machine);
        if self.membership().voter_ids().any(|id| gone.contains(&id)) {
            self.change(ChangeMembers::RemoveVoters(gone)).await?;
            tracing::info!(machine, "a coordinator was removed from the group");
        }
        // What had only been learning is still listed.
        let rest = self.ids_of(machine);
        if rest.is_empty() { Ok(()) } else { self.change(ChangeMembers::RemoveNodes(rest)).await }
    }

    /// This member leads; another one hears nobody, and so could judge nothing.
    pub(super) fn leads(&self) -> Result<(), MemberError> {
        let leadership = self.leadership().borrow().clone();
        match leadership.mine {
            true => Ok(()),
            false => Err(MemberError::NotLeader { leader: leadership.leader }),
        }
    }

    /// This member leads, and no earlier change is half done.
    async fn ready_to_change(&self) -> Result<(), MemberError> {
        self.leads()?;
        if self.membership().get_joint_config().len() > 1 {
            self.change(ChangeMembers::AddVoterIds(BTreeSet::new())).await?;
        }
        Ok(())
    }

    /// Waits until every voter has the present membership on its disk. With TLS a voter believes nobody whose name it
    /// does not know: one that had not heard of a newcomer would refuse it as its leader.
    async fn told_to_all_voters(&self) -> Result<(), MemberError> {
        let Some(at) = self.membership_at() else { return Ok(()) };
        let mut metrics = self.inner.raft.metrics();
        let all = async {
            loop {
                let seen = metrics.borrow_watched().clone();
                let lacks = |id: &u64| {
                    let held = seen.replication.as_ref().and_then(|all| *all.get(id)?);
                    *id != seen.id && held.is_none_or(|held| held.index() < at.index())
                };
                let members = seen.membership_config.membership();
                let lacking: Vec<u64> = members.voter_ids().filter(lacks).collect();
                if lacking.is_empty() {
                    return Ok(());
                }
                if let Some(silent) = lacking.iter().find(|id| !self.heard_within(**id, ALIVE)) {
                    let silent = members.get_node(silent).map_or("a voter", |peer| peer.machine.as_str());
                    return Err(MemberError::Unfinished(format!(
                        "{silent} is not heard, and every voter has to know of a newcomer before it votes: start \
                         {silent}, or `interrex coordinator remove {silent}`"
                    )));
                }
                // Each heartbeat's answer changes them.
                if metrics.changed().await.is_err() {
                    return Err(MemberError::Stopped("it was shut down".to_owned()));
                }
            }
        };
        let late = || MemberError::Unfinished("a voter has not heard of the newcomer in 30 s".to_owned());
        timeout(CATCH_UP, all).await.unwrap_or_else(|_| Err(late()))
    }

    async fn change(&self, change: ChangeMembers<u64, Peer>) -> Result<(), MemberError> {
        match timeout(CATCH_UP, self.inner.raft.change_membership(change, false)).await {
            Ok(done) => done.map(drop).map_err(in_words),
            Err(_) => Err(MemberError::Unfinished("no quorum took the change in 30 s".to_owned())),
        }
    }
}

/// Ends what an earlier leader left between two sets of members, whenever this node begins to lead.
pub(crate) async fn end_what_was_begun<M: Machine>(node: RaftNode<M>) {
    let mut leadership = node.leadership();
    loop {
        let leads = leadership.borrow_and_update().mine;
        if leads && node.membership().get_joint_config().len() > 1 {
            let _one_at_a_time = node.inner.changes.lock().await;
            match node.ready_to_change().await {
                Ok(()) => tracing::info!("a change of the group that an earlier leader began is done"),
                Err(why) => tracing::warn!("a change of the group is still half done: {why}"),
            }
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}
