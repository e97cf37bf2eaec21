//! What a failover would do if it began now, or does that has not elected yet: the answer to `failover --dry-run`. It
//! imagines every reachable whole instance sealed at the position that it last told (one under way has its seals), and
//! asks the same functions that a real failover asks. What may be lost is said wherever anything may.

use super::failover::{Chosen, chosen, gap, hopeless, loss_allowed, seals_missing};
use crate::candidate;
use crate::diagnose::standby::in_short;
use crate::ids::InstanceName;
use crate::problem::{Refusal, Wait, list};
use crate::quorum;
use crate::record::{Cluster, CommitRule, Failover, Operation, Reign};
use crate::report::{Report, Seal, Server};
use crate::time::span;
use crate::view::View;
use crate::wal::{Position, TimelineId};
use std::collections::{BTreeMap, BTreeSet};

/// The answer to a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Who would win, as far as can be told before the seals; where something stands in the way: but for that.
    pub would_win: Option<InstanceName>,
    /// Why not each of the others.
    pub refusals: Vec<Refusal>,
    /// What stands in the way, a sentence each; empty when nothing does.
    pub obstacles: Vec<String>,
    /// What may be lost, or would be with `--accept-loss` where nothing is done without; absent: no acknowledged commit.
    pub may_lose: Option<String>,
}

/// Previews a failover, to `wanted` if the operator wants somebody. `waits`: what one under way waits for.
pub fn failover(
    view: &View<'_>,
    wanted: Option<&InstanceName>,
    accept_loss: bool,
    waits: &[Wait],
) -> Preview {
    match (&view.record.primary, &view.record.operation) {
        (Some(reign), _) if wanted == Some(&reign.instance) => {
            let obstacle = format!("{} is the primary already", reign.instance);
            Preview { obstacles: vec![obstacle], ..Preview::default() }
        }
        (Some(reign), _) => beginning(view, reign, wanted, accept_loss),
        (None, Operation::Failover(under_way)) => going_on(view, under_way, accept_loss, waits),
        (None, _) => {
            Preview { obstacles: vec!["the cluster has no primary yet".to_owned()], ..Preview::default() }
        }
    }
}

/// A failover that is still to begin.
fn beginning(view: &View<'_>, reign: &Reign, wanted: Option<&InstanceName>, accept_loss: bool) -> Preview {
    let others = view.whole_and_fresh().filter(|name| **name != reign.instance);
    let seals: BTreeMap<InstanceName, Seal> = others
        .filter_map(|name| {
            let position = told(view.record, view.fresh(name)?)?;
            Some((name.clone(), Seal { epoch: view.record.epoch.next(), position, ..Seal::default() }))
        })
        .collect();
    let imagined = Failover {
        wanted: wanted.cloned(),
        seals,
        ..Failover::begun(Some(reign.instance.clone()), "dry run")
    };
    let Judged { winner, refusals, may_lose } = overridden(view, &imagined);
    let refusals =
        refusals.into_iter().filter_map(|refusal| unimagined(view, refusal, &reign.instance)).collect();
    let mut obstacles: Vec<String> = hopeless(view).iter().map(in_the_way).collect();
    match &may_lose {
        _ if !obstacles.is_empty() => {}
        _ if winner.is_none() => obstacles.push("nobody may be promoted at the moment".to_owned()),
        // `max_data_loss` is for failovers that begin by themselves: who begins one says what may be lost by it.
        Some(loss) if !accept_loss => obstacles.push(format!(
            "it may lose {loss}; to go on all the same: interrex failover {} --accept-loss",
            view.record.name
        )),
        _ => {}
    }
    let lossless = winner.as_ref().filter(|_| may_lose.is_none());
    let fetches = lossless.and_then(|winner| candidate::worth_fetching_for(view, &imagined, winner));
    let may_lose = match may_lose {
        Some(loss) => Some(unless(accept_loss, loss)),
        None => winner.as_ref().filter(|_| accept_loss).and_then(|winner| hurried(view, &imagined, winner)),
    };
    let winner = fetches.or(winner);
    if let (Some(wanted), Some(winner)) = (wanted, &winner)
        && wanted != winner
    {
        obstacles.push(format!("{wanted} would not win: {winner} would"));
    }
    Preview { would_win: winner, refusals, obstacles, may_lose }
}

/// A failover that has not elected yet.
fn going_on(view: &View<'_>, under_way: &Failover, accept_loss: bool, waits: &[Wait]) -> Preview {
    let waits = waits.iter().map(Wait::to_string);
    if accept_loss {
        let Judged { winner, refusals, may_lose } = overridden(view, under_way);
        return Preview { would_win: winner, refusals, obstacles: waits.collect(), may_lose };
    }
    let by_itself = judge(view, under_way);
    let (once, Judged { winner, refusals, may_lose }) = match by_itself {
        Some(judged) => ("once nothing is waited for any more", judged),
        None => {
            let judged = overridden(view, under_way);
            ("with --accept-loss", Judged { may_lose: judged.may_lose.map(|l| unless(false, l)), ..judged })
        }
    };
    let epoch = view.record.epoch;
    let mut obstacles = vec![format!("the failover of epoch {epoch} is under way and has not elected yet")];
    obstacles.extend(waits);
    obstacles.push(match &winner {
        Some(winner) => format!("{winner} would be elected {once}, as things stand"),
        None => "nobody could be elected as things stand, with --accept-loss either".to_owned(),
    });
    Preview { would_win: winner, refusals, obstacles, may_lose }
}

