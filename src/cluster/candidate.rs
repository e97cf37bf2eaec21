//! Who may be promoted, who is preferred, and a [`Refusal`] for everyone else.
//!
//! Safety comes first and by itself: only an instance that [`quorum::may_win`] is looked at further. Fitness comes
//! second (reachable, whole, not excluded, nothing that its agent objects to). Preferences only break ties between
//! equal positions: the operator's wish, priority, another failure domain than the old primary's, the name.

use crate::ids::InstanceName;
use crate::problem::Refusal;
use crate::quorum::{self, Seals};
use crate::record::{Copy, Failover, Instance};
use crate::report::{Report, Seal, Server, Unfit};
use crate::view::View;
use crate::wal::{Ancestor, History, Position};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The outcome of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Who is to be elected.
    pub winner: Option<InstanceName>,
    /// Why not each of the others.
    pub refusals: Vec<Refusal>,
}

/// Chooses among the sealed. `lossy`: asynchronous commits may go, within `max_data_loss`; or an operator
/// accepted loss, so that safety no longer restricts the choice at all, and the highest position is simply the best there
/// is.
pub fn choose(view: &View<'_>, failover: &Failover, lossy: bool) -> Choice {
    let synchronous = quorum::synchronous(&view.record.rules);
    let rules = if lossy { &synchronous } else { &view.record.rules };
    let overridden = lossy && failover.loss_accepted.is_some();
    let lawful = |name: &InstanceName| overridden || quorum::may_win(rules, &failover.seals, name);
    let best = failover.seals.values().map(|seal| seal.position).max();
    let mut refusals = Vec::new();
    let mut fit: Vec<(&InstanceName, &Instance, Seal)> = Vec::new();
    let astray = |name: &InstanceName| failover.astray.contains(name);
    for (name, member) in &view.record.instances {
        let instance = name.clone();
        let Some(seal) = failover.seals.get(name).copied() else {
            refusals.push(match view.fresh(name) {
                None => Refusal::Unreachable { instance },
                Some(_) if member.copy != Copy::Whole => Refusal::NotWhole { instance },
                Some(report) if report.doubt.is_some() => doubted(instance, report),
                Some(_) => Refusal::NotSealed { instance },
            });
            continue;
        };
        match objection(view, name, member) {
            Some(refusal) => refusals.push(refusal),
            None if astray(name) => {
                let why = "it stands on a timeline that nobody was elected to open".to_owned();
                refusals.push(Refusal::Unfit { instance, why });
            }
            None if !lawful(name) => {
                let best = best.unwrap_or(seal.position);
                refusals.push(Refusal::Behind { instance, best, own: seal.position });
            }
            None => fit.push((name, member, seal)),
        }
    }
    let old_zone = failover.from.as_ref().and_then(|from| view.member(from)).map(|from| from.zone.clone());
    let order = |(name, member, seal): &(&InstanceName, &Instance, Seal)| {
        let running = !matches!(view.server(name), Some(Server::Stopped { .. }));
        (
            // Where something will be lost, nothing weighs as much as how little.
            lossy.then_some(Reverse(seal.position)),
            as_planned(failover, name, seal),
            // A running standby takes over more quickly than a stopped server recovers, and may as lawfully.
            Reverse(running),
            Reverse(seal.position),
            view.fresh(name).is_some_and(|report| !report.unfit.is_empty()),
            failover.wanted.as_ref() != Some(*name),
            member.priority,
            !member.zone.is_empty() && old_zone.as_ref() == Some(&member.zone),
            (*name).clone(),
        )
    };
    fit.sort_by_key(order);
    let winner = fit.first().map(|(name, ..)| (*name).clone());
    for (name, _, seal) in fit.iter().skip(1) {
        let instance = (*name).clone();
        let Some(winner) = &winner else { continue };
        let top = failover.seals.get(winner).map_or(seal.position, |seal| seal.position);
        refusals.push(if seal.position < top {
            Refusal::Behind { instance, best: top, own: seal.position }
        } else {
            Refusal::Preferred { instance, winner: winner.clone() }
        });
    }
    Choice { winner, refusals }
}

/// The instance that is preferred to the winner, and behind it only by what it can receive in a moment: the operator's
/// wish, or a better priority. Both run as standbys on one timeline, and nothing speaks against it but what it lacks.
pub(crate) fn worth_fetching_for(
    view: &View<'_>,
    failover: &Failover,
    winner: &InstanceName,
) -> Option<InstanceName> {
    if failover.fetch.is_some() || failover.hand_over.is_some() || failover.wanted.as_ref() == Some(winner) {
        return None;
    }
    let runs = |name: &InstanceName| matches!(view.server(name), Some(Server::Standby(_)));
    let sealed = |name: &InstanceName| failover.seals.get(name).filter(|seal| !seal.stopped && runs(name));
    let most = sealed(winner)?.position;
    let priority = view.member(winner)?.priority;
    let lacks_little = |name: &InstanceName| {
        let own = sealed(name).filter(|_| !failover.astray.contains(name)).map(|seal| seal.position);
        own.is_some_and(|own| {
            own.timeline == most.timeline
                && own < most
                && most.lsn.bytes_since(own.lsn) <= view.policy.fetch_within_bytes
        })
    };
    let able = view.record.instances.iter().filter(|(name, member)| {
        let content = view.fresh(name).is_some_and(|report| report.unfit.is_empty());
        content && lacks_little(name) && objection(view, name, member).is_none()
    });
    let wanted = |name: &InstanceName| failover.wanted.as_ref() == Some(name);
    let preferred = able.filter(|(name, member)| wanted(name) || member.priority < priority);
    preferred
        .min_by_key(|(name, member)| (!wanted(name), member.priority, (*name).clone()))
        .map(|(name, _)| name.clone())
}

