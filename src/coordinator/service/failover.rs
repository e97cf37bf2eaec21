//! `failover`: what it would do, why it would not, and its begin. The plan of a dry run and of the real thing is the
//! same; only the last step differs. Accepting loss is an entry of its own: what was only half done says so.

use super::admin::{look, no_instance};
use crate::core::{Core, NotDone};
use interrex_api::admin::{FailoverReply, FailoverRequest};
use interrex_api::refused::Refused;
use interrex_cluster::command::Command;
use interrex_cluster::ids::Epoch;
use interrex_cluster::operation::contradiction::contradiction;
use interrex_cluster::operation::outage;
use interrex_cluster::operation::preview::{self, Preview};
use interrex_cluster::problem::Wait;
use interrex_cluster::record::Operation;
use interrex_cluster::view::View;

/// Plans a failover, and begins it unless only the plan was asked for.
pub(crate) async fn failover(core: &Core, request: FailoverRequest) -> Result<FailoverReply, Refused> {
    let name = &request.name;
    let seen = look(core, name)?;
    let unknown = request.to.iter().chain(&request.fenced).find(|i| !seen.record.instances.contains_key(*i));
    if let Some(unknown) = unknown {
        return Err(no_instance(name, unknown));
    }
    let plan = plan(&seen.view(), &seen.decision.waits, &request);
    if request.dry_run || !plan.accepted {
        return Ok(plan);
    }
    let begins = seen.record.primary.is_some();
    if begins {
        let reason = "asked for by an operator".to_owned();
        let begin = Command::BeginFailover { epoch: plan.epoch, reason, wanted: request.to.clone() };
        core.propose(name, begin).await?;
    }
    if request.accept_loss {
        let accept = Command::AcceptLoss { epoch: plan.epoch, fenced: request.fenced.clone() };
        let accepted = core.propose(name, accept).await;
        accepted.map_err(|why| if begins { half_done(plan.epoch, why) } else { why.into() })?;
    }
    Ok(plan)
}

/// The failover was begun, and its loss is not known to be accepted. Never a refusal that a client answers by asking
/// again by itself: somebody may have been elected meanwhile, whom the repetition would depose.
fn half_done(epoch: Epoch, why: NotDone) -> Refused {
    let text = |why: &dyn std::fmt::Display| {
        format!(
            "epoch {epoch} was begun, which deposes the primary, and it is not known that the loss was accepted: {why}; \
             as long as interrex show names no primary, the same command repeated completes it"
        )
    };
    match Refused::from(why) {
        Refused::Rejected(why) => Refused::Rejected(text(&why)),
        Refused::Internal(why) => Refused::Internal(text(&why)),
        why => Refused::OutcomeUnknown(text(&why)),
    }
}

fn plan(view: &View<'_>, waits: &[Wait], request: &FailoverRequest) -> FailoverReply {
    let record = view.record;
    let Preview { would_win, refusals, obstacles, may_lose } =
        preview::failover(view, request.to.as_ref(), request.accept_loss, waits);
    let primary = record.primary.as_ref().map(|reign| &reign.instance);
    let under_way = primary.is_none() && matches!(record.operation, Operation::Failover(_));
    // Even who accepts loss needs somebody to go on with: else the primary would stop for nothing.
    let somebody = primary.is_some() && view.whole_and_fresh().any(|name| Some(name) != primary);
    let lossless = !under_way && obstacles.is_empty() && would_win.is_some();
    let mut plan = FailoverReply {
        accepted: lossless || (request.accept_loss && (under_way || somebody)),
        epoch: if under_way { record.epoch } else { record.epoch.next() },
        would_win,
        refusals: refusals.iter().map(ToString::to_string).collect(),
        waits: obstacles,
        expected: None,
        may_lose,
    };
    if record.paused {
        plan.waits.push(format!("the cluster is paused; first: interrex resume {}", record.name));
        plan.accepted = false;
    }
    let unheeded = contradiction(view, request.to.as_ref(), &request.fenced, plan.would_win.as_ref());
    if let Some(why) = unheeded {
        plan.waits.push(why);
        plan.accepted = false;
    }
    // What is not done loses nothing, and nothing is promised of it either; who only asks is told all the same, as if
    // nothing stood in the way.
    let told = plan.accepted || request.dry_run;
    plan.may_lose = plan.may_lose.filter(|_| told);
    let winner = plan.would_win.as_ref().filter(|_| told);
    plan.expected = winner.map(|winner| outage::of_failover(view, &request.fenced, winner, plan.epoch));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_of_which_only_the_begin_was_written_says_so_and_is_not_repeated_by_the_client_itself() {
        let told = [
            half_done(Epoch(8), NotDone::NotLeader(None)),
            half_done(Epoch(8), NotDone::NotYet("one reads no such entries".to_owned())),
            half_done(Epoch(8), NotDone::Unknown("no answer".to_owned())),
            half_done(Epoch(8), NotDone::Rejected("the failover of epoch 8 is over".to_owned())),
        ];
        for refused in &told {
            let text = refused.to_string();
            assert!(text.contains("epoch 8 was begun"), "{text}");
            assert!(text.contains("names no primary, the same command repeated completes it"), "{text}");
            assert!(!matches!(refused, Refused::NotLeader(_) | Refused::Unavailable(_)), "{text}");
        }
        assert!(matches!(&told[3], Refused::Rejected(why) if why.contains("is over")));
    }
}
