//! The one step that comes next: a goal, what is seen, and the time in; a named step with its reason out.
//!
//! Exhaustive, without `_`: a new goal, or a new state of the server, does not compile until it is decided here what
//! the agent does about it. Every step is idempotent and may be interrupted anywhere: the next look starts afresh.

use super::observed::{Data, Observed, Sentinel, Server};
use super::{as_primary, as_sealed, as_standby};
use crate::goal::{Goal, PrimaryGoal, StandbyGoal};
use crate::ids::{Epoch, Incarnation, Revision};
use crate::report::{Found, Need, Rebuild};
use crate::time::Instant;
use std::fmt;

/// One deed. Its fields are all that it needs beyond the goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The goal is reached, as far as it is this agent's affair.
    Nothing,
    /// Somebody else has to move first.
    Wait {
        /// What for.
        why: String,
    },
    /// The goal cannot be reached from here, and nothing may be touched.
    Refuse {
        /// Why, and the way out.
        why: String,
    },
    /// initdb, identity, settings; the directory stays stopped.
    InitDb,
    /// Place settings (`standby.signal`, no upstream unless it says so, nobody acknowledges), then start.
    StartAsStandby {
        /// Whether it follows the goal's upstream from the start; else it receives from nobody.
        follow: bool,
    },
    /// End the server and everything below it.
    Stop {
        /// How.
        how: Stop,
        /// Why.
        why: String,
    },
    /// Take the upstream away and see the receiver gone.
    Seal {
        /// The epoch that began; none when it is only kept from streaming.
        epoch: Option<Epoch>,
    },
    /// Read the durable end of WAL; with an epoch it is proof of a seal.
    ScanEnd {
        /// The seal's epoch; none when the end is wanted for rejoining only.
        epoch: Option<Epoch>,
        /// True when postmaster and children are gone.
        stopped: bool,
    },
    /// All that must be so before the first commit of an epoch: histories leave one number free (F20), slots are
    /// there, clients are out, the rule is configured and shown.
    Prepare,
    /// `synchronous_standby_names` of a primary as the goal has it, with everything that a change takes.
    ConfigureSync,
    /// Clients out by pg_hba.conf, and cut.
    ShutClients,
    /// Mark, deadline, `pg_promote`, and wait until it is no standby.
    Promote,
    /// `standby.signal` back, timeline checked: the promotion can be told.
    FinishPromotion,
    /// Slots and roles that the standbys need.
    ServeStandbys,
    /// Clients in.
    OpenClients,
    /// Ask PostgreSQL whether it takes the parameters that are proposed.
    Judge {
        /// The number under which the answer is told.
        number: Revision,
    },
    /// The parameters as the goal has them, reloaded.
    SetParameters,
    /// CHECKPOINT, so that the shutdown that follows is short.
    Checkpoint {
        /// The number under which it is proved.
        number: Revision,
    },
    /// Prove that the rule is in force (PROTOCOL.md, the three-part barrier).
    ProveRule,
    /// Point the receiver at the goal's upstream.
    Follow,
    /// pg_rewind under the goal's new incarnation.
    Rewind {
        /// The incarnation granted.
        incarnation: Incarnation,
    },
    /// pg_basebackup under the goal's new incarnation.
    Clone {
        /// The incarnation granted.
        incarnation: Incarnation,
    },
    /// Tell the coordinators that this copy cannot follow as it is.
    AskForRebuild(Need),
    /// Stop the server that somebody else started on the directory that is to be adopted, in good order.
    StopFound,
    /// Make the directory that was offered for adoption ours: the roles of Interrex where it was a primary's, then
    /// `standby.signal`, then its identity.
    TakeIn,
}

/// How a server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Fast, bounded; then as `Fence`.
    Fast,
    /// Kill the postmaster with all its children at once.
    Fence,
}

impl Step {
    pub(super) fn wait(why: impl Into<String>) -> Step {
        Step::Wait { why: why.into() }
    }

    pub(super) fn refuse(why: impl Into<String>) -> Step {
        Step::Refuse { why: why.into() }
    }

    pub(super) fn stop(why: impl Into<String>) -> Step {
        Step::Stop { how: Stop::Fast, why: why.into() }
    }

    pub(super) fn fence(why: impl Into<String>) -> Step {
        Step::Stop { how: Stop::Fence, why: why.into() }
    }

