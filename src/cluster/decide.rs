//! `decide(&view, &memory) -> Decision`: the one place where it is ranked what happens next. It only ranks; each
//! question lives in its own file under [`crate::diagnose`], each change under [`crate::operation`].

use crate::command::Command;
use crate::diagnose;
use crate::memory::Memory;
use crate::mutants::{self, Mutant};
use crate::operation::{Advance, adopt, bootstrap, failover, maintenance, rejoin, rule_change, switchover};
use crate::problem::{Problem, ProblemKind, Wait};
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
    let behind = problems.iter().any(|problem| matches!(problem.kind, ProblemKind::RecordBehind { .. }));
    if behind && !mutants::on(Mutant::RecordBehind) {
        return Decision { problems, ..Decision::default() };
    }
    let Advance { mut commands, mut waits } = rank(view, memory, &problems);
    commands.extend(rejoin::receipts(view));
    if view.record.paused {
        waits.insert(0, Wait::Paused);
    }
    Decision { commands, waits, problems }
}

/// While paused, nothing begins that takes the primary away or a copy; what was begun is brought to its end, and the
/// commit rule goes on to follow the standbys, so that a paused cluster takes writes like any other.
fn rank(view: &View<'_>, memory: &Memory, problems: &[Problem]) -> Advance {
    let record = view.record;
    match (&record.operation, &record.primary) {
        (Operation::Gather, _) => bootstrap::gather(view),
        (Operation::Bootstrap { on }, _) => bootstrap::created(view, on),
        (Operation::Adopt(adoption), _) => adopt::gather(view, adoption),
        (Operation::Failover(under_way), None) => failover::elect(view, memory, under_way),
        (Operation::None | Operation::Switchover(_), None) => Advance::nothing(),
        (operation, Some(reign)) => {
            let may_begin = !(record.paused && reign.open);
            let mut begins = problems.iter().map(|problem| failover::begin(view, memory, problem));
            if let Some(begin) = begins.find(|begin| may_begin && *begin != Advance::nothing()) {
                return begin;
            }
            if let Operation::Switchover(under_way) = operation {
                let prepared = switchover::prepare(view, memory, reign, under_way);
                if !prepared.commands.is_empty() {
                    return prepared;
                }
                // Writes go on meanwhile, and so do the commit rule and a judgement that was asked for before.
                return prepared
                    .and(rule_change::advance(view, memory, reign))
                    .and(maintenance::judgement(view, memory, reign));
            }
            let promote = failover::promote(view, reign);
            if reign.fork.is_none() {
                return promote;
            }
            promote
                .and(rule_change::advance(view, memory, reign))
                .and(maintenance::advance(view, memory, reign))
                .and(rejoin::advance(view, reign))
                .and(bootstrap::absent(view))
        }
    }
}
