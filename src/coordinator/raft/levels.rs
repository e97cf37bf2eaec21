//! Which entries every member reads. A member stops at the first entry whose level its build does not read, so a leader
//! writes none of that level before every member, voter or learner, is known to read it. What a level is, and which an
//! entry has, is its writer's affair; here they are numbers.
//!
//! A member tells its level with each answer to its leader, and the leader tells all of them what it was told: so a
//! leader knows it of a member that died in the reign before. Nobody else's word counts, and a member that nobody has
//! heard since all of them were started reads nothing, for all that is known.

use interrex_api::pb;

use super::RaftNode;
use super::machine::Machine;
use super::members::MemberError;

/// A member of whom it is not known that it reads a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Older {
    /// Its machine.
    pub machine: String,
    /// What its build reads; absent: nobody told this member.
    pub reads: Option<u32>,
}

impl<M: Machine> RaftNode<M> {
    /// Who keeps this leader from writing entries of a level; `None`: everybody reads it. Whoever told nothing is named
    /// last, since it may yet tell: what is known to be too little does not change by waiting.
    #[must_use]
    pub fn older_than(&self, level: u32) -> Option<Older> {
        let members = self.members().into_iter();
        let older = members.filter(|member| member.reads_level.is_none_or(|reads| reads < level));
        older
            .map(|member| Older { machine: member.machine, reads: member.reads_level })
            .min_by_key(|older| (older.reads.is_none(), older.reads))
    }

    /// Whether a log that is to be filled from here would be read to its end: whatever this leader may come to write
    /// counts, or the group would have one member that can only stop.
    ///
    /// # Errors
    /// `Refused`, with the way out.
    pub(crate) fn may_learn(&self, found: &pb::RaftIdentifyResponse) -> Result<(), MemberError> {
        let (reads, written) = (found.reads_level, self.inner.config.reads_level);
        if reads >= written {
            return Ok(());
        }
        Err(MemberError::Refused(format!(
            "{} runs a build that reads log entries up to level {reads}, and this leader writes up to {written}: start \
             this leader's version of interrex there",
            found.machine
        )))
    }
}
