//! What an operator wants of the group: one machine more, or one less. Judged here by the leader before anything is
//! written; carried out by [`super::transition`], in the background, so that it goes on when the one who asked is gone.
//! Asking again tells how far it is, goes on where an earlier leader ended, and does nothing where it is done.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::RaftNode;
use super::machine::Machine;
use super::members::{MemberError, MemberInfo};
use super::types::Peer;

/// A member that answered so recently is alive. Longer than a busy machine is late with a heartbeat.
pub(crate) const ALIVE: Duration = Duration::from_secs(3);
/// For a member to be heard: a new leader has heard nobody yet.
const HEAR: Duration = Duration::from_secs(2);
/// One answer waits so long for the change to be done.
const AT_ONCE: Duration = Duration::from_millis(500);
/// How a change ended is told to whoever asks within this.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This machine votes; its coordinator runs there, with an empty directory.
    Add(Peer),
    /// This machine does not belong to the group any more.
    Remove(String),
}

impl std::fmt::Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add(peer) => write!(f, "adding {peer}"),
            Self::Remove(machine) => write!(f, "removing {machine}"),
        }
    }
}

/// How far a wish has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Under way, in words. It goes on by itself; asking again tells how far it is.
    Doing(String),
    /// It is so, whoever did it.
    Done {
        /// Who votes now.
        voters: Vec<String>,
    },
}

/// How a change ended; `None` while it goes on.
type Outcome = watch::Receiver<Option<Result<(), MemberError>>>;

/// A change that this leader carries out.
pub(crate) struct UnderWay {
    wish: Wish,
    since: Instant,
    outcome: Outcome,
}

impl<M: Machine> RaftNode<M> {
    /// Does what an operator wants of the group, or tells how far that is.
    ///
    /// # Errors
    /// See [`MemberError`]: `Refused` before anything was written, with the way out.
    pub async fn change_members(&self, wish: Wish) -> Result<Progress, MemberError> {
        let leadership = self.leadership().borrow().clone();
        if !leadership.mine {
            return Err(MemberError::NotLeader { leader: leadership.leader });
        }
        if let Some(outcome) = self.under_way_for(&wish)? {
            return self.wait_for(&wish, outcome).await;
        }
        let done = match &wish {
            Wish::Add(peer) => self.may_add(peer).await?.map(|raft_id| {
                let peer = peer.clone();
                self.begin(&wish, move |node| async move { node.admit(peer, raft_id).await })
            }),
            Wish::Remove(machine) => {
                self.may_remove(machine).await?;
                let machine = machine.clone();
                Some(self.begin(&wish, move |node| async move { node.dismiss(machine).await }))
            }
        };
        match done {
            Some(outcome) => self.wait_for(&wish, outcome).await,
            None => Ok(self.done()),
        }
    }

    fn under_way(&self) -> MutexGuard<'_, Option<UnderWay>> {
        self.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome to wait for, when this very change is under way or has just ended.
    fn under_way_for(&self, wish: &Wish) -> Result<Option<Outcome>, MemberError> {
        let mut slot = self.under_way();
        let Some(change) = &*slot else { return Ok(None) };
        // Ended without a word: its task was ended with this node.
        let ended = change.outcome.borrow().is_some() || change.outcome.has_changed().is_err();
        let same = change.wish == *wish;
        if ended && !(same && change.since.elapsed() < REMEMBERED) {
            *slot = None;
            return Ok(None);
        }
        match same {
            true => Ok(Some(change.outcome.clone())),
            false => Err(MemberError::Refused(format!(
                "{} is under way, and one change of the group is made at a time: wait until it is done; see: interrex \
                 coordinator list",
                change.wish
            ))),
        }
    }

    fn begin<F>(&self, wish: &Wish, carry_out: impl FnOnce(Self) -> F) -> Outcome
    where
        F: Future<Output = Result<(), MemberError>> + Send + 'static,
    {
        let (tell, outcome) = watch::channel(None);
        tracing::info!("an operator changes the group: {wish}");
        let work = carry_out(self.clone());
        self.tasks().spawn(async move {
            let ended = work.await;
            if let Err(why) = &ended {
                tracing::warn!("the group was not changed: {why}");
            }
            tell.send_replace(Some(ended));
        });
        *self.under_way() =
            Some(UnderWay { wish: wish.clone(), since: Instant::now(), outcome: outcome.clone() });
        outcome
    }

    async fn wait_for(&self, wish: &Wish, mut outcome: Outcome) -> Result<Progress, MemberError> {
        let ended = match timeout(AT_ONCE, outcome.wait_for(Option::is_some)).await {
            Err(_) => return Ok(Progress::Doing(self.stage(wish))),
            Ok(Ok(ended)) => ended.clone(),
            Ok(Err(_)) => None,
        };
        *self.under_way() = None;
        match ended {
            Some(Ok(())) => Ok(self.done()),
            Some(Err(why)) => Err(why),
            None => Err(MemberError::Stopped("it was shut down".to_owned())),
        }
    }

    fn done(&self) -> Progress {
        let voters = self.members().into_iter().filter(|member| member.voter);
        Progress::Done { voters: voters.map(|member| member.machine).collect() }
    }

