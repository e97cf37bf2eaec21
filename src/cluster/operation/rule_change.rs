//! Who must acknowledge, as the standbys come and go within an epoch: record first, PostgreSQL second, proof third,
//! retirement last (PROTOCOL.md 'Commit rules').

use super::Advance;
use crate::command::Command;
use crate::diagnose::sync::another_could_reign;
use crate::ids::InstanceName;
use crate::memory::{Memory, able_to_acknowledge, receives_this_epoch};
use crate::mutants::{self, Mutant};
use crate::problem::Wait;
use crate::record::{Asked, Copy, Instance, Reign};
use crate::report::Server;
use crate::view::View;
use std::collections::BTreeSet;
use std::time::Duration;

/// Retire what was proved, then change what no longer fits.
pub fn advance(view: &View<'_>, memory: &Memory, reign: &Reign) -> Advance {
    let record = view.record;
    let (epoch, number) = (record.epoch, record.sync.number);
    let proved = view.fresh(&reign.instance).and_then(|report| report.proofs.rule);
    if !record.sync.proved && (proved == Some((epoch, number)) || mutants::on(Mutant::RetireOrder)) {
        return Advance::command(Command::RetireRules { epoch, number });
    }
    let (k, standbys) = wanted(view, memory, reign);
    if (k, &standbys) != (record.sync.k, &record.sync.standbys) {
        return Advance::command(Command::ChangeRule { epoch, k, standbys });
    }
    if record.sync.proved {
        Advance::nothing()
    } else {
        Advance::wait(Wait::RuleProof { instance: reign.instance.clone() })
    }
}

/// The rule that fits what is there now.
fn wanted(view: &View<'_>, memory: &Memory, reign: &Reign) -> (u32, BTreeSet<InstanceName>) {
    let record = view.record;
    let unchanged = || (record.sync.k, record.sync.standbys.clone());
    // Without a fresh word of the primary nothing is known about its standbys.
    let Some(Server::Primary(_)) = view.server(&reign.instance) else { return unchanged() };
    let standbys: BTreeSet<InstanceName> = record
        .instances
        .iter()
        .filter(|(name, member)| **name != reign.instance && belongs(view, memory, name, member))
        .map(|(name, _)| name.clone())
        .collect();
    let able = u32::try_from(standbys.len()).unwrap_or(u32::MAX);
    let spec = &record.spec;
    let patient = memory.alone_for(view.now) < view.policy.alone_after;
    if able == 0 {
        return match (spec.may_be_asynchronous(), patient) {
            // Nobody could acknowledge anyway: an empty set would gain nothing, and the old one may come back. But a
            // copy that has to be made anew is let go, or nobody could ever rebuild it.
            (false, _) | (true, true) => {
                let given_up = |name: &InstanceName| {
                    view.member(name).is_some_and(|member| {
                        matches!(member.asked, Some(Asked::Reinit { .. } | Asked::Leave))
                    })
                };
                let asks = |name: &InstanceName| {
                    view.fresh(name).is_some_and(|report| report.needs.is_some()) || given_up(name)
                };
                let (k, standbys) = unchanged();
                // What went on alone waits again, as soon as the operator would rather have it wait.
                let k = if k == 0 && !spec.may_be_asynchronous() { spec.acks } else { k };
                (k, standbys.into_iter().filter(|name| !asks(name)).collect())
            }
            // Nobody fails a paused cluster over: what two good standbys could reign without is not made asynchronous.
            (true, false) if record.paused && another_could_reign(view, &reign.instance) => unchanged(),
            (true, false) => (0, BTreeSet::new()),
        };
    }
    if able >= spec.acks {
        return (spec.acks, standbys);
    }
    // Fewer than asked for: after a while those who are there have to do, as far down as the operator allows.
    let sunk = able.max(spec.min_acks).min(spec.acks);
    let late = shortest_absence(view, memory, &standbys, reign) >= view.policy.alone_after;
    let k = if late { sunk } else { record.sync.k.max(sunk) };
    (k, standbys)
}

