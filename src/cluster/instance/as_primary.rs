//! On the way to being primary, and being it. The order is the safety argument: the rule is in force and clients are
//! out *before* `pg_promote`; the fork is in the record and a synchronous commit came back *before* clients get in.

use super::next_step::Step;
use super::observed::{Observed, Primary, Server, Standby, SyncShown, Upstream};
use crate::goal::PrimaryGoal;
use crate::mutants::{self, Mutant};
use crate::time::Instant;
use crate::wal::TimelineId;
use std::collections::BTreeMap;
use std::time::Duration;

/// A primary whose lease is about to end is stopped so much earlier, in good order; past the end the guard kills it.
/// Well below a lease, or a late renewal would stop a healthy primary.
const STOP_BEFORE: Duration = Duration::from_millis(400);
/// An elected server that does not answer is started anew after so long. Somebody else would have been elected by then, if there
/// were anybody.
const STARTED_ANEW_AFTER: Duration = Duration::from_secs(15);

pub(super) fn next(goal: &PrimaryGoal, seen: &Observed, now: Instant) -> Step {
    match &seen.server {
        Server::Gone => gone(goal, seen),
        Server::Starting => match seen.memory.promoted {
            // A postmaster that was told to promote and lets nobody in any more has restarted by itself.
            Some(_) => Step::fence("it restarts after it was told to promote"),
            None => Step::wait("PostgreSQL is starting"),
        },
        Server::Silent { since } => silent(goal, seen, *since),
        Server::Standby(standby) => promote(goal, standby, seen, now),
        Server::Primary(primary) => reign(goal, primary, seen, now),
    }
}

/// No answer. One that was started to be promoted at once gives none before it is: it is asked again, whatever became of
/// whoever asked it first (F23: asked twice is asked once). One that was not told to promote yet is no loss.
fn silent(goal: &PrimaryGoal, seen: &Observed, since: Duration) -> Step {
    let promoted = seen.proofs.promoted.is_some_and(|promotion| promotion.epoch == goal.epoch);
    match seen.memory.promoted {
        Some(epoch) if epoch == goal.epoch && !promoted => Step::Promote,
        None if since >= STARTED_ANEW_AFTER => {
            Step::stop("it was elected, has not been promoted, and does not answer")
        }
        _ => Step::wait(format!("PostgreSQL has not answered for {} ms", since.as_millis())),
    }
}

/// A server becomes primary by promotion only, and once in an epoch: a timeline number is never used twice.
fn gone(goal: &PrimaryGoal, seen: &Observed) -> Step {
    match &seen.end {
        // Read already, and it told nothing: reading it again tells no more. A new epoch elects another.
        None if let Some(why) = &seen.wal_gone => {
            Step::refuse(format!("elected, and its WAL does not tell where it ends: {why}"))
        }
        None => Step::ScanEnd { epoch: None, stopped: true },
        Some(end) if end.position.timeline.0 >= goal.epoch.0 => Step::wait(format!(
            "a new epoch: the server ended in epoch {} and is not promoted twice in one",
            goal.epoch
        )),
        Some(_) if seen.memory.promoted == Some(goal.epoch) => Step::wait(format!(
            "a new epoch: the server ended while it was being promoted in epoch {}",
            goal.epoch
        )),
        Some(_) => Step::StartAsStandby { follow: false },
    }
}

fn promote(goal: &PrimaryGoal, standby: &Standby, seen: &Observed, now: Instant) -> Step {
    match seen.memory.promoted {
        // Granted and asked for: what is left is to see it happen.
        Some(epoch) if epoch == goal.epoch => return Step::Promote,
        Some(epoch) => {
            return Step::stop(format!("it was told to promote in epoch {epoch} and may still do so"));
        }
        None => {}
    }
    let reached = standby.history.as_ref().map_or(standby.replayed.timeline, |history| history.timeline);
    if reached.0 >= goal.epoch.0 {
        return Step::refuse(format!("its timeline {reached} is not below epoch {}", goal.epoch));
    }
    match (&standby.upstream, standby.receiver) {
        (Upstream::Nobody, None) => {}
        (Upstream::Nobody | Upstream::Of(_) | Upstream::Other, _) => return Step::Seal { epoch: None },
    }
    // Commits that wait for nobody are configured only under a grant asked for after they were decided (clause 4).
    if let Some(wait) = may_be_async(goal, seen, now) {
        return wait;
    }
    // Standbys are pointed at it while it is still in recovery: their slots have to be there, too.
    let slots = goal.slots.iter().all(|slot| standby.slots.contains(slot));
    let ready = slots && standby.histories_complete && !standby.clients_in && shows(&standby.sync, goal);
    if !ready {
        return Step::Prepare;
    }
    // Without leave to serve it would have to be stopped again at once.
    if !seen.lease.covers(goal.epoch, goal.sync.k, now) {
        return Step::wait(format!("a lease for epoch {}", goal.epoch));
    }
    Step::Promote
}

fn may_be_async(goal: &PrimaryGoal, seen: &Observed, now: Instant) -> Option<Step> {
    let since = seen.async_since.unwrap_or(now);
    let permitted = goal.sync.k > 0 || seen.lease.permits_async(since, now);
    (!permitted).then(|| Step::wait("a lease granted after commits were allowed not to wait for standbys"))
}