    /// How far a change is, in words.
    fn stage(&self, wish: &Wish) -> String {
        let Wish::Add(peer) = wish else { return format!("{wish}: waiting for a quorum to take it") };
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let newest = metrics.last_log_index.unwrap_or_default();
        let held = self.ids_of(&peer.machine).into_iter().next_back().and_then(|id| {
            let held = metrics.replication.as_ref()?.get(&id)?.as_ref()?;
            Some(held.index())
        });
        match held {
            Some(held) if held < newest => format!("{wish}: it has {held} of {newest} entries"),
            Some(_) => format!("{wish}: it has all {newest} entries and is to vote"),
            None => format!("{wish}: it is to learn {newest} entries"),
        }
    }

    /// Judges an addition; the id of the newcomer's log, or `None` when it votes already.
    async fn may_add(&self, peer: &Peer) -> Result<Option<u64>, MemberError> {
        let refused = |line: String| Err(MemberError::Refused(line));
        let members = self.members();
        let machine = &peer.machine;
        match members.iter().find(|member| member.machine == *machine) {
            Some(known) if known.addr != peer.addr => {
                return refused(format!(
                    "{machine} belongs to the group already, at {}: to move it, `interrex coordinator remove {machine}` \
                     first",
                    known.addr
                ));
            }
            // Between two sets of members it counts in one of them only.
            Some(known) if known.voter && self.membership().get_joint_config().len() == 1 => return Ok(None),
            _ => {}
        }
        if let Some(other) = members.iter().find(|m| m.addr == peer.addr && m.machine != *machine) {
            return refused(format!(
                "{} is the address of {}: name the one of {machine}",
                peer.addr, other.machine
            ));
        }
        let silent = self.silent_voters(&BTreeSet::new()).await;
        if let Some(one) = silent.first() {
            return refused(format!(
                "{} is not heard, and one voter more would need one more of the others to agree: start {one}, or \
                 `interrex coordinator remove {one}`, first",
                silent.join(", ")
            ));
        }
        let found = self.identify(peer).await.map_err(|why| {
            MemberError::Refused(format!(
                "{peer} does not answer as a coordinator: {why}; start its node first, with join = true in [coordinator] \
                 and its members the present ones and itself"
            ))
        })?;
        if found.machine != *machine {
            return refused(format!(
                "{} answers at {}, not {machine}: correct the name or the address",
                found.machine, peer.addr
            ));
        }
        let ours = self.group_id();
        if found.group_id != 0 && found.group_id != ours {
            return refused(format!(
                "{machine} belongs to another group ({:016x}, this one is {ours:016x}): stop it, empty the directory \
                 'raft' below its data_dir, write join = true into its [coordinator], and start it",
                found.group_id
            ));
        }
        // It would stop at the first entry that it cannot read, and be one voter less.
        let (reads, written) = (found.reads_level, self.inner.config.reads_level);
        if reads < written {
            return refused(format!(
                "{machine} runs a build that reads log entries up to level {reads}, and this leader writes up to {written}: \
                 start this leader's version of interrex there"
            ));
        }
        Ok(Some(found.raft_id))
    }

    /// Judges a removal. A leader that is to go hands leadership away first and says who leads.
    async fn may_remove(&self, machine: &str) -> Result<(), MemberError> {
        let members = self.members();
        let gone = self.ids_of(machine);
        if gone.is_empty() {
            let known: BTreeSet<&str> = members.iter().map(|member| member.machine.as_str()).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(MemberError::Unknown(format!("{machine} is no coordinator of this group ({known})")));
        }
        let rest: Vec<&MemberInfo> =
            members.iter().filter(|member| member.voter && !gone.contains(&member.raft_id)).collect();
        if rest.is_empty() {
            return Err(MemberError::Refused(format!(
                "{machine} is the only coordinator: the record would be gone with it; add another one first"
            )));
        }
        let silent = self.silent_voters(&gone).await;
        let (heard, needed) = (rest.len().saturating_sub(silent.len()), rest.len() / 2 + 1);
        if heard < needed {
            return Err(MemberError::Refused(format!(
                "without {machine} {needed} of {} voters have to agree, and only {heard} of them would: {} is not heard; \
                 start it, or remove it first",
                rest.len(),
                silent.join(", ")
            )));
        }
        if gone.contains(&self.raft_id()) {
            return Err(self.step_down(&rest).await);
        }
        Ok(())
    }

    /// Hands leadership to one of those who stay; who goes on from here is told as a refusal.
    async fn step_down(&self, rest: &[&MemberInfo]) -> MemberError {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let held =
            |id: &u64| metrics.replication.as_ref().and_then(|all| all.get(id)?.as_ref().map(|h| h.index()));
        let alive = rest.iter().filter(|member| self.heard_within(member.raft_id, ALIVE));
        let Some(heir) = alive.max_by_key(|member| held(&member.raft_id)) else {
            return MemberError::Refused("nobody else answers to take leadership over".to_owned());
        };
        match self.transfer_leader(&heir.machine).await {
            Ok(()) => MemberError::NotLeader {
                leader: Some(Peer { machine: heir.machine.clone(), addr: heir.addr.clone() }),
            },
            Err(why) => why,
        }
    }

    /// Voters, those of `but` excepted, that have not been heard, after they were given a moment.
    async fn silent_voters(&self, but: &BTreeSet<u64>) -> Vec<String> {
        let until = Instant::now() + HEAR;
        loop {
            let silent = self.members().into_iter().filter(|member| {
                member.voter && !but.contains(&member.raft_id) && !self.heard_within(member.raft_id, ALIVE)
            });
            let silent: Vec<String> = silent.map(|member| member.machine).collect();
            if silent.is_empty() || Instant::now() >= until {
                return silent;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}