/// How long the members that are missing from `standbys` have been unable, at the least.
fn shortest_absence(
    view: &View<'_>,
    memory: &Memory,
    standbys: &BTreeSet<InstanceName>,
    reign: &Reign,
) -> Duration {
    let missing = view
        .record
        .instances
        .iter()
        .filter(|(name, _)| **name != reign.instance && !standbys.contains(*name));
    let absence = |(name, member): (&InstanceName, &Instance)| match member.copy {
        // A new cluster waits for its first clones as long as their agents are at it.
        Copy::Empty if view.fresh(name).is_some() && !reign.open => Duration::ZERO,
        Copy::Empty => memory.in_phase_for(view.now),
        _ => memory.unable_for(name, view.now),
    };
    missing.map(absence).min().unwrap_or_default()
}

/// Stays while it acknowledges, or has only just stopped; joins once it streams this epoch's timeline, whole, by its
/// own agent's word, and close behind.
fn belongs(view: &View<'_>, memory: &Memory, name: &InstanceName, member: &Instance) -> bool {
    if member.copy != Copy::Whole {
        return false;
    }
    if view.fresh(name).is_some_and(|report| report.needs.is_some() || report.doubt.is_some()) {
        return false;
    }
    match member.asked {
        Some(Asked::Leave) if needed_yet(view, memory, name).is_none() => return false,
        Some(Asked::Reinit { .. }) if done_before(view, name).is_none() => return false,
        _ => {}
    }
    if view.record.sync.standbys.contains(name) {
        return memory.unable_for(name, view.now) < view.policy.leaves_after;
    }
    able_to_acknowledge(view, name) && receives_this_epoch(view, name) && close_behind(view, name)
}

/// Whether an instance that is to leave is needed yet: it acknowledges, and too few of those who stay can; how many they are.
/// One that is dead gives nothing and is not waited for, and once it is out of `S` it does not come back.
pub(super) fn needed_yet(view: &View<'_>, memory: &Memory, leaving: &InstanceName) -> Option<u32> {
    let record = view.record;
    let reign = record.primary.as_ref()?;
    let gives =
        record.in_sync_set(leaving) && memory.unable_for(leaving, view.now) < view.policy.leaves_after;
    let stays = |(name, member): &(&InstanceName, &Instance)| {
        **name != reign.instance && member.asked != Some(Asked::Leave)
    };
    let able = |(name, member): &(&InstanceName, &Instance)| {
        able_to_acknowledge(view, name) && belongs(view, memory, name, member)
    };
    let able = record.instances.iter().filter(stays).filter(able).count();
    let able = u32::try_from(able).unwrap_or(u32::MAX);
    let needed = gives && able < record.spec.acks && !mutants::on(Mutant::NeededYet);
    needed.then_some(able)
}

/// Copies are made anew one at a time, and the others go on acknowledging until it is their turn: whose comes before this
/// one's. Nobody waits for an instance that is not there.
pub(super) fn done_before(view: &View<'_>, name: &InstanceName) -> Option<InstanceName> {
    let present = || view.record.instances.iter().filter(|(other, _)| view.fresh(other).is_some());
    let busy = present().find(|(_, member)| matches!(member.copy, Copy::Rebuilding { .. }));
    let asked = |member: &Instance| matches!(member.asked, Some(Asked::Reinit { .. }));
    let first = present().find(|(_, member)| asked(member)).filter(|(first, _)| *first != name);
    busy.or(first).map(|(other, _)| other.clone())
}

fn close_behind(view: &View<'_>, name: &InstanceName) -> bool {
    let Some(reign) = &view.record.primary else { return false };
    let Some(Server::Primary(primary)) = view.server(&reign.instance) else { return false };
    let flushed = primary.senders.iter().find(|sender| sender.instance == *name).map(|sender| sender.flushed);
    flushed.is_some_and(|flushed| primary.flushed.bytes_since(flushed) <= view.policy.joins_within_bytes)
}