fn reign(goal: &PrimaryGoal, primary: &Primary, seen: &Observed, now: Instant) -> Step {
    if primary.timeline != TimelineId(goal.epoch.0) {
        return Step::stop(format!(
            "it runs as primary on timeline {}, the primary of epoch {} writes timeline {}",
            primary.timeline, goal.epoch, goal.epoch
        ));
    }
    match seen.deadline {
        None => return Step::fence("it runs as primary without a lease"),
        Some(deadline) if now >= deadline => return Step::fence("its lease is over"),
        Some(deadline) if now.plus(STOP_BEFORE) >= deadline => return Step::stop("its lease ends"),
        Some(_) => {}
    }
    if !primary.signal_back || seen.proofs.promoted.is_none_or(|promotion| promotion.epoch != goal.epoch) {
        return Step::FinishPromotion;
    }
    // A slot too many would hold WAL for somebody who has left.
    if goal.slots.len() != primary.slots.len() || goal.slots.iter().any(|slot| !primary.slots.contains(slot))
    {
        return Step::ServeStandbys;
    }
    if !shows(&primary.sync, goal) {
        return may_be_async(goal, seen, now).unwrap_or(Step::ConfigureSync);
    }
    match (goal.confirmed, primary.clients_in, primary.beaten || mutants::on(Mutant::BeatFirst)) {
        (false, true, _) => Step::ShutClients,
        (true, false, true) => Step::OpenClients,
        (false, false, _) => Step::wait("the record to take in the promotion"),
        // What is waited for may be a clone, which takes the roles to log in.
        (true, false, false) if !primary.roles_ready && goal.sync.names.is_empty() => Step::ServeStandbys,
        // Nothing is proved before: a proof may take seconds, and would keep clients waiting for nothing.
        // A parameter that was taken back may be why no standby streams.
        (true, false, false) => parameters(&goal.parameters, seen)
            .unwrap_or_else(|| Step::wait("the first synchronous commit of this epoch to come back")),
        // Every copy of a cluster that was ever open has them: clients need not wait for another look.
        (true, true, true | false) if !primary.roles_ready => Step::ServeStandbys,
        (true, true, true | false) => {
            // A proof may never come, and nothing that is short waits for it. A question: a standby that does not start
            // because of a parameter may be why nothing can be proved, and taking that parameter back is what is to be
            // judged. And the parameters, which hold nothing of the commit rule: whatever keeps them from being written
            // and reloaded would keep the rule from it, too. A proof that comes after them is one of the server as it is
            // now; until it comes, the older rules stay listed.
            let first = mutants::on(Mutant::JudgeFirst) && unproved(goal, seen);
            first
                .then_some(Step::ProveRule)
                .or_else(|| judge(goal, seen))
                .or_else(|| parameters(&goal.parameters, seen))
                .or_else(|| prove(goal, seen))
                .or_else(|| checkpoint(goal, seen))
                .unwrap_or(Step::Nothing)
        }
    }
}

fn judge(goal: &PrimaryGoal, seen: &Observed) -> Option<Step> {
    let (number, _) = goal.judge.as_ref()?;
    let judged = seen.proofs.judged.as_ref().is_some_and(|(judged, _)| judged == number);
    (!judged).then_some(Step::Judge { number: *number })
}

/// Also a standby's. What stands in the file may have come from another copy.
pub(super) fn parameters(wanted: &BTreeMap<String, String>, seen: &Observed) -> Option<Step> {
    (seen.parameters.as_ref() != Some(wanted)).then_some(Step::SetParameters)
}

fn checkpoint(goal: &PrimaryGoal, seen: &Observed) -> Option<Step> {
    let number = goal.checkpoint.filter(|_| seen.proofs.checkpoint != goal.checkpoint)?;
    Some(Step::Checkpoint { number })
}

/// Where fewer are named than have to acknowledge there is nothing to prove before somebody joins, which is another goal:
/// trying it again and again would keep a switchover waiting for its checkpoint.
fn prove(goal: &PrimaryGoal, seen: &Observed) -> Option<Step> {
    let enough = usize::try_from(goal.sync.k).is_ok_and(|k| goal.sync.names.len() >= k);
    (enough && unproved(goal, seen)).then_some(Step::ProveRule)
}

fn unproved(goal: &PrimaryGoal, seen: &Observed) -> bool {
    seen.proofs.rule != Some((goal.epoch, goal.sync.rule))
}

/// Whether the setting shown is exactly the goal's. `k` of nobody is shown with names that no standby bears.
fn shows(shown: &SyncShown, goal: &PrimaryGoal) -> bool {
    match shown {
        SyncShown::Async => goal.sync.k == 0,
        SyncShown::Any { k, names } => {
            let mut wanted = goal.sync.names.clone();
            wanted.sort();
            let same = *names == wanted;
            let nobody = wanted.is_empty() && names.iter().all(|name| is_nobody(name));
            goal.sync.k == *k && *k > 0 && (same || nobody)
        }
        SyncShown::Other => false,
    }
}

/// Whether a name in `synchronous_standby_names` is one that no instance ever bears.
fn is_nobody(name: &str) -> bool {
    name.starts_with("nobody")
}
