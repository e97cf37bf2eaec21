//! The strings of a puppet: what one agent's process wants of the world, in order, and what the world shows it.

use interrex_agent::process::DeadlineError;
use interrex_agent::{Beaten, Guard, Held, Undone};
use interrex_cluster::goal::{Goal, PrimaryGoal, StampedGoal};
use interrex_cluster::ids::{Epoch, InstanceName, Stamp};
use interrex_cluster::instance::next_step::Step;
use interrex_cluster::instance::observed::Observed;
use interrex_cluster::report::Knock;
use interrex_cluster::time::Instant;
use interrex_sim::Keeping;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// What becomes of a deed.
pub(crate) enum News {
    /// It wants something of the keeper of the lease.
    Keep(Keeping),
    Over(Result<(), Undone>),
}

/// The epoch and the deadline that a guard holds.
pub(crate) type Armed = Result<(Epoch, Option<Instant>), DeadlineError>;

/// Something that the loop wants of the world. What takes time is answered with its microseconds.
pub(crate) enum Pull {
    NoticeExit,
    Look {
        goal: Option<Goal>,
        held: Held,
        found: Option<Knock>,
        seen: oneshot::Sender<(Observed, u64)>,
    },
    Obey {
        stamp: Stamp,
        written: oneshot::Sender<u64>,
    },
    Note(Step),
    NoteFailure(String),
    Begin {
        goal: StampedGoal,
        step: Step,
        news: mpsc::Sender<News>,
    },
    Kept {
        done: Result<(), String>,
        held: Held,
    },
    LeaveOff,
    /// To the guard of the server in that life: its deadline, if one is to be set.
    Guard {
        life: u32,
        set: Option<(Epoch, Instant)>,
        armed: oneshot::Sender<Armed>,
    },
    WaitsForStandbys {
        goal: PrimaryGoal,
        answer: oneshot::Sender<bool>,
    },
    Beat {
        epoch: Epoch,
        over: oneshot::Sender<Beaten>,
    },
    GiveUpBeat,
    /// At the port of that instance; silence is answered with none.
    Knock {
        at: InstanceName,
        answered: oneshot::Sender<bool>,
    },
}

/// What one process wants, in order, and what the world shows it. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Strings {
    pulls: Arc<Mutex<Vec<Pull>>>,
    pub(crate) poke: Arc<Notify>,
    pub(crate) beat_now: Arc<Notify>,
    /// Whether the server that runs, as far as the loop knows, has ended.
    pub(crate) ended: Arc<watch::Sender<bool>>,
    /// In which epoch the server reigns.
    pub(crate) reigns: Arc<watch::Sender<Option<Epoch>>>,
}

impl Strings {
    pub(crate) fn take(&self) -> Vec<Pull> {
        std::mem::take(&mut *self.pulls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn pull(&self, pull: Pull) {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner).push(pull);
    }
}

/// The line to a guard.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) strings: Strings,
    pub(crate) life: u32,
}

impl Wire {
    async fn ask(&self, set: Option<(Epoch, Instant)>) -> Armed {
        let (armed, told) = oneshot::channel();
        self.strings.pull(Pull::Guard { life: self.life, set, armed });
        answer(told).await
    }
}

impl Guard for Wire {
    async fn set_deadline(&self, epoch: Epoch, until: Instant) -> Result<(), DeadlineError> {
        self.ask(Some((epoch, until))).await.map(drop)
    }

    async fn deadline(&self) -> Armed {
        self.ask(None).await
    }
}

/// What the world answers. It goes before the process does only where that is killed, and then nobody waits any more.
pub(crate) async fn answer<T>(answer: oneshot::Receiver<T>) -> T {
    match answer.await {
        Ok(answer) => answer,
        Err(_) => pending().await,
    }
}