/// Who is elected upon the seals of a failover, and what is lost by that.
struct Judged {
    winner: Option<InstanceName>,
    refusals: Vec<Refusal>,
    may_lose: Option<String>,
}

/// As [`super::failover::elect`] does, but for what is only waited for; `None`: not without an operator's override.
fn judge(view: &View<'_>, failover: &Failover) -> Option<Judged> {
    let Chosen { winner, refusals, lossy } = chosen(view, failover).ok()?;
    let may_lose = match lossy {
        None => None,
        Some(unsatisfied) => {
            loss_allowed(view, failover, &unsatisfied, &winner).ok()?;
            Some(lost(view, failover, &unsatisfied, &winner))
        }
    };
    Some(Judged { winner: Some(winner), refusals, may_lose })
}

/// The same once an operator accepted loss.
fn overridden(view: &View<'_>, failover: &Failover) -> Judged {
    let accepted = failover.loss_accepted.clone().unwrap_or_default();
    let failover = Failover { loss_accepted: Some(accepted), ..failover.clone() };
    judge(view, &failover).unwrap_or_else(|| {
        let refusals = candidate::choose(view, &failover, true).refusals;
        Judged { winner: None, refusals, may_lose: None }
    })
}

/// What a winner may lack that was acknowledged, in words.
fn lost(view: &View<'_>, failover: &Failover, unsatisfied: &[&CommitRule], winner: &InstanceName) -> String {
    let most = view.record.spec.max_data_loss;
    let alone: BTreeSet<&InstanceName> =
        unsatisfied.iter().filter(|rule| rule.k == 0).map(|rule| &rule.primary).collect();
    let asynchronous = alone.into_iter().map(|holder| {
        let behind = gap(view, failover, holder, winner).map_or_else(
            || "how far it was ahead is not known".to_owned(),
            |gap| format!("{winner} is {gap} bytes behind the last position that it told"),
        );
        match failover.loss_accepted {
            None => {
                format!("up to {most} bytes (max_data_loss) of asynchronous commits of {holder}: {behind}")
            }
            Some(_) => format!("asynchronous commits of {holder}, without a bound: {behind}"),
        }
    });
    let missing = unsatisfied.iter().filter(|rule| rule.k > 0).filter_map(|rule| {
        let wait = seals_missing(rule, &failover.seals)?;
        Some(format!(
            "commits that were acknowledged and that no sealed instance holds, because it no longer {wait}"
        ))
    });
    let held = failover.seals.get(winner).map(|seal| seal.position);
    let above = failover.seals.iter().filter(|(_, seal)| Some(seal.position) > held);
    let above: Vec<InstanceName> = above.map(|(name, _)| name.clone()).collect();
    let above = (!above.is_empty()).then(|| format!("what {} holds above {winner}", list(&above)));
    let parts: Vec<String> = asynchronous.chain(missing).chain(above).collect();
    match parts.is_empty() {
        true => format!("acknowledged commits that {winner} lacks"),
        false => parts.join("; "),
    }
}

/// Nothing would be lost, and yet: an election whose loss is accepted waits for nobody's seal but for a moment.
fn hurried(view: &View<'_>, imagined: &Failover, winner: &InstanceName) -> Option<String> {
    let alone = |name: &InstanceName, seal: &Seal| BTreeMap::from([(name.clone(), *seal)]);
    let satisfies = |seals: &quorum::Seals| view.record.rules.iter().all(|r| quorum::satisfied(r, seals));
    let each = imagined.seals.iter().all(|(name, seal)| satisfies(&alone(name, seal)));
    (!each).then(|| {
        format!(
            "what {winner} lacks, if whoever holds it is not sealed within {}: with the loss accepted nobody is waited \
             for longer; without --accept-loss nothing",
            span(view.policy.seal_grace)
        )
    })
}

fn unless(accepted: bool, loss: String) -> String {
    if accepted { loss } else { format!("with --accept-loss: {loss}") }
}

/// What a failover would wait for, said to somebody who thinks about beginning one.
fn in_the_way(wait: &Wait) -> String {
    match wait {
        Wait::SealsMissing { rule, more, from } => format!(
            "whoever were elected could lack acknowledged commits, as {more} more of {} would have to be a whole standby \
             within reach ({rule})",
            list(from)
        ),
        other => other.to_string(),
    }
}

/// Nobody is sealed in a dry run: the primary is who would be replaced, and who told no position runs no standby.
fn unimagined(view: &View<'_>, refusal: Refusal, primary: &InstanceName) -> Option<Refusal> {
    match refusal {
        Refusal::NotSealed { instance } if instance == *primary => None,
        Refusal::NotSealed { instance } => {
            let now =
                view.server(&instance).map_or_else(String::new, |server| format!(": {}", in_short(server)));
            Some(Refusal::Unfit { instance, why: format!("it runs no standby at the moment{now}") })
        }
        other => Some(other),
    }
}

/// Where a standby stands by its last report. What it proves when sealed may be more.
fn told(record: &Cluster, report: &Report) -> Option<Position> {
    match &report.server {
        Server::Standby(standby) => Some(match &standby.receiver {
            Some(receiver) => {
                Position { timeline: receiver.timeline, lsn: receiver.flushed.max(standby.replayed) }
            }
            None => Position { timeline: TimelineId(record.epoch.0), lsn: standby.replayed },
        }),
        _ => None,
    }
}