    pub(super) fn ask(rebuild: Rebuild, incarnation: Incarnation, why: impl Into<String>) -> Step {
        Step::AskForRebuild(Need { rebuild, incarnation, why: why.into() })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Nothing => f.write_str("nothing to do"),
            Step::Wait { why } => write!(f, "wait: {why}"),
            Step::Refuse { why } => write!(f, "refuse: {why}"),
            Step::InitDb => f.write_str("create the first directory"),
            Step::StartAsStandby { follow: true } => f.write_str("start as a standby of the upstream"),
            Step::StartAsStandby { follow: false } => f.write_str("start as a standby of nobody"),
            Step::Stop { how: Stop::Fast, why } => write!(f, "stop: {why}"),
            Step::Stop { how: Stop::Fence, why } => write!(f, "kill: {why}"),
            Step::Seal { epoch: Some(epoch) } => write!(f, "seal for epoch {epoch}"),
            Step::Seal { epoch: None } => f.write_str("take the upstream away"),
            Step::ScanEnd { stopped: true, .. } => f.write_str("read the end of WAL of the stopped server"),
            Step::ScanEnd { stopped: false, .. } => f.write_str("read the durable end of WAL"),
            Step::Prepare => f.write_str("prepare the promotion"),
            Step::ConfigureSync => f.write_str("set synchronous_standby_names"),
            Step::ShutClients => f.write_str("keep clients out"),
            Step::Promote => f.write_str("promote"),
            Step::FinishPromotion => f.write_str("finish the promotion"),
            Step::ServeStandbys => f.write_str("make roles and slots"),
            Step::OpenClients => f.write_str("let clients in"),
            Step::Judge { .. } => f.write_str("judge the proposed parameters"),
            Step::SetParameters => f.write_str("set the parameters"),
            Step::Checkpoint { .. } => f.write_str("make a checkpoint before the switchover"),
            Step::ProveRule => f.write_str("prove the commit rule"),
            Step::Follow => f.write_str("follow the upstream"),
            Step::Rewind { incarnation } => write!(f, "rewind as incarnation {incarnation}"),
            Step::Clone { incarnation } => write!(f, "clone as incarnation {incarnation}"),
            Step::AskForRebuild(need) => match need.rebuild {
                Rebuild::Rewind => write!(f, "ask for a rewind: {}", need.why),
                Rebuild::Clone => write!(f, "ask for a clone: {}", need.why),
            },
            Step::StopFound => f.write_str("stop the server that is to be adopted"),
            Step::TakeIn => f.write_str("take in the existing data directory"),
        }
    }
}

/// What to do next on the way to `goal`.
pub fn next_step(goal: &Goal, seen: &Observed, now: Instant) -> Step {
    match goal {
        Goal::Await { why } => awaited(why, seen, now),
        Goal::Bootstrap => bootstrap(seen),
        Goal::Primary(goal) => primary(goal, seen, now),
        Goal::Standby(goal) => standby(goal, seen, now),
        Goal::Sealed { epoch, .. } => as_sealed::sealed(*epoch, seen),
        Goal::Stopped { epoch, .. } => as_sealed::stopped(*epoch, seen),
        Goal::Adopt { stop, .. } => offered(*stop, seen),
    }
}

/// What lies there is told, and left as it is; a server that runs on it is stopped only where that was permitted.
fn offered(stop: bool, seen: &Observed) -> Step {
    if seen.server != Server::Gone {
        return Step::refuse(
            "a server of Interrex runs on the directory that is to be adopted; begin with another data_dir",
        );
    }
    if let Some(why) = &seen.unseen {
        return Step::refuse(why.clone());
    }
    match &seen.found {
        // What it refuses while it runs was there before it was decided to stop it, or came since: either way it runs on.
        Some(Found { running: Some(_), refused: Some(why), .. }) => Step::refuse(why.clone()),
        Some(found) if found.running.is_some() && stop => Step::StopFound,
        Some(found) if found.running.is_some() => {
            Step::wait("the operator: the PostgreSQL that runs is left alone")
        }
        Some(Found { refused: Some(why), .. }) => Step::refuse(why.clone()),
        Some(_) | None => Step::wait("all instances to say what they hold"),
    }
}

/// Nothing is decided: the server is left as it is, but for a primary, which needs leave to serve.
fn awaited(why: &str, seen: &Observed, now: Instant) -> Step {
    match &seen.server {
        Server::Primary(_) if seen.deadline.is_none_or(|deadline| now >= deadline) => {
            Step::fence("it runs as a primary and nobody gave it leave to")
        }
        Server::Gone | Server::Starting | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_) => {
            Step::wait(why)
        }
    }
}

