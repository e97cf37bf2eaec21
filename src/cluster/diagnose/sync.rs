//! Can commits be acknowledged as they are meant to be?

use crate::ids::InstanceName;
use crate::memory::{Memory, able_to_acknowledge};
use crate::operation::failover::hopeless;
use crate::problem::{Problem, ProblemKind};
use crate::report::Server;
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
        if record.sync.k > 0 && alone >= view.policy.alone_after && another_could_reign(view, &reign.instance)
        {
            let instance = reign.instance.clone();
            let evidence =
                vec![format!("for {}: standbys are up and within reach, none streams from it", span(alone))];
            return vec![Problem { kind: ProblemKind::PrimaryCutOff { instance }, evidence }];
        }
        let now = if record.sync.k == 0 { "commits are asynchronous" } else { "writes wait" };
        let evidence = vec![format!("for {}: {now}", span(alone))];
        return vec![Problem { kind: ProblemKind::Alone, evidence }];
    }
    // Until a change is proved, commits may still be acknowledged as any of the listed rules has it.
    let wanted = record.spec.acks;
    let Some(weakest) = record.rules.iter().min_by_key(|rule| rule.k) else { return Vec::new() };
    let in_force = weakest.k.min(record.sync.k);
    if in_force >= wanted {
        return Vec::new();
    }
    let unproved = record.sync.k > in_force;
    let evidence = unproved.then(|| format!("until {} proves the changed rule: {weakest}", reign.instance));
    vec![Problem {
        kind: ProblemKind::FewerAcks { wanted, in_force },
        evidence: evidence.into_iter().collect(),
    }]
}

/// True when at least two whole standbys are up and speak, so that a failover would leave somebody to acknowledge:
/// then an isolated primary is failed over rather than made asynchronous (PROTOCOL.md clause 5).
pub(crate) fn another_could_reign(view: &View<'_>, primary: &InstanceName) -> bool {
    let up = |name: &&InstanceName| {
        view.fresh(name).is_some_and(|r| matches!(r.server, Server::Standby(_)) && r.needs.is_none())
    };
    let ready = view.whole_and_fresh().filter(|name| *name != primary).filter(up).count();
    ready >= 2 && hopeless(view).is_none()
}
