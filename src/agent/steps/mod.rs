//! The deeds, one a file. Each is idempotent and may be interrupted anywhere: it first asks whether its goal still
//! binds, and asks again after everything that took long, right before it takes effect. Which deed is due, the rules
//! decide (`interrex_cluster::instance::next_step`); nothing is decided here.

mod adopt;
mod bootstrap;
mod clients;
mod configure;
mod follow;
mod parameters;
mod prepare;
mod promote;
mod rebuild;
mod receipt;
mod seal;
mod start;
mod stop;

use crate::instance::Instance;
use crate::keeper::NotArmed;
use crate::postgres;
use crate::process;
use crate::state::StateError;
use interrex_cluster::goal::{Goal, PrimaryGoal, StampedGoal, StandbyGoal};
use interrex_cluster::ids::Stamp;
use interrex_cluster::instance::next_step::Step;
use interrex_cluster::wal::{History, Position};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use stop::stop_for_good;

/// Why a deed was not done, or not to its end. It is asked for again when it is still due.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// A newer goal is there, or was obeyed.
    #[error("goal {goal} was overtaken by a newer one")]
    Overtaken {
        /// The goal that the deed was for.
        goal: Stamp,
    },
    /// Something has to come first.
    #[error("{0}")]
    NotYet(String),
    /// PostgreSQL, its files or its tools.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The agent's own files.
    #[error(transparent)]
    State(#[from] StateError),
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] process::StartError),
    /// The server could not be proved gone.
    #[error(transparent)]
    Fence(#[from] process::FenceError),
    /// The lease.
    #[error(transparent)]
    Lease(#[from] NotArmed),
}

pub(crate) type Done = Result<(), StepError>;

/// Reloads and small statements take milliseconds; a server that needs longer is in trouble.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);

impl Instance {
    /// Does one step on the way to `goal`. Steps that only say something are the loop's.
    pub(crate) async fn perform(&self, goal: &StampedGoal, step: &Step) -> Done {
        let stamp = goal.stamp;
        self.still(stamp)?;
        match (step, &goal.goal) {
            (Step::Nothing | Step::Wait { .. } | Step::Refuse { .. } | Step::AskForRebuild(_), _) => Ok(()),
            (Step::Stop { how, why }, _) => self.stop(*how, why).await,
            (Step::InitDb, _) => self.bootstrap(stamp).await,
            (Step::StopFound, _) => self.stop_found(stamp).await,
            (Step::TakeIn, _) => self.take_in(stamp).await,
            (Step::StartAsStandby { follow: true }, Goal::Standby(goal)) => {
                self.start(stamp, Some(goal), goal.line.as_ref(), Some(&goal.parameters)).await
            }
            (Step::StartAsStandby { .. }, goal) => {
                self.start(stamp, None, line_of(goal), parameters_of(goal)).await
            }
            (Step::Seal { epoch }, goal) => self.seal(stamp, *epoch, line_of(goal), ended(goal)).await,
            (Step::ScanEnd { epoch, stopped }, goal) => {
                self.scan_end(stamp, *epoch, *stopped, line_of(goal)).await
            }
            (Step::Prepare, Goal::Primary(goal)) => self.prepare(stamp, goal).await,
            (Step::ConfigureSync, Goal::Primary(goal)) => self.configure(stamp, goal).await,
            (Step::ShutClients, _) => self.shut_clients(stamp).await,
            (Step::Promote, Goal::Primary(goal)) => self.promote(stamp, goal).await,
            (Step::FinishPromotion, Goal::Primary(goal)) => self.finish_promotion(goal).await,
            (Step::ServeStandbys, Goal::Primary(goal)) => self.serve_standbys(goal).await,
            (Step::OpenClients, Goal::Primary(goal)) => self.open_clients(stamp, goal).await,
            (Step::Checkpoint { number }, _) => self.checkpoint(*number).await,
            (Step::Judge { .. }, Goal::Primary(goal)) => self.judge(goal).await,
            (Step::SetParameters, Goal::Primary(PrimaryGoal { parameters, .. }))
            | (Step::SetParameters, Goal::Standby(StandbyGoal { parameters, .. })) => {
                self.set_parameters(stamp, parameters).await
            }
            (Step::ProveRule, Goal::Primary(goal)) => self.prove(goal).await,
            (Step::Follow, Goal::Standby(goal)) => self.follow(stamp, goal).await,
            (Step::Rewind { incarnation }, Goal::Standby(goal)) => {
                self.rewind(stamp, goal, *incarnation).await
            }
            (Step::Clone { incarnation }, Goal::Standby(goal)) => {
                self.clone_copy(stamp, goal, *incarnation).await
            }
            (step, _) => Err(StepError::NotYet(format!("'{step}' belongs to another goal"))),
        }
    }
}

/// The ancestry that a goal speaks of.
fn line_of(goal: &Goal) -> Option<&History> {
    match goal {
        Goal::Primary(goal) => goal.line.as_ref(),
        Goal::Standby(goal) => goal.line.as_ref(),
        Goal::Sealed { line, .. } | Goal::Stopped { line, .. } => line.as_ref(),
        Goal::Await { .. } | Goal::Bootstrap | Goal::Adopt { .. } => None,
    }
}

/// The cluster's parameters, where a goal has them.
fn parameters_of(goal: &Goal) -> Option<&BTreeMap<String, String>> {
    match goal {
        Goal::Primary(goal) => Some(&goal.parameters),
        Goal::Standby(goal) => Some(&goal.parameters),
        Goal::Sealed { .. }
        | Goal::Stopped { .. }
        | Goal::Await { .. }
        | Goal::Bootstrap
        | Goal::Adopt { .. } => None,
    }
}

/// Where the upstream of a seal was seen to end, gone.
fn ended(goal: &Goal) -> Option<Position> {
    match goal {
        Goal::Sealed { ended, .. } => *ended,
        Goal::Primary(_)
        | Goal::Standby(_)
        | Goal::Stopped { .. }
        | Goal::Await { .. }
        | Goal::Bootstrap
        | Goal::Adopt { .. } => None,
    }
}

/// Whether a newer goal may interrupt the step: those that can be left half done and found so.
pub(crate) fn may_be_interrupted(step: &Step) -> bool {
    match step {
        Step::Nothing | Step::Wait { .. } | Step::Refuse { .. } | Step::AskForRebuild(_) => true,
        Step::ProveRule | Step::Clone { .. } | Step::ServeStandbys | Step::Checkpoint { .. } => true,
        // Told to stop, it stops, whoever waits for it.
        Step::StopFound => true,
        Step::Judge { .. } | Step::SetParameters => false,
        // A directory half rewound is lost; a promotion cannot be called back; the others are short.
        Step::Rewind { .. }
        | Step::InitDb
        | Step::TakeIn
        | Step::StartAsStandby { .. }
        | Step::Stop { .. }
        | Step::Seal { .. }
        | Step::ScanEnd { .. }
        | Step::Prepare
        | Step::ConfigureSync
        | Step::ShutClients
        | Step::Promote
        | Step::FinishPromotion
        | Step::OpenClients
        | Step::Follow => false,
    }
}
