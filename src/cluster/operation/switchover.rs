//! A planned change of primary: who can take over, the checkpoint before it, and the moment in which the old primary
//! stops while the others still receive from it (PROTOCOL.md 'Switchover', clause 18). From its stop on everything is
//! as in any change of primary ([`super::failover`]): its seal satisfies every rule, and the target holds all it had.

use super::Advance;
use super::preview::Preview;
use crate::candidate::objection;
use crate::command::Command;
use crate::ids::InstanceName;
use crate::memory::{Memory, able_to_acknowledge};
use crate::problem::{Refusal, Wait, list};
use crate::quorum;
use crate::record::{Failover, Operation, Reign, Switchover};
use crate::report::{REPLAY_CHECKS, Report, Sender, Server};
use crate::time::span;
use crate::view::View;
use std::collections::BTreeMap;

/// What a switchover would do if it began now: to `wanted`, or to whoever is preferred.
pub fn preview(view: &View<'_>, wanted: Option<&InstanceName>) -> Preview {
    let mut obstacles: Vec<String> = standing(view).into_iter().collect();
    let Some(reign) = &view.record.primary else { return Preview { obstacles, ..Preview::default() } };
    if wanted == Some(&reign.instance) {
        obstacles.push(format!("{} is the primary already", reign.instance));
        return Preview { obstacles, ..Preview::default() };
    }
    let others = view.record.instances.keys().filter(|name| **name != reign.instance);
    let (mut fit, mut refused) = (Vec::new(), BTreeMap::new());
    for name in others {
        match refusal(view, name) {
            None => fit.push(name),
            Some(refusal) => drop(refused.insert(name, refusal)),
        }
    }
    fit.sort_by_key(|name| {
        (wanted != Some(*name), view.member(name).and_then(|m| m.priority), (*name).clone())
    });
    let winner = fit.first().filter(|first| wanted.is_none_or(|wanted| wanted == **first));
    let preferred = |name: &&InstanceName, winner: &InstanceName| Refusal::Preferred {
        instance: (*name).clone(),
        winner: winner.clone(),
    };
    let others: Vec<Refusal> =
        winner.iter().flat_map(|winner| fit.iter().skip(1).map(|name| preferred(name, winner))).collect();
    match (winner, wanted) {
        (Some(_), _) => {}
        (None, Some(wanted)) => {
            let why =
                refused.get(wanted).map_or_else(|| format!("{wanted} is no standby"), Refusal::to_string);
            obstacles.extend([why, instead(view, &fit)]);
        }
        (None, None) => obstacles.push("no standby could take over at the moment".to_owned()),
    }
    let would_win = winner.map(|winner| (*winner).clone());
    let may_lose = would_win.as_ref().filter(|_| obstacles.is_empty()).and_then(|_| if_it_dies(view, reign));
    Preview { would_win, refusals: refused.into_values().chain(others).collect(), obstacles, may_lose }
}

/// Who could take over where the one that is wanted could not; `fit`: the most preferred one first.
fn instead(view: &View<'_>, fit: &[&InstanceName]) -> String {
    let names: Vec<InstanceName> = fit.iter().map(|name| (*name).clone()).collect();
    match names.first() {
        Some(first) => format!(
            "{} could take over instead: interrex switchover {} --to {first}",
            list(&names),
            view.record.name
        ),
        None => "nobody else could take over at the moment either".to_owned(),
    }
}

/// What a planned change loses that has to go on as a failover. A primary that stops in good order has handed over all it
/// acknowledged; without a `max_data_loss`, one that does not is waited for where nobody else need hold it.
fn if_it_dies(view: &View<'_>, reign: &Reign) -> Option<String> {
    let most = view.record.spec.max_data_loss;
    (most > 0 && quorum::asynchronous(&view.record.rules)).then(|| {
        format!(
            "nothing if {from} stops in good order; if it dies meanwhile, up to {most} bytes (max_data_loss) of its \
             asynchronous commits",
            from = reign.instance
        )
    })
}

/// What stands in the way of restarting the primary by way of a new epoch.
pub fn preview_restart(view: &View<'_>) -> Preview {
    let obstacles = standing(view).into_iter().chain(alone(view)).collect();
    let primary = view.record.primary.as_ref().map(|reign| reign.instance.clone());
    Preview { would_win: primary, obstacles, ..Preview::default() }
}

/// Why the primary cannot be restarted at this moment: those that its commits wait for are not there, or would refuse to
/// follow it.
fn alone(view: &View<'_>) -> Option<String> {
    let record = view.record;
    let primary = record.primary.as_ref().map(|reign| &reign.instance);
    if let Some(primary) =
        primary.filter(|name| view.fresh(name).is_some_and(|report| !read_by(view, report)))
    {
        return Some(format!(
            "{primary} has yet to read the cluster's parameters as they are wanted now; ask again in a moment"
        ));
    }
    if let Some((name, parameter)) = left_behind(view) {
        return Some(format!(
            "{name} has yet to be restarted for {parameter}, which the primary would take up and replay checks; first: \
             interrex restart {} {name}",
            record.name
        ));
    }
    let able = record.sync.standbys.iter().filter(|standby| able_to_acknowledge(view, standby)).count();
    let short = usize::try_from(record.sync.k).is_ok_and(|k| able < k);
    short.then(|| {
        format!("{able} of the standbys that commits wait for can acknowledge, and {} have to", record.sync.k)
    })
}

