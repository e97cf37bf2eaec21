//! Begin → seals → elect → confirm → open: what a change of primary wants next (PROTOCOL.md 'Failover').

use super::Advance;
use super::{fetch, switchover};
use crate::candidate::{self, Choice};
use crate::command::Command;
use crate::ids::InstanceName;
use crate::memory::Memory;
use crate::problem::{Problem, ProblemKind, Refusal, Wait};
use crate::quorum;
use crate::record::{Cluster, CommitRule, Copy, Failover, Reign};
use crate::report::{Seal, Server};
use crate::spec::OnCrash;
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};

/// A problem of the primary → a failover, if one could succeed. One that could not would only raise the epoch, and
/// stop a primary that may still serve somebody.
pub fn begin(view: &View<'_>, memory: &Memory, problem: &Problem) -> Advance {
    let first_hand = match &problem.kind {
        ProblemKind::PrimaryDown { .. } | ProblemKind::PromotionStuck { .. } => true,
        ProblemKind::PrimaryUnreachable { .. }
        | ProblemKind::PrimarySilent { .. }
        | ProblemKind::PrimaryHung { .. }
        | ProblemKind::PrimaryCutOff { .. } => false,
        _ => return Advance::nothing(),
    };
    if !first_hand && let Some(wait) = hopeless(view) {
        return Advance::wait(wait);
    }
    if let ProblemKind::PromotionStuck { instance } = &problem.kind
        && starts_again(view, memory, instance)
    {
        return Advance::wait(Wait::Promotion { instance: instance.clone() });
    }
    let reason = match problem.evidence.as_slice() {
        [] => problem.kind.to_string(),
        evidence => format!("{}: {}", problem.kind, evidence.join("; ")),
    };
    let wanted = restarts(view, memory, problem);
    Advance::command(Command::BeginFailover { epoch: view.record.epoch.next(), reason, wanted })
}

/// The old primary itself, where the operator would rather have it restarted after a crash than another one promoted
/// (`on_crash = "restart"`). It takes part in the election of the next epoch like any other, and is preferred; never
/// twice within a short time, or a server that keeps crashing would keep the cluster down.
fn restarts(view: &View<'_>, memory: &Memory, problem: &Problem) -> Option<InstanceName> {
    let ProblemKind::PrimaryDown { instance } = &problem.kind else { return None };
    let crashed = matches!(view.server(instance), Some(Server::Stopped { .. }));
    let lasted = memory.in_phase_for(view.now) >= view.policy.restarts_again_after;
    let wished = view.record.spec.on_crash == OnCrash::Restart;
    (wished && crashed && lasted).then(|| instance.clone())
}

/// The elected server ended before it answered anything, so it was not promoted, and nobody else could be elected: there is
/// nobody who starts, or the others had their chance. Its agent starts it anew in this very epoch; an epoch for each start
/// that fails would use up timeline numbers without end. One that ended in the moment of its promotion does take a new
/// epoch, and gets it after a while.
fn starts_again(view: &View<'_>, memory: &Memory, instance: &InstanceName) -> bool {
    let fails = |name: &InstanceName| view.fresh(name).is_some_and(|report| report.failing.is_some());
    let alone = !view.whole_and_fresh().any(|other| other != instance && !fails(other));
    fails(instance)
        && (alone || elected_again(view.record, instance))
        && memory.in_phase_for(view.now) < view.policy.restarts_again_after
}

/// It was elected in the epoch before this one, too, and was not promoted in that: another election has chosen it again.
fn elected_again(record: &Cluster, instance: &InstanceName) -> bool {
    let again = record.failover().is_some_and(|failover| failover.from.as_ref() == Some(instance));
    again && !record.timelines.iter().any(|fork| fork.epoch.next() == record.epoch)
}

