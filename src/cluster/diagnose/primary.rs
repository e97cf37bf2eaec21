//! Does the primary serve?
//!
//! Its own agent's word about a dead server is first-hand and enough. Silence is not death: it needs peers that lost
//! the primary too, and as long as one standby still receives progress it is not a failure of the primary at all,
//! only of its agent, whose lease runs (PROTOCOL.md 'Failover' 1, invariant 8). Only a *confirmed* silence counts, so
//! an empty room (a leader that hears nobody) concludes nothing.

use crate::diagnose::standby::{hung, in_short};
use crate::ids::InstanceName;
use crate::memory::Memory;
use crate::problem::{Problem, ProblemKind};
use crate::record::{Copy, Reign};
use crate::report::{Report, Server};
use crate::time::span;
use crate::view::View;
use std::time::Duration;

/// What is wrong with the primary, if something is.
pub fn ask(view: &View<'_>, memory: &Memory) -> Option<Problem> {
    let reign = view.record.primary.as_ref()?;
    match view.fresh(&reign.instance) {
        Some(report) => first_hand(view, memory, reign, report).or_else(|| silent(view, reign)),
        None => silent(view, reign),
    }
}

/// What its own agent says.
fn first_hand(view: &View<'_>, memory: &Memory, reign: &Reign, report: &Report) -> Option<Problem> {
    let instance = reign.instance.clone();
    let says = |what: String| vec![format!("{instance}'s agent: {what}")];
    match (&report.server, reign.fork.is_some()) {
        (Server::Stopped { exit, .. }, true) => {
            let how = exit.as_deref().map_or(String::new(), |exit| format!(" ({exit})"));
            let evidence = says(format!("PostgreSQL is not running{how}"));
            Some(Problem { kind: ProblemKind::PrimaryDown { instance }, evidence })
        }
        (Server::NoData, true) => {
            let evidence = says("the data directory is gone".to_owned());
            Some(Problem { kind: ProblemKind::PrimaryDown { instance }, evidence })
        }
        (Server::Standby(_) | Server::Starting { .. }, true) => {
            let evidence = says("PostgreSQL runs in recovery, not as this epoch's primary".to_owned());
            Some(Problem { kind: ProblemKind::PrimaryDown { instance }, evidence })
        }
        (server, true) if hung(view, server) => {
            let evidence = says(in_short(server));
            Some(Problem { kind: ProblemKind::PrimaryHung { instance }, evidence })
        }
        (Server::Primary(_), true) if let Some(deaf) = deaf_for(view, report) => {
            let evidence =
                says(format!("sessions go on, and no new connection has been answered for {}", span(deaf)));
            Some(Problem { kind: ProblemKind::PrimaryHung { instance }, evidence })
        }
        (_, true) => None,
        // Granted and not confirmed. Whatever its server does meanwhile, the promotion may still come about; it is
        // superseded, never called back, after its patience or when its server died.
        (server, false) => {
            let died = match server {
                Server::Stopped { exit: Some(exit), .. } => Some(format!("PostgreSQL ended: {exit}")),
                Server::NoData => Some("the data directory is gone".to_owned()),
                _ => None,
            };
            // Late is only who makes no progress, and only where somebody else could do better.
            let waited = memory.stuck_for(view.now);
            let another = view.whole_and_fresh().any(|other| *other != instance);
            let late = waited >= view.policy.promotion_patience && another;
            let what =
                died.or_else(|| late.then(|| format!("no progress toward promotion for {}", span(waited))))?;
            Some(Problem {
                kind: ProblemKind::PromotionStuck { instance: instance.clone() },
                evidence: says(what),
            })
        }
    }
}

/// For how long the server has let nobody new in, by its own agent's knocks, where that is too long.
fn deaf_for(view: &View<'_>, report: &Report) -> Option<Duration> {
    let knock = report.knock.filter(|knock| knock.epoch == view.record.epoch && !knock.answered)?;
    Some(Duration::from_millis(knock.for_ms)).filter(|deaf| *deaf >= view.policy.hung_after)
}

/// What silence means.
fn silent(view: &View<'_>, reign: &Reign) -> Option<Problem> {
    let instance = &reign.instance;
    let silence = view.silence(instance);
    if silence < view.policy.suspect_after {
        return None;
    }
    let mut evidence = vec![format!("{instance}'s agent has been silent for {}", span(silence))];
    let peers = peers(view, instance);
    let receiving: Vec<&InstanceName> =
        peers.iter().filter(|(_, testimony)| testimony.receives).map(|(name, _)| *name).collect();
    if !receiving.is_empty() {
        evidence.extend(receiving.iter().map(|name| format!("{name} still receives from {instance}")));
        return Some(Problem { kind: ProblemKind::AgentSilent { instance: instance.clone() }, evidence });
    }
    let lost: Vec<&(&InstanceName, Testimony)> = peers.iter().filter(|(_, t)| t.unreachable).collect();
    evidence.extend(
        lost.iter().map(|(name, _)| format!("{name} receives nothing and gets no answer on its port")),
    );
    let others_answered = peers.iter().any(|(_, testimony)| testimony.answered);
    if !lost.is_empty() && !others_answered {
        return Some(Problem {
            kind: ProblemKind::PrimaryUnreachable { instance: instance.clone() },
            evidence,
        });
    }
    // Past the lease nobody needs to corroborate: the primary's guard has ended it, or synchronous commits renew the
    // lease, and those a fresh standby would receive.
    if silence >= view.policy.surely_over_after() && !peers.is_empty() {
        evidence.push(format!("its lease of {} is over", span(view.policy.lease)));
        return Some(Problem { kind: ProblemKind::PrimarySilent { instance: instance.clone() }, evidence });
    }
    Some(Problem { kind: ProblemKind::AgentSilent { instance: instance.clone() }, evidence })
}

/// What one peer can say of the primary, first-hand.
struct Testimony {
    receives: bool,
    unreachable: bool,
    answered: bool,
}

/// The testimony of every whole instance that speaks freshly.
fn peers<'a>(view: &View<'a>, primary: &InstanceName) -> Vec<(&'a InstanceName, Testimony)> {
    let whole = view.record.instances.iter().filter(|(name, m)| *name != primary && m.copy == Copy::Whole);
    whole.filter_map(|(name, _)| Some((name, testimony(view, primary, view.fresh(name)?)))).collect()
}

fn testimony(view: &View<'_>, primary: &InstanceName, report: &Report) -> Testimony {
    let receives = match &report.server {
        Server::Standby(standby) => standby.receiver.as_ref().is_some_and(|receiver| {
            receiver.streaming
                && receiver.upstream.as_ref() == Some(primary)
                && Duration::from_millis(receiver.quiet_ms) < view.policy.progress_within
                && moved_since_silence(view, primary, &report.instance, receiver.quiet_ms)
        }),
        _ => false,
    };
    let knock = report.knock.filter(|knock| knock.epoch == view.record.epoch);
    Testimony {
        receives,
        unreachable: !receives && knock.is_some_and(|knock| !knock.answered),
        answered: knock.is_some_and(|knock| knock.answered),
    }
}

/// True when something came from the primary clearly after its agent was last heard. What came before, or was told
/// before, says nothing about a server that may have died together with its agent.
fn moved_since_silence(
    view: &View<'_>,
    primary: &InstanceName,
    witness: &InstanceName,
    quiet_ms: u64,
) -> bool {
    let quiet = view.silence(witness) + Duration::from_millis(quiet_ms);
    quiet + 2 * view.policy.heartbeat < view.silence(primary)
}