/// Whether its PostgreSQL has read the cluster's parameters as they are wanted now. An agent of an older build does not
/// tell, and is taken at its other words.
fn read_by(view: &View<'_>, report: &Report) -> bool {
    report.has_read(&view.record.spec.parameters) != Some(false)
}

/// Who has yet to take up a parameter of those that replay checks, which the primary would take up with its restart. One
/// that the primary runs with already is another matter: whoever has yet to be lowered to it follows with more. A standby
/// that streams while its agent says nothing, or has not read what is wanted now, does not speak for itself.
fn left_behind<'a>(view: &View<'a>) -> Option<(&'a InstanceName, String)> {
    let primary = &view.record.primary.as_ref()?.instance;
    let taken_up = &view.fresh(primary)?.pending_restart;
    let checked = |p: &&String| REPLAY_CHECKS.contains(&p.as_str()) && taken_up.contains(*p);
    let lacks = |name| match view.fresh(name) {
        Some(report) if read_by(view, report) => report.pending_restart.iter().find(checked).cloned(),
        _ => taken_up.iter().find(checked).filter(|_| able_to_acknowledge(view, name)).cloned(),
    };
    let mut others = view.record.instances.keys().filter(|name| *name != primary);
    others.find_map(|name| Some((name, lacks(name)?)))
}

/// What stands in the way of any planned change.
fn standing(view: &View<'_>) -> Option<String> {
    let record = view.record;
    let primary = record.primary.as_ref().filter(|reign| reign.open);
    match (&record.operation, primary) {
        _ if record.paused => Some(format!("the cluster is paused; first: interrex resume {}", record.name)),
        (Operation::Switchover(under_way), _) => {
            Some(format!("a switchover to {} is under way", under_way.to))
        }
        (Operation::None, Some(reign)) => view.fresh(&reign.instance).is_none().then(|| {
            format!(
                "the agent of {} is silent; when it stays so: interrex failover {}",
                reign.instance, record.name
            )
        }),
        (Operation::Failover(_), _) => Some("a change of primary is under way".to_owned()),
        _ => Some("the cluster has no primary that takes writes".to_owned()),
    }
}

/// Why a standby cannot take over at this moment.
fn refusal(view: &View<'_>, name: &InstanceName) -> Option<Refusal> {
    let member = view.member(name)?;
    if let Some(refusal) = objection(view, name, member) {
        return Some(refusal);
    }
    let unfit = |why: String| Some(Refusal::Unfit { instance: name.clone(), why });
    let Some(reign) = &view.record.primary else { return unfit("there is no primary".to_owned()) };
    if !able_to_acknowledge(view, name) {
        return unfit(format!("it does not stream from {}", reign.instance));
    }
    let Some(Server::Primary(primary)) = view.server(&reign.instance) else {
        return unfit(format!("{} does not run as a primary", reign.instance));
    };
    let sender: &Sender = primary.senders.iter().find(|sender| sender.instance == *name)?;
    let most = view.policy.joins_within_bytes;
    let (behind, unreplayed) =
        (primary.flushed.bytes_since(sender.flushed), primary.flushed.bytes_since(sender.replayed));
    if behind > most {
        return unfit(format!("it is {} MB behind", behind >> 20));
    }
    // Whatever is not replayed yet is replayed while nobody takes writes.
    (unreplayed > most).then(|| unfit(format!("it has {} MB still to replay", unreplayed >> 20))).flatten()
}

/// The primary makes a checkpoint and serves on; then it hands over, if the target could still take over.
pub fn prepare(view: &View<'_>, memory: &Memory, reign: &Reign, under_way: &Switchover) -> Advance {
    let epoch = view.record.epoch;
    let give_up = |why: String| Advance::command(Command::AbandonSwitchover { epoch, why });
    if view.record.paused {
        return give_up("the cluster was paused".to_owned());
    }
    if under_way.to != reign.instance
        && let Some(refusal) = refusal(view, &under_way.to)
    {
        return give_up(refusal.to_string());
    }
    if under_way.to == reign.instance
        && let Some(why) = alone(view)
    {
        return give_up(why);
    }
    let done = view.fresh(&reign.instance).and_then(|report| report.proofs.checkpoint);
    if done == Some(under_way.checkpoint) {
        return Advance::command(Command::BeginHandOver { epoch: epoch.next(), to: under_way.to.clone() });
    }
    let waited = memory.in_phase_for(view.now);
    if waited >= view.policy.checkpoint_patience {
        return give_up(format!("{} made no checkpoint within {}", reign.instance, span(waited)));
    }
    Advance::wait(Wait::Checkpoint { instance: reign.instance.clone() })
}

/// Until the old primary of a planned change is gone. `None`: there is no plan, or it is; elect.
pub fn handing_over(view: &View<'_>, memory: &Memory, failover: &Failover) -> Option<Advance> {
    let (hand_over, from) = (view.record.handing_over()?, failover.from.as_ref()?);
    let waited = memory.in_phase_for(view.now);
    let silence = view.silence(from);
    let why = match () {
        () if silence >= view.policy.suspect_after => {
            Some(format!("the agent of {from} has been silent for {}", span(silence)))
        }
        () if waited >= view.policy.hand_over_patience => {
            Some(format!("{from} did not stop within {}", span(waited)))
        }
        () => None,
    };
    Some(match why {
        Some(why) => Advance::command(Command::AbandonSwitchover { epoch: view.record.epoch, why }),
        None => Advance::wait(Wait::HandOver { from: from.clone(), to: hand_over.to.clone() }),
    })
}