/// The wait that names who is missing, when sealing everybody within reach would satisfy too little.
pub fn hopeless(view: &View<'_>) -> Option<Wait> {
    let primary = view.record.primary.as_ref().map(|reign| &reign.instance);
    let within_reach = view.whole_and_fresh().filter(|name| Some(*name) != primary);
    let imagined: BTreeMap<InstanceName, Seal> = within_reach
        .map(|name| (name.clone(), Seal { epoch: view.record.epoch.next(), ..Seal::default() }))
        .collect();
    if imagined.is_empty() {
        return view.record.rules.last().and_then(|rule| seals_missing(rule, &imagined));
    }
    if let (true, 0, Some(holder)) =
        (quorum::asynchronous(&view.record.rules), view.record.spec.max_data_loss, primary)
    {
        return Some(Wait::LossUnbounded { holder: holder.clone() });
    }
    // Positions are unknown before the seal, so a covered rule is judged by its arithmetic alone.
    let by_number = |rule: &CommitRule| CommitRule { covered_at: None, ..rule.clone() };
    let open = view.record.rules.iter().filter(|rule| rule.covered_at.is_none() && rule.k > 0);
    open.map(by_number).find_map(|rule| seals_missing(&rule, &imagined))
}

pub(super) fn seals_missing(rule: &CommitRule, seals: &quorum::Seals) -> Option<Wait> {
    let missing = quorum::missing(rule, seals)?;
    Some(Wait::SealsMissing { rule: rule.to_string(), more: missing.more, from: missing.from })
}

/// Nobody is primary: record the seals that came, elect as soon as it is lawful.
pub fn elect(view: &View<'_>, memory: &Memory, failover: &Failover) -> Advance {
    let recorded = seals(view, failover);
    if !recorded.is_empty() {
        // Elected upon the record, never upon a report: the next look has them.
        return Advance { commands: recorded, waits: Vec::new() };
    }
    if let Some(handing_over) = switchover::handing_over(view, memory, failover) {
        return handing_over;
    }
    if let Some(fetching) = fetch::go_on(view, memory, failover) {
        return fetching;
    }
    let waits = |waits| Advance { commands: Vec::new(), waits };
    let (winner, loss) = match chosen(view, failover) {
        Err(why) => return waits(why),
        Ok(Chosen { winner, lossy: None, .. }) => (winner, None),
        Ok(Chosen { winner, lossy: Some(unsatisfied), .. }) => {
            if let Some(wait) = lease_running(view, failover, &unsatisfied) {
                return Advance::wait(wait);
            }
            match loss_allowed(view, failover, &unsatisfied, &winner) {
                Ok(loss) => (winner, Some(loss)),
                Err(why) => return waits(why),
            }
        }
    };
    if let Some(wait) = grace(view, memory, failover, &winner) {
        return Advance::wait(wait);
    }
    if let Some(fetching) = fetch::begin(view, failover, &winner).filter(|_| loss.is_none()) {
        return fetching;
    }
    let standbys = candidate::first_standbys(view, failover, &winner);
    let k = acks_for(view, failover, &winner, &standbys);
    Advance::command(Command::Elect { epoch: view.record.epoch, instance: winner, k, standbys, loss })
}

/// Whom the seals of a failover choose.
pub(super) struct Chosen<'a> {
    pub(super) winner: InstanceName,
    /// Why not each of the others.
    pub(super) refusals: Vec<Refusal>,
    /// Nothing acknowledged is lost by it where this is absent; else the rules that the seals do not satisfy, if there are any.
    pub(super) lossy: Option<Vec<&'a CommitRule>>,
}

/// Chooses upon the seals as they are; `Err`: what has to come first. Whether a loss is allowed is asked after it.
pub(super) fn chosen<'a>(view: &View<'a>, failover: &Failover) -> Result<Chosen<'a>, Vec<Wait>> {
    let rules = &view.record.rules;
    let unsatisfied: Vec<&CommitRule> =
        rules.iter().filter(|rule| !quorum::satisfied(rule, &failover.seals)).collect();
    let missing: Vec<Wait> =
        unsatisfied.iter().filter(|r| r.k > 0).filter_map(|r| seals_missing(r, &failover.seals)).collect();
    if failover.loss_accepted.is_none() && !missing.is_empty() {
        return Err(missing);
    }
    if unsatisfied.is_empty() {
        match candidate::choose(view, failover, false) {
            Choice { winner: Some(winner), refusals } => return Ok(Chosen { winner, refusals, lossy: None }),
            // What is sealed satisfies the rules and is out of reach by now: an operator may go on without it.
            Choice { winner: None, refusals } if failover.loss_accepted.is_none() => {
                return Err(vec![Wait::NoCandidate { refusals }]);
            }
            Choice { winner: None, .. } => {}
        }
    }
    let Choice { winner, refusals } = candidate::choose(view, failover, true);
    match winner {
        Some(winner) => Ok(Chosen { winner, refusals, lossy: Some(unsatisfied) }),
        None => Err(vec![Wait::NoCandidate { refusals }]),
    }
}