fn bootstrap(seen: &Observed) -> Step {
    match (&seen.data, &seen.server) {
        (
            Data::Missing | Data::Unfinished(_) | Data::Ours(_) | Data::Offered(_) | Data::Doubtful { .. },
            Server::Starting | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_),
        ) => Step::stop("the first directory is told stopped"),
        (Data::Missing | Data::Unfinished(Sentinel::Create), Server::Gone) => Step::InitDb,
        (Data::Unfinished(Sentinel::Rebuild(_)), Server::Gone) => Step::refuse(
            "the directory is half rebuilt; move it away so that the cluster can begin with an empty one",
        ),
        (Data::Ours(_), Server::Gone) if seen.memory.created.is_some() => Step::Nothing,
        (Data::Ours(_) | Data::Offered(_), Server::Gone) => Step::refuse(
            "there is data already, of another beginning; move it away so that the cluster can begin",
        ),
        (Data::Doubtful { why, .. } | Data::Strange { why }, _) => Step::refuse(why.clone()),
    }
}

fn primary(goal: &PrimaryGoal, seen: &Observed, now: Instant) -> Step {
    match &seen.data {
        Data::Missing => Step::refuse("elected without a data directory"),
        Data::Unfinished(_) => Step::refuse("elected with a directory whose rebuild is not finished"),
        Data::Doubtful { why, .. } | Data::Strange { why } => match seen.server {
            Server::Gone => Step::refuse(why.clone()),
            Server::Starting | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_) => {
                Step::fence(why.clone())
            }
        },
        Data::Offered(_) => take_in(seen),
        Data::Ours(_) => as_primary::next(goal, seen, now),
    }
}

/// The record counts the directory that was offered. Under a guard of ours nothing runs on it yet.
pub(super) fn take_in(seen: &Observed) -> Step {
    match seen.server {
        Server::Gone => Step::TakeIn,
        Server::Starting | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_) => {
            Step::fence("it runs on a directory that is not taken in yet")
        }
    }
}

fn standby(goal: &StandbyGoal, seen: &Observed, now: Instant) -> Step {
    if let Some((how, incarnation)) = goal.rebuild
        && !matches!(seen.data, Data::Offered(_))
        && let Some(step) = as_standby::rebuild(how, incarnation, seen)
    {
        return step;
    }
    match &seen.data {
        Data::Missing => Step::ask(Rebuild::Clone, goal.incarnation, "no data directory"),
        Data::Unfinished(Sentinel::Create) => {
            Step::ask(Rebuild::Clone, goal.incarnation, "its directory was never finished")
        }
        Data::Unfinished(Sentinel::Rebuild(_)) => {
            Step::ask(Rebuild::Clone, goal.incarnation, "its rebuild was interrupted")
        }
        Data::Doubtful { why, .. } => match seen.server {
            Server::Gone => Step::ask(Rebuild::Clone, goal.incarnation, why.clone()),
            Server::Starting | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_) => {
                Step::fence(why.clone())
            }
        },
        Data::Offered(_) => offered_standby(goal, seen),
        Data::Strange { why } => Step::refuse(why.clone()),
        Data::Ours(system) if *system != goal.system => Step::refuse(format!(
            "the data directory has system identifier {system}, the cluster {}: another cluster's data; move it away \
             to let this instance clone",
            goal.system
        )),
        Data::Ours(_) if seen.memory.incarnation != goal.incarnation => Step::ask(
            Rebuild::Clone,
            goal.incarnation,
            format!(
                "the copy is incarnation {}, the record has {}",
                seen.memory.incarnation, goal.incarnation
            ),
        ),
        Data::Ours(_) => as_standby::next(goal, seen, now),
    }
}

/// Offered, and counted by the record unless that wants its first copy cloned: then it was offered too late. Taken in only
/// once there is a line to judge it by.
fn offered_standby(goal: &StandbyGoal, seen: &Observed) -> Step {
    let offered = seen.memory.offered.map(|offered| offered.incarnation);
    match (&goal.rebuild, &goal.line) {
        (Some((_, incarnation)), _) if offered == Some(*incarnation) => Step::refuse(
            "there is data that was offered for adoption when that was decided without it; move it away to let this \
             instance clone",
        ),
        (_, None) => Step::wait("a primary to follow"),
        _ => take_in(seen),
    }
}
