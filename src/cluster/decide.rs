//! `decide(&view, &memory) -> Decision`: the one place where it is ranked what happens next. It only ranks; each
//! question lives in its own file under [`crate::diagnose`], each change under [`crate::operation`].

use crate::command::Command;
use crate::diagnose;
use crate::memory::Memory;
use crate::operation::{Advance, bootstrap, failover, rejoin, rule_change};
use crate::problem::{Problem, Wait};
use crate::record::Operation;
use crate::view::View;

/// What should be written to the log, what is waited for, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// Commands to propose, in order.
    pub commands: Vec<Command>,
    /// Why nothing else happens yet.
    pub waits: Vec<Wait>,
    /// What is wrong, worst first.
    pub problems: Vec<Problem>,
}

/// Decides what is to happen next in one cluster.
pub fn decide(view: &View<'_>, memory: &Memory) -> Decision {
    let problems = diagnose::diagnose(view, memory);
    let Advance { commands, waits } =
        if view.record.paused { Advance::wait(Wait::Paused) } else { rank(view, memory, &problems) };
    Decision { commands, waits, problems }
}

fn rank(view: &View<'_>, memory: &Memory, problems: &[Problem]) -> Advance {
    let record = view.record;
    match (&record.operation, &record.primary) {
        (Operation::Gather, _) => bootstrap::gather(view),
        (Operation::Bootstrap { on }, _) => bootstrap::created(view, on),
        (Operation::Failover(under_way), None) => failover::elect(view, memory, under_way),
        (Operation::None, None) => Advance::nothing(),
        (_, Some(reign)) => {
            let mut begins = problems.iter().map(|problem| failover::begin(view, problem));
            if let Some(begin) = begins.find(|begin| *begin != Advance::nothing()) {
                return begin;
            }
            let promote = failover::promote(view, reign);
            if reign.fork.is_none() {
                return promote;
            }
            promote.and(rule_change::advance(view, memory, reign)).and(rejoin::advance(view, reign))
        }
    }
}