/// Seals that were reported and are not yet in the record.
fn seals(view: &View<'_>, failover: &Failover) -> Vec<Command> {
    let record = view.record;
    let news = |name: &InstanceName| {
        let report = view.fresh(name)?;
        let member = view.member(name)?;
        let seal = report.proofs.sealed.filter(|seal| seal.epoch == record.epoch)?;
        let counts = member.copy == Copy::Whole && member.incarnation == report.incarnation;
        let new = failover.is_news(name, seal);
        // One that the record would reject must not hold up the election for ever.
        let counts = counts && quorum::counted(record, name, seal).is_ok() && report.doubt.is_none();
        (counts && new).then(|| Command::RecordSeal {
            instance: name.clone(),
            incarnation: report.incarnation,
            seal,
        })
    };
    record.instances.keys().filter_map(news).collect()
}

/// Where commits were asynchronous, the old lease has surely to run out first (PROTOCOL.md step 4), unless an operator
/// asserts that its holder is stopped.
fn lease_running(view: &View<'_>, failover: &Failover, unsatisfied: &[&CommitRule]) -> Option<Wait> {
    let asserted =
        |holder: &InstanceName| failover.loss_accepted.as_ref().is_some_and(|f| f.contains(holder));
    let asynchronous = unsatisfied.iter().any(|rule| rule.k == 0);
    let holder = failover.from.clone().filter(|holder| asynchronous && !asserted(holder))?;
    let left = view.last_grant.plus(view.policy.surely_over_after()).since(view.now);
    (!left.is_zero()).then_some(Wait::LeaseRunning { holder, left })
}

/// Electing without satisfying every rule: only by an operator's override, or, for asynchronous commits, within
/// `max_data_loss`.
pub(super) fn loss_allowed(
    view: &View<'_>,
    failover: &Failover,
    unsatisfied: &[&CommitRule],
    winner: &InstanceName,
) -> Result<String, Vec<Wait>> {
    if let Some(fenced) = &failover.loss_accepted {
        return Ok(override_in_words(failover, unsatisfied, fenced, winner));
    }
    let Some(holder) = failover.from.clone() else { return Err(Vec::new()) };
    match gap(view, failover, &holder, winner) {
        Some(gap) if view.record.spec.max_data_loss > 0 && gap <= view.record.spec.max_data_loss => {
            Ok(format!(
                "asynchronous commits of {holder} may be lost: {winner} is {gap} bytes behind the last position that it told"
            ))
        }
        _ => Err(vec![Wait::LossUnbounded { holder }]),
    }
}

/// How many bytes the winner's seal is behind the last position that the holder told; `None`: that cannot be told.
pub(super) fn gap(
    view: &View<'_>,
    failover: &Failover,
    holder: &InstanceName,
    winner: &InstanceName,
) -> Option<u64> {
    let (last, held) = (view.last_position(holder)?, failover.seals.get(winner)?.position);
    (last.timeline == held.timeline).then(|| last.lsn.bytes_since(held.lsn))
}

/// What an operator's override goes without: rules, members that are not sealed, and seals above the winner's.
fn override_in_words(
    failover: &Failover,
    unsatisfied: &[&CommitRule],
    fenced: &BTreeSet<InstanceName>,
    winner: &InstanceName,
) -> String {
    let rules: BTreeSet<String> = unsatisfied.iter().map(ToString::to_string).collect();
    let members = unsatisfied.iter().flat_map(|rule| rule.standbys.iter().chain([&rule.primary]));
    let loose = members.filter(|name| !failover.seals.contains_key(*name) && !fenced.contains(*name));
    let loose: BTreeSet<String> = loose.map(ToString::to_string).collect();
    let held = failover.seals.get(winner).map(|seal| seal.position);
    let above = failover.seals.iter().filter(|(_, seal)| Some(seal.position) > held);
    let above: BTreeSet<String> = above.map(|(name, _)| name.to_string()).collect();
    let mut text = "elected by an operator's override".to_owned();
    for (what, names) in [("without satisfying", rules), ("not sealed", loose), ("sealed above it", above)] {
        if !names.is_empty() {
            text.push_str(&format!("; {what}: {}", names.into_iter().collect::<Vec<_>>().join(", ")));
        }
    }
    text
}

