//! What a failover would do if it began now: the answer to `failover --dry-run`. It imagines every reachable whole
//! instance sealed at the position that it last told, and asks the same functions that a real failover asks.

use super::failover::hopeless;
use crate::candidate::{self, Choice};
use crate::ids::InstanceName;
use crate::problem::{Refusal, Wait, list};
use crate::record::{Cluster, Failover, Operation};
use crate::report::{Report, Seal, Server};
use crate::view::View;
use crate::wal::{Position, TimelineId};
use std::collections::BTreeMap;

/// The answer to a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Who would win, as far as can be told before the seals.
    pub would_win: Option<InstanceName>,
    /// Why not each of the others.
    pub refusals: Vec<Refusal>,
    /// What stands in the way, a sentence each; empty when nothing does.
    pub obstacles: Vec<String>,
}

/// Previews a failover, to `wanted` if the operator wants somebody.
pub fn failover(view: &View<'_>, wanted: Option<&InstanceName>) -> Preview {
    let Some(reign) = &view.record.primary else {
        let why = match view.record.operation {
            Operation::Failover(_) => "a failover is under way and has not elected yet",
            _ => "the cluster has no primary yet",
        };
        return Preview { obstacles: vec![why.to_owned()], ..Preview::default() };
    };
    if wanted == Some(&reign.instance) {
        let obstacle = format!("{} is the primary already", reign.instance);
        return Preview { obstacles: vec![obstacle], ..Preview::default() };
    }
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
    let Choice { winner, refusals } = candidate::choose(view, &imagined, false);
    let refusals = refusals.into_iter().filter_map(|refusal| unimagined(refusal, &reign.instance)).collect();
    let mut obstacles: Vec<String> = hopeless(view).iter().map(in_the_way).collect();
    let fetches = winner.as_ref().and_then(|winner| candidate::worth_fetching_for(view, &imagined, winner));
    let winner = fetches.or(winner);
    if let (Some(wanted), Some(winner)) = (wanted, &winner)
        && wanted != winner
    {
        obstacles.push(format!("{wanted} would not win: {winner} would"));
    }
    Preview { would_win: winner, refusals, obstacles }
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
fn unimagined(refusal: Refusal, primary: &InstanceName) -> Option<Refusal> {
    match refusal {
        Refusal::NotSealed { instance } if instance == *primary => None,
        Refusal::NotSealed { instance } => {
            Some(Refusal::Unfit { instance, why: "it runs no standby at the moment".to_owned() })
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
