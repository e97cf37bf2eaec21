//! What is wrong? One question a file; each answers from the view alone, with its evidence. Nothing here decides what
//! to do about it.

pub mod adoption;
pub mod coordinators;
pub mod copies;
pub mod primary;
pub mod record;
pub mod standby;
pub mod sync;

use crate::memory::Memory;
use crate::problem::Problem;
use crate::view::View;

/// Everything that is wrong, worst first.
pub fn diagnose(view: &View<'_>, memory: &Memory) -> Vec<Problem> {
    let mut problems: Vec<Problem> = primary::ask(view, memory).into_iter().collect();
    problems.extend(adoption::ask(view));
    problems.extend(copies::ask(view));
    problems.extend(standby::ask(view, memory));
    problems.extend(sync::ask(view, memory));
    problems.extend(coordinators::ask(view));
    problems.extend(record::ask(view.record, view.heard));
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.kind.severity()));
    problems
}