/// A short wait for reachable instances that are not sealed yet: so that the winner has company, that a running standby
/// is taken rather than the stopped primary, which would have to recover first, and that whoever is planned to win can.
fn grace(view: &View<'_>, memory: &Memory, failover: &Failover, winner: &InstanceName) -> Option<Wait> {
    let unsealed = |name: &InstanceName| !failover.seals.contains_key(name);
    let standby = view
        .whole_and_fresh()
        .filter(|name| failover.from.as_ref() != Some(*name) && unsealed(name))
        .any(|name| matches!(view.server(name), Some(Server::Standby(_) | Server::Starting { .. })));
    // The old primary, to be restarted, or the target of a switchover.
    let planned = match (&failover.hand_over, &failover.wanted) {
        (Some(hand_over), _) => Some(&hand_over.to),
        (None, wanted) => wanted.as_ref().filter(|wanted| failover.from.as_ref() == Some(*wanted)),
    };
    let planned = planned.is_some_and(|name| unsealed(name) && view.fresh(name).is_some());
    let stopped_winner = failover.seals.get(winner).is_some_and(|seal| seal.stopped);
    let patience = match () {
        // Going back to the old primary takes longer than this as a rule.
        () if planned && failover.hand_over.is_some() => view.policy.hand_over_patience,
        () if planned || (standby && stopped_winner) => view.policy.standby_grace,
        () if standby => view.policy.seal_grace,
        () => return None,
    };
    let left = patience.saturating_sub(memory.in_phase_for(view.now));
    (!left.is_zero()).then_some(Wait::StandbyGrace { left })
}

/// How many must acknowledge in the new epoch. With nobody left who could, a cluster that rather goes on than waits
/// may begin alone (clauses 15, 16): its older rules are all satisfied by now. A winner that was stopped itself comes
/// out of an outage of everything: the others are given their time to come back too.
fn acks_for(
    view: &View<'_>,
    failover: &Failover,
    winner: &InstanceName,
    standbys: &BTreeSet<InstanceName>,
) -> u32 {
    let spec = &view.record.spec;
    let stopped = failover.seals.get(winner).is_some_and(|seal| seal.stopped);
    // The old primary, silent for as long as it takes to be failed over, is not expected back in a moment.
    let gone = |name: &InstanceName| {
        failover.from.as_ref() == Some(name) && view.silence(name) >= view.policy.suspect_after
    };
    let reachable = view.whole_and_fresh().filter(|name| *name != winner && !gone(name)).count();
    let able = u32::try_from(standbys.len().max(reachable)).unwrap_or(u32::MAX);
    if able == 0 && (stopped || !spec.may_be_asynchronous()) {
        return spec.acks;
    }
    spec.acks.min(able).max(spec.min_acks)
}

/// Somebody is elected: confirm the promotion, then open.
pub fn promote(view: &View<'_>, reign: &Reign) -> Advance {
    let epoch = view.record.epoch;
    let proofs = view.fresh(&reign.instance).map(|report| &report.proofs);
    if reign.fork.is_none() {
        let promoted = proofs.and_then(|proofs| {
            let promotion = proofs.promoted.filter(|promotion| promotion.epoch == epoch)?;
            Some((promotion, proofs.promoted_line.clone()?, proofs.noted.clone()))
        });
        return match promoted {
            Some((promotion, line, notes)) => Advance::command(Command::ConfirmPrimary {
                instance: reign.instance.clone(),
                promotion,
                line,
                notes,
            }),
            None => Advance::wait(Wait::Promotion { instance: reign.instance.clone() }),
        };
    }
    match proofs.and_then(|proofs| proofs.opened) {
        _ if reign.open => Advance::nothing(),
        Some(opened) if opened == epoch => Advance::command(Command::OpenPrimary { epoch }),
        _ => Advance::wait(Wait::FirstCommit { instance: reign.instance.clone() }),
    }
}
