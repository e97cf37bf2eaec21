//! Can commits be acknowledged as they are meant to be?

use crate::memory::{Memory, able_to_acknowledge};
use crate::problem::{Problem, ProblemKind};
use crate::time::span;
use crate::view::View;

/// What is wrong with the acknowledging of commits.
pub fn ask(view: &View<'_>, memory: &Memory) -> Vec<Problem> {
    let record = view.record;
    let Some(reign) = record.primary.as_ref().filter(|reign| reign.fork.is_some()) else { return Vec::new() };
    if record.spec.acks == 0 {
        return Vec::new();
    }
    let able = record.sync.standbys.iter().filter(|standby| able_to_acknowledge(view, standby)).count();
    let alone = memory.alone_for(view.now);
    if able == 0 && view.fresh(&reign.instance).is_some() && !(alone.is_zero() && record.sync.k > 0) {
        let now = if record.sync.k == 0 { "commits are asynchronous" } else { "writes wait" };
        let evidence = vec![format!("for {}: {now}", span(alone))];
        return vec![Problem { kind: ProblemKind::Alone, evidence }];
    }
    if record.sync.k < record.spec.acks {
        let (wanted, in_force) = (record.spec.acks, record.sync.k);
        return vec![Problem { kind: ProblemKind::FewerAcks { wanted, in_force }, evidence: Vec::new() }];
    }
    Vec::new()
}
