//! Nothing is written that a coordinator of the group cannot read: it would stop there, rightly, and be one voter less.
//! While machines are upgraded one after the other, what takes a newer build than the oldest one is refused where an
//! operator asked for it, and not done where the rules chose it; everything else goes on.
//!
//! What the log has held already was written under this rule, so it may be written again although somebody who was not
//! heard since has told nothing.

use crate::core::{Core, NotDone};
use crate::machine::Records;
use crate::raft::Older;
use interrex_api::log::{FETCH, level_of};
use interrex_cluster::command::Command;
use interrex_cluster::decide::Decision;
use interrex_cluster::policy::Policy;
use interrex_cluster::problem::Wait;

impl Core {
    /// Who keeps entries of a level from being written; `None`: every coordinator reads them.
    fn older_than(&self, level: u32) -> Option<Older> {
        let held = self.node.read(Records::level).max(1);
        if level <= held { None } else { self.node.older_than(level) }
    }

    /// Whether a command may be written.
    pub(crate) fn readable_by_all(&self, command: &Command) -> Result<(), NotDone> {
        let level = level_of(command);
        let Some(Older { machine, reads }) = self.older_than(level) else { return Ok(()) };
        if self.reign().is_none() {
            return Err(NotDone::NotLeader(self.leader()));
        }
        let way = format!(
            "start this version of interrex on {machine}, or `interrex coordinator remove {machine}`, first"
        );
        Err(match reads {
            Some(reads) => NotDone::Unreadable(format!(
                "{machine} runs a build that reads log entries up to level {reads}, and this takes level {level}: {way}"
            )),
            None => NotDone::NotYet(format!(
                "{machine} has not told which log entries its build reads, and this takes level {level}: {way}"
            )),
        })
    }

    /// The thresholds under which the rules choose nothing that could not be written: a preferred candidate that would
    /// have to fetch is not preferred. Left out of the decision alone, the choice would wait for the fetch for ever.
    pub(crate) fn within_levels(&self, policy: Policy) -> Policy {
        match self.older_than(FETCH) {
            Some(_) => Policy { fetch_within_bytes: 0, ..policy },
            None => policy,
        }
    }

    /// Leaves out of a decision what could not be written, and says for whom that waits. The rest goes on without it.
    pub(crate) fn leave_unreadable_out(&self, decision: &mut Decision) {
        let mut waits: Vec<Wait> = Vec::new();
        decision.commands.retain(|command| {
            let level = level_of(command);
            let Some(older) = self.older_than(level) else { return true };
            // Names of members were names when they were added.
            let wait = older.machine.parse().ok().map(|machine| Wait::OlderCoordinator { machine, level });
            waits.extend(wait.filter(|wait| !waits.contains(wait)));
            false
        });
        decision.waits.extend(waits);
    }
}
