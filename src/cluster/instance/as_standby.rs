//! Following. Nobody is pointed at an upstream before its contents were found to be on the upstream's line: a
//! diverged standby reports its *replay* LSN as flushed, and a bare number then acknowledges what it does not hold.

use super::as_primary::parameters;
use super::next_step::Step;
use super::observed::{Data, EarlyEnds, Observed, Sentinel, Server, Standby, Upstream, UpstreamSetting};
use super::rejoin::{Local, Plan, plan};
use crate::goal::StandbyGoal;
use crate::ids::Incarnation;
use crate::mutants::{self, Mutant};
use crate::report::Rebuild;
use crate::time::Instant;
use std::time::Duration;

/// A copy that ended so often in a row before it answered anything is not going to start. More would only keep it
/// from being rebuilt; fewer might take a machine out of memory for a damaged copy.
const HOPELESS: u32 = 3;
/// One that answers nobody for so long cannot be pointed at another upstream but by starting it anew. Leans towards
/// waiting: it may only be busy.
const CANNOT_FOLLOW: Duration = Duration::from_secs(10);
/// The same where an earlier agent started it: it may well follow the right one, and only be busy.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Words of a server whose next copy would end the same way: what is wrong is the machine or the configuration.
const NOT_THE_COPY: [&str; 13] = [
    "must be less than",
    "could not access",
    "could not load",
    "certificate",
    "could not bind",
    "could not create",
    "could not map",
    "configuration file",
    "lock file",
    "permission",
    "No space left",
    "out of memory",
    "Cannot allocate",
];

/// A rebuild that was granted: the step that makes it, or none when it is finished.
pub(super) fn rebuild(how: Rebuild, incarnation: Incarnation, seen: &Observed) -> Option<Step> {
    let finished = seen.memory.incarnation == incarnation && seen.memory.sentinel.is_none();
    match (&seen.data, &seen.server) {
        (Data::Strange { why }, _) => Some(Step::refuse(why.clone())),
        (Data::Ours(_), _) if finished => None,
        (
            Data::Missing | Data::Unfinished(_) | Data::Ours(_) | Data::Offered(_) | Data::Doubtful { .. },
            Server::Starting | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_),
        ) => Some(Step::stop("its copy is given up")),
        (data, Server::Gone) => Some(match (how, data) {
            (Rebuild::Clone, _) => Step::Clone { incarnation },
            (Rebuild::Rewind, Data::Ours(_)) => Step::Rewind { incarnation },
            // pg_rewind that died midway leaves nothing to go on from (F36).
            (Rebuild::Rewind, Data::Unfinished(Sentinel::Create | Sentinel::Rebuild(_))) => {
                Step::ask(Rebuild::Clone, incarnation, "the rewind was interrupted")
            }
            (
                Rebuild::Rewind,
                Data::Missing | Data::Offered(_) | Data::Doubtful { .. } | Data::Strange { .. },
            ) => Step::ask(Rebuild::Clone, incarnation, "there is no copy to rewind"),
        }),
    }
}

/// With a copy of the record's incarnation, whole.
pub(super) fn next(goal: &StandbyGoal, seen: &Observed, now: Instant) -> Step {
    match &seen.server {
        Server::Gone => start(goal, seen, now),
        Server::Starting | Server::Silent { .. } | Server::Standby(_) if seen.promotion_marked() => {
            Step::stop("it was told to promote in an older epoch and may still do so")
        }
        // Also of one that answers nobody, which is what restarts are asked for.
        Server::Standby(_) | Server::Silent { .. }
            if goal.restart.is_some() && seen.proofs.restarted != goal.restart =>
        {
            Step::stop("a restart was asked for")
        }
        Server::Starting if stranded(goal, seen) => Step::stop(format!(
            "the copy is new, and was started before {} was the primary to receive the rest of it from",
            goal.upstream
        )),
        // It answers nobody before it has received that.
        Server::Starting if let Some(why) = seen.wal_gone.as_ref().filter(|_| !is_patient(seen, now)) => {
            Step::ask(Rebuild::Clone, goal.incarnation, why.clone())
        }
        Server::Starting => Step::wait("PostgreSQL is starting"),
        Server::Silent { since } if *since >= CANNOT_FOLLOW && astray(goal, seen) => Step::stop(format!(
            "it has not answered for {} ms, and was started before {} was the primary to follow",
            since.as_millis(),
            goal.upstream
        )),
        // Only of one that never answered, which may wait for the roles: sealed meanwhile, it has told a position all the
        // same. Any other has had them: it is busy, or its disk stalls, and may hold up commits if it is stopped, together
        // with all that stall likewise.
        Server::Silent { since }
            if *since >= UNKNOWN_FOR
                && seen.told_upstream == Upstream::Other
                && (seen.memory.told.is_none() || seen.memory.in_vain > 0) =>
        {
            Step::stop(format!(
                "it has not answered for {} ms, and whom it follows is not known since its agent was restarted",
                since.as_millis()
            ))
        }
        // It lets nobody in before it has received the roles of Interrex, and what it would receive is gone.
        Server::Silent { since }
            if *since >= CANNOT_FOLLOW
                && let Some(why) = seen.wal_gone.as_ref().filter(|_| !is_patient(seen, now)) =>
        {
            Step::ask(Rebuild::Clone, goal.incarnation, why.clone())
        }
        Server::Silent { since } => {
            Step::wait(format!("PostgreSQL has not answered for {} ms", since.as_millis()))
        }
        Server::Standby(standby) => follow(goal, standby, seen),
        Server::Primary(_) => Step::stop(format!("{} is the primary of epoch {}", goal.upstream, goal.epoch)),
    }
}