/// How well an instance fits the plan: a switchover's target, if it holds all that the old primary had; then the old
/// primary itself, which costs nobody a rewind. Without a plan only the operator's wish to restart it counts.
fn as_planned(failover: &Failover, name: &InstanceName, seal: &Seal) -> u8 {
    let from = failover.from.as_ref();
    let Some(hand_over) = &failover.hand_over else {
        let restart = from.is_some() && failover.wanted.as_ref() == from;
        return u8::from(restart && from != Some(name));
    };
    let end = from.and_then(|from| failover.seals.get(from)).map(|seal| seal.position);
    match () {
        () if *name == hand_over.to && end.is_some_and(|end| seal.position >= end) => 0,
        () if from == Some(name) => 1,
        () => 2,
    }
}

/// What speaks against an instance apart from what it holds.
pub(crate) fn objection(view: &View<'_>, name: &InstanceName, member: &Instance) -> Option<Refusal> {
    let instance = name.clone();
    let Some(report) = view.fresh(name) else { return Some(Refusal::Unreachable { instance }) };
    if member.copy != Copy::Whole || report.incarnation != member.incarnation {
        return Some(Refusal::NotWhole { instance });
    }
    if report.doubt.is_some() {
        return Some(doubted(instance, report));
    }
    if member.priority.is_none() {
        return Some(Refusal::Excluded { instance });
    }
    if matches!(report.server, Server::Silent { .. } | Server::NoData) {
        return Some(Refusal::Unfit { instance, why: "its server does not answer".to_owned() });
    }
    report
        .unfit
        .iter()
        .find(|unfit| forbids(unfit))
        .map(|unfit| Refusal::Unfit { instance, why: unfit.to_string() })
}

fn doubted(instance: InstanceName, report: &Report) -> Refusal {
    Refusal::RolledBack { instance, why: report.doubt.clone().unwrap_or_default() }
}

/// True where a promotion would fail or be worthless. Anything else only makes an instance the last choice: promotion
/// resumes a paused replay (F24), and a disk that is nearly full is better than no primary.
fn forbids(unfit: &Unfit) -> bool {
    match unfit {
        Unfit::ParameterTooLow { .. } | Unfit::NotDurable { .. } => true,
        Unfit::ReplayPaused | Unfit::DiskNearlyFull { .. } => false,
    }
}

/// Who may acknowledge from the first moment of the new epoch: whole, reachable, sealed in this epoch with a position
/// that is not above the winner's and lies on its line. Anybody else may be diverged, and a diverged standby reports
/// its *replay* LSN as flushed (F17).
pub fn first_standbys(view: &View<'_>, failover: &Failover, winner: &InstanceName) -> BTreeSet<InstanceName> {
    let seals: &Seals = &failover.seals;
    let Some(won) = seals.get(winner) else { return BTreeSet::new() };
    let line = line_of(view, won);
    let follows = |name: &InstanceName, at: Position| {
        name != winner
            && !failover.astray.contains(name)
            && !failover.may_exceed(name, won.position)
            && at <= won.position
            && line.as_ref().is_some_and(|line| line.contains(at))
            && view.member(name).is_some_and(|member| member.copy == Copy::Whole)
            && view.fresh(name).is_some_and(|report| {
                // A stopped server has to start and recover first; it joins once it streams. One that stopped in good
                // order, to hand over, is back in a moment, and may be the only one there is.
                let soon = failover.hand_over.is_some() && failover.from.as_ref() == Some(name);
                (soon || matches!(report.server, Server::Standby(_)))
                    && report.needs.is_none()
                    && report.doubt.is_none()
            })
    };
    seals.iter().filter(|(name, seal)| follows(name, seal.position)).map(|(name, _)| name.clone()).collect()
}

/// The line that the winner will branch off: the record's, extended by an unconfirmed timeline that it may stand on.
fn line_of(view: &View<'_>, won: &Seal) -> Option<History> {
    let timeline = won.position.timeline;
    if let Some(line) = view.record.line_to(timeline) {
        return Some(line);
    }
    let fork = won.fork.filter(|fork| fork.epoch.0 == timeline.0)?;
    let mut ancestors = view.record.line_to(fork.parent)?.ancestors;
    ancestors.push(Ancestor { timeline: fork.parent, end: fork.begin });
    Some(History { timeline, ancestors })
}

impl std::fmt::Display for crate::report::Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ParameterTooLow { name } => {
                write!(
                    f,
                    "{name} is lower than on the primary, promotion would stop the server; raise it and restart"
                )
            }
            Self::ReplayPaused => write!(f, "replay is paused; resume it with pg_wal_replay_resume()"),
            Self::DiskNearlyFull { free } => write!(f, "only {} MB are free on its data volume", free >> 20),
            Self::NotDurable { setting } => write!(f, "{setting} is off"),
        }
    }
}
