//! How an instance whose copy cannot follow comes back: leave to rewind or clone, one at a time, then the mark that
//! says it counts again (PROTOCOL.md 'Failover' 6).

use super::Advance;
use super::rule_change::done_before;
use crate::command::Command;
use crate::ids::InstanceName;
use crate::memory::able_to_acknowledge;
use crate::problem::Wait;
use crate::record::{Asked, Copy, Instance, Reign};
use crate::report::{Rebuild, Report, Server};
use crate::view::View;
use crate::wal::{Position, TimelineId};

/// What the copies want next.
pub fn advance(view: &View<'_>, reign: &Reign) -> Advance {
    let others = || view.record.instances.iter().filter(|(name, _)| **name != reign.instance);
    let finished = others().filter_map(|(name, member)| finish(view, name, member));
    let commands: Vec<Command> = finished.collect();
    if !commands.is_empty() {
        return Advance { commands, waits: Vec::new() };
    }
    let busy = others().find(|(name, member)| {
        matches!(member.copy, Copy::Rebuilding { done: false, .. }) && view.fresh(name).is_some()
    });
    let mut asking: Vec<(&InstanceName, &Instance, Rebuild)> = others()
        .filter_map(|(name, member)| Some((name, member, asks(view, member, view.fresh(name)?)?)))
        .collect();
    if view.record.paused {
        // Nothing begins by itself; what an operator asked for does.
        asking.retain(|(_, member, _)| reinit_asked(member));
    }
    // A rewind brings back more in less time: first come those.
    asking.sort_by_key(|(name, _, how)| (*how == Rebuild::Clone, (*name).clone()));
    match busy {
        // The one at work may give up on a rewind and ask for a clone instead.
        Some((name, member)) => match asking.iter().find(|(asker, ..)| *asker == name) {
            Some((_, _, how)) => grant(view, reign, name, member, *how),
            None => Advance::wait(Wait::Rebuild { instance: name.clone() }),
        },
        None => {
            let grants = asking.iter().map(|(name, member, how)| grant(view, reign, name, member, *how));
            let mut waits = Advance::nothing();
            for grant in grants {
                if !grant.commands.is_empty() {
                    return grant;
                }
                waits = grant;
            }
            waits
        }
    }
}

/// Receipts that agents tell of and the record does not have: whatever else is under way.
pub fn receipts(view: &View<'_>) -> impl Iterator<Item = Command> {
    view.record.instances.keys().filter_map(|name| {
        let receipt = view.fresh(name)?.receipt.as_ref()?;
        let new = !view.record.knows(name, receipt);
        new.then(|| Command::RecordReceipt { instance: name.clone(), receipt: receipt.clone() })
    })
}

/// What the instance asks for, by a report about the copy that the record knows.
fn asks(view: &View<'_>, member: &Instance, report: &Report) -> Option<Rebuild> {
    match (&member.copy, &report.needs) {
        (Copy::Empty, _) if report.server == Server::NoData => Some(Rebuild::Clone),
        // An agent that lost its own directory, beside a copy of this cluster: nobody knows what that is worth.
        (Copy::Empty, _) => match &report.server {
            Server::Stopped { system, .. } if view.record.system == Some(*system) => Some(Rebuild::Clone),
            _ => None,
        },
        (_, Some(need)) if need.incarnation == member.incarnation => Some(need.rebuild),
        (Copy::Whole, _) if reinit_asked(member) => Some(Rebuild::Clone),
        (Copy::Rebuilding { .. }, _) if clone_is_due(member, report) => Some(Rebuild::Clone),
        _ => None,
    }
}

fn reinit_asked(member: &Instance) -> bool {
    matches!(member.asked, Some(Asked::Reinit { .. }))
}

/// A rewind came to its end, and an operator has asked for a clone meanwhile: that is not it.
fn clone_is_due(member: &Instance, report: &Report) -> bool {
    let rewound = matches!(member.copy, Copy::Rebuilding { how: Rebuild::Rewind, done: false, .. });
    rewound && reinit_asked(member) && report.proofs.rebuilt == Some(member.incarnation)
}

fn grant(view: &View<'_>, reign: &Reign, name: &InstanceName, member: &Instance, how: Rebuild) -> Advance {
    let Some(Server::Primary(primary)) = view.server(&reign.instance) else { return Advance::nothing() };
    let record = view.record;
    if record.sync.standbys.contains(name) {
        return Advance::wait(match done_before(view, name) {
            Some(instance) => Wait::Rebuild { instance },
            None => Wait::RuleProof { instance: reign.instance.clone() },
        });
    }
    // An older rule may need this very copy: it is kept until the newest rule is proved, unless too few others could
    // prove it (PROTOCOL.md clause 11): a rule that asks for this copy too would wait for it for ever.
    // Whoever is to leave acknowledges only for as long as it is needed.
    let stays = |other: &InstanceName| {
        let leaves = view.member(other).is_none_or(|member| member.asked == Some(Asked::Leave));
        !leaves || (record.in_sync_set(other) && able_to_acknowledge(view, other))
    };
    let could_prove = |other: &InstanceName| {
        let able = view.fresh(other).is_some_and(|report| report.needs.is_none());
        other != name && *other != reign.instance && able && stays(other)
    };
    let others = view.whole_and_fresh().filter(|other| could_prove(other)).count();
    let provable = others >= usize::try_from(record.sync.k.max(1)).unwrap_or(usize::MAX);
    if member.copy == Copy::Whole && !record.sync.proved && provable {
        return Advance::wait(Wait::RuleProof { instance: reign.instance.clone() });
    }
    let until = Position { timeline: TimelineId(record.epoch.0), lsn: primary.flushed };
    Advance::command(Command::GrantRebuild {
        instance: name.clone(),
        incarnation: member.incarnation,
        how,
        until,
    })
}

/// A rebuild that is done, or a copy that holds what was asked of it.
fn finish(view: &View<'_>, name: &InstanceName, member: &Instance) -> Option<Command> {
    let report = view.fresh(name).filter(|report| report.incarnation == member.incarnation)?;
    match &member.copy {
        Copy::Rebuilding { done: false, .. } if clone_is_due(member, report) => None,
        Copy::Rebuilding { done: false, .. } if report.proofs.rebuilt == Some(member.incarnation) => {
            Some(Command::EndRebuild { instance: name.clone(), incarnation: member.incarnation })
        }
        Copy::Rebuilding { done: true, until, .. } => {
            let Server::Standby(standby) = &report.server else { return None };
            let receiver = standby.receiver.as_ref().filter(|receiver| receiver.streaming)?;
            let held = Position { timeline: receiver.timeline, lsn: receiver.flushed };
            let counts = receiver.timeline.0 == view.record.epoch.0 && held >= *until;
            counts.then(|| Command::MarkWhole {
                instance: name.clone(),
                incarnation: member.incarnation,
                epoch: view.record.epoch,
            })
        }
        _ => None,
    }
}
