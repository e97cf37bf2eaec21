//! `failover`: what it would do, why it would not, and its begin. The plan of a dry run and of the real thing is the
//! same; only the last step differs.

use super::admin::{look, no_instance};
use crate::core::{Core, Look};
use interrex_api::admin::{FailoverReply, FailoverRequest};
use interrex_api::refused::Refused;
use interrex_cluster::candidate::{self, Choice};
use interrex_cluster::command::Command;
use interrex_cluster::operation::failover::hopeless;
use interrex_cluster::operation::preview::{self, Preview};
use interrex_cluster::record::{Failover, Operation};
use interrex_cluster::view::View;

/// Plans a failover, and begins it unless only the plan was asked for.
pub(crate) async fn failover(core: &Core, request: FailoverRequest) -> Result<FailoverReply, Refused> {
    let name = &request.name;
    let seen = look(core, name)?;
    let unknown = request.to.iter().chain(&request.fenced).find(|i| !seen.record.instances.contains_key(*i));
    if let Some(unknown) = unknown {
        return Err(no_instance(name, unknown));
    }
    let plan = plan(&seen, &request);
    if request.dry_run || !plan.accepted {
        return Ok(plan);
    }
    if seen.record.primary.is_some() {
        let reason = "asked for by an operator".to_owned();
        let begin = Command::BeginFailover { epoch: plan.epoch, reason, wanted: request.to.clone() };
        core.propose(name, begin).await?;
    }
    if request.accept_loss {
        core.propose(name, Command::AcceptLoss { epoch: plan.epoch, fenced: request.fenced.clone() }).await?;
    }
    Ok(plan)
}

fn plan(seen: &Look, request: &FailoverRequest) -> FailoverReply {
    let view = seen.view();
    let record = &seen.record;
    let mut plan = match (&record.primary, &record.operation) {
        (None, Operation::Failover(under_way)) if request.accept_loss => overridden(&view, seen, under_way),
        _ => begun(&view, request),
    };
    if record.paused {
        plan.waits.push(format!("the cluster is paused; first: interrex resume {}", record.name));
        plan.accepted = false;
    }
    // What is not done loses nothing, and nothing is promised of it either.
    plan.may_lose = plan.may_lose.filter(|_| plan.accepted);
    plan.expected = plan.would_win.as_ref().filter(|_| plan.accepted).map(|winner| {
        format!(
            "{winner} is promoted in epoch {}; clients are let in after its first synchronous commit",
            plan.epoch
        )
    });
    plan
}

/// A failover that is still to begin.
fn begun(view: &View<'_>, request: &FailoverRequest) -> FailoverReply {
    let Preview { would_win, refusals, obstacles } = preview::failover(view, request.to.as_ref());
    let primary = view.record.primary.as_ref().map(|reign| &reign.instance);
    // Even who accepts loss needs somebody to go on with: else the primary would stop for nothing.
    let somebody = primary.is_some() && view.whole_and_fresh().any(|name| Some(name) != primary);
    let lossless = obstacles.is_empty() && would_win.is_some();
    let mut waits = obstacles;
    if would_win.is_none() && waits.is_empty() {
        waits.push("nobody may be promoted at the moment".to_owned());
    }
    FailoverReply {
        accepted: lossless || (request.accept_loss && somebody),
        epoch: view.record.epoch.next(),
        would_win,
        refusals: refusals.iter().map(ToString::to_string).collect(),
        waits,
        expected: None,
        may_lose: hopeless(view).filter(|_| request.accept_loss).map(lost),
    }
}

/// A failover that is under way and cannot elect without loss.
fn overridden(view: &View<'_>, seen: &Look, under_way: &Failover) -> FailoverReply {
    let Choice { winner, refusals } = candidate::choose(view, under_way, true);
    let waits: Vec<String> = seen.decision.waits.iter().map(ToString::to_string).collect();
    FailoverReply {
        accepted: true,
        epoch: view.record.epoch,
        would_win: winner,
        refusals: refusals.iter().map(ToString::to_string).collect(),
        may_lose: (!waits.is_empty()).then(|| lost(waits.join("; "))),
        waits,
        expected: None,
    }
}

fn lost(wait: impl std::fmt::Display) -> String {
    format!("commits that were acknowledged and that no sealed instance holds, because it no longer {wait}")
}
