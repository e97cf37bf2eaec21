//! Whether an operator's wish may be carried out: judged by the leader while nothing else changes the group, and before
//! anything is written. A refusal says what to do first.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::RaftNode;
use super::machine::Machine;
use super::members::{MemberError, MemberInfo};
use super::types::Peer;

/// A member that answered so recently is alive. Longer than a busy machine is late with a heartbeat.
pub(crate) const ALIVE: Duration = Duration::from_secs(3);
/// For a member to be heard: a new leader has heard nobody yet.
const HEAR: Duration = Duration::from_secs(2);
/// Between two looks at who was heard: nobody tells of a single answer.
const HEARD_AGAIN: Duration = Duration::from_millis(50);

impl<M: Machine> RaftNode<M> {
    /// Judges an addition; the id of the newcomer's log, or `None` when it votes already.
    pub(super) async fn may_add(&self, peer: &Peer) -> Result<Option<u64>, MemberError> {
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
        let silent = self.silent_voters(&BTreeSet::new()).await?;
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
        self.may_learn(&found)?;
        Ok(Some(found.raft_id))
    }

    /// Judges a removal; false when there is nothing to remove. A leader that is to go hands leadership away first, to
    /// one of `last` only where nobody else will do, and says who leads.
    pub(super) async fn may_remove(
        &self,
        machine: &str,
        last: &BTreeSet<String>,
    ) -> Result<bool, MemberError> {
        let members = self.members();
        let gone = self.ids_of(machine);
        if gone.is_empty() {
            return Ok(false);
        }
        let rest: Vec<&MemberInfo> =
            members.iter().filter(|member| member.voter && !gone.contains(&member.raft_id)).collect();
        if rest.is_empty() {
            return Err(MemberError::Refused(format!(
                "{machine} is the only coordinator: the record would be gone with it; add another one first"
            )));
        }
        let silent = self.silent_voters(&gone).await?;
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
            return Err(self.step_down(last).await);
        }
        Ok(true)
    }

    /// Hands leadership to one of those who stay; who goes on from here is told as a refusal.
    async fn step_down(&self, last: &BTreeSet<String>) -> MemberError {
        let Some(heir) = self.heir(last).await else {
            return MemberError::Refused("nobody else answers to take leadership over".to_owned());
        };
        match self.transfer_leader(&heir.machine).await {
            Ok(()) => MemberError::NotLeader { leader: Some(heir) },
            Err(why) => why,
        }
    }

    /// Voters, those of `but` excepted, that have not been heard, after they were given a moment. One that was deposed
    /// meanwhile hears nobody, and says who leads instead of what it takes for silence.
    async fn silent_voters(&self, but: &BTreeSet<u64>) -> Result<Vec<String>, MemberError> {
        let until = Instant::now() + HEAR;
        loop {
            let silent = self.members().into_iter().filter(|member| {
                member.voter && !but.contains(&member.raft_id) && !self.heard_within(member.raft_id, ALIVE)
            });
            let silent: Vec<String> = silent.map(|member| member.machine).collect();
            if silent.is_empty() || Instant::now() >= until {
                return self.leads().map(|()| silent);
            }
            sleep(HEARD_AGAIN).await;
        }
    }
}