/// No other copy is asked for at the moment.
fn is_patient(seen: &Observed, now: Instant) -> bool {
    seen.patience.is_some_and(|patience| now < patience)
}

/// A copy that was just made may lack WAL that its data need, and lets nobody in before it has received that. One that
/// was started to receive it from elsewhere never may: it is stopped, judged against the present line, and started anew.
fn stranded(goal: &StandbyGoal, seen: &Observed) -> bool {
    let new = seen.memory.rebuilt == Some(goal.incarnation) && seen.memory.told.is_none();
    new && goal.line.is_some() && seen.told_upstream != Upstream::Of(wanted(goal))
}

/// A copy that was adopted lets its agent in once it has replayed the roles of Interrex, which it has to receive first.
fn astray(goal: &StandbyGoal, seen: &Observed) -> bool {
    let elsewhere = match &seen.told_upstream {
        Upstream::Nobody => true,
        Upstream::Of(told) => *told != wanted(goal),
        Upstream::Other => false,
    };
    goal.line.is_some() && elsewhere
}

/// A stopped server would replay everything that it holds: its durable end decides.
fn start(goal: &StandbyGoal, seen: &Observed, now: Instant) -> Step {
    // A copy that is new already, and no good: the next one will hardly be better. What ails it is shown meanwhile.
    let patient = is_patient(seen, now);
    let hopeless = seen.early_ends.as_ref().and_then(|ends| hopeless(ends, goal.incarnation));
    if let Some(why) = hopeless.filter(|_| !patient) {
        return Step::ask(Rebuild::Clone, goal.incarnation, why);
    }
    let Some(line) = &goal.line else {
        // Sealed in this epoch at or below the winner, by the record: on the line by construction.
        return Step::StartAsStandby { follow: true };
    };
    let end = match (&seen.end, &seen.wal_gone) {
        (Some(end), _) => end,
        (None, Some(why)) if patient => {
            return Step::wait(format!(
                "{why}; this copy is new, and another one is asked for after a pause"
            ));
        }
        (None, Some(why)) => return Step::ask(Rebuild::Clone, goal.incarnation, why.clone()),
        (None, None) => return Step::ScanEnd { epoch: None, stopped: true },
    };
    let Data::Ours(system) = seen.data else { return Step::wait("a data directory") };
    let local = Local { system, position: end.position, history: end.history.clone() };
    off_the_line(goal, &plan(&local, line, goal.system)).unwrap_or(Step::StartAsStandby { follow: true })
}

/// Why this copy is not going to start, if another one would. Without a word of its own it is only tried again.
fn hopeless(ends: &EarlyEnds, incarnation: Incarnation) -> Option<String> {
    let words = ends.words.as_ref().filter(|_| ends.times >= HOPELESS && ends.incarnation == incarnation)?;
    let curable = !NOT_THE_COPY.iter().any(|not| words.contains(not));
    curable.then(|| format!("it ended {} times in a row while it was starting: {words}", ends.times))
}

/// A running standby: what it replayed decides; what it only received past a fork does no harm (F22).
fn follow(goal: &StandbyGoal, standby: &Standby, seen: &Observed) -> Step {
    let set = match &standby.upstream {
        Upstream::Of(setting) => *setting == wanted(goal),
        Upstream::Nobody | Upstream::Other => false,
    };
    let streams = standby.receiver.is_some_and(|receiver| receiver.streaming);
    if set && streams {
        return parameters(&goal.parameters, seen).unwrap_or(Step::Nothing);
    }
    // Of a server that receives from another upstream, or did a moment ago, the end is known only once that is over.
    let receives = !matches!((&standby.upstream, standby.receiver), (Upstream::Nobody, None));
    let unknown = goal.line.is_none() || standby.history.is_none();
    if !set && receives && unknown {
        return Step::Seal { epoch: None };
    }
    if let (Some(line), Some(history), Data::Ours(system)) = (&goal.line, &standby.history, &seen.data) {
        let local = Local { system: *system, position: standby.replayed, history: history.clone() };
        if let Some(step) = off_the_line(goal, &plan(&local, line, goal.system)) {
            return if receives { Step::Seal { epoch: None } } else { step };
        }
    }
    match (&seen.wal_gone, set) {
        (Some(why), true) => Step::ask(Rebuild::Clone, goal.incarnation, why.clone()),
        // One of them may be why it cannot stream, and whoever reads from it has them too.
        (None, true) => parameters(&goal.parameters, seen)
            .unwrap_or_else(|| Step::wait(format!("{} to stream from {}", goal.name, goal.upstream))),
        (Some(_) | None, false) => Step::Follow,
    }
}

fn off_the_line(goal: &StandbyGoal, plan: &Plan) -> Option<Step> {
    match plan {
        _ if mutants::on(Mutant::LineFirst) => None,
        Plan::Follow => None,
        Plan::Rewind { .. } | Plan::Clone { .. } => {
            plan.need().map(|(rebuild, why)| Step::ask(rebuild, goal.incarnation, why))
        }
        Plan::Refuse { .. } => Some(Step::refuse(format!("{plan}; move it away to let this instance clone"))),
    }
}

/// What the configuration has to say of the upstream.
pub(super) fn wanted(goal: &StandbyGoal) -> UpstreamSetting {
    UpstreamSetting { address: goal.address.clone(), name: goal.name.clone(), slot: goal.slot.clone() }
}
