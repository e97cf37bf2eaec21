//! The lease as it is kept: evidence in, deadlines out to the guard, who enforces them whatever becomes of the agent.
//!
//! One lock orders everything: a deadline is computed and handed to the guard before the next evidence is looked at,
//! so that the guard never holds one that the rules (`interrex_cluster::instance::lease`) would not give.

use crate::process::{Boottime, DeadlineError, Running};
use crate::told::Granted;
use interrex_cluster::ids::Epoch;
use interrex_cluster::instance::lease::{Lease, Margin};
use interrex_cluster::policy::Policy;
use interrex_cluster::time::Instant;
use std::time::Duration;
use tokio::sync::Mutex;

/// Keeps the lease of one instance.
#[derive(Debug)]
pub(crate) struct Keeper {
    margin: Margin,
    ttl: Duration,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    lease: Lease,
    /// True while commits may be acknowledged without standbys, as far as is known: beats renew nothing then.
    asynchronous: bool,
    /// The server that runs under a deadline, and the epoch it serves in.
    armed: Option<(Running, Epoch)>,
    /// What the guard was last known to hold.
    deadline: Option<Instant>,
}

/// What is held at a moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// The evidence.
    pub(crate) lease: Lease,
    /// The guard's deadline.
    pub(crate) deadline: Option<Instant>,
}

/// Why a server was not put under a deadline.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotArmed {
    /// Nothing is held.
    #[error("no lease is held for epoch {0}")]
    NoLease(Epoch),
    /// The guard did not take it.
    #[error(transparent)]
    Guard(#[from] DeadlineError),
}

impl Keeper {
    pub(crate) fn new(policy: &Policy) -> Self {
        let book = Book { asynchronous: true, ..Book::default() };
        Self { margin: Margin(policy.drift_percent), ttl: policy.lease, book: Mutex::new(book) }
    }

    pub(crate) async fn held(&self) -> Held {
        let book = self.book.lock().await;
        Held { lease: book.lease.clone(), deadline: book.deadline }
    }

    /// A server that an earlier agent started: its deadline stands. What its commits wait for is not known yet, so
    /// that only a coordinator's grant prolongs it.
    pub(crate) async fn adopt(&self, running: &Running) -> Result<(), DeadlineError> {
        let (epoch, deadline) = running.deadline().await?;
        let mut book = self.book.lock().await;
        book.asynchronous = true;
        book.deadline = deadline.map(|at| Instant(at.as_ns() / 1_000_000));
        book.armed = deadline.map(|_| (running.clone(), Epoch(epoch)));
        Ok(())
    }

    /// A coordinator granted a lease.
    pub(crate) async fn granted(&self, granted: Granted) {
        let mut book = self.book.lock().await;
        book.lease.grant(granted.lease.epoch, granted.sent, granted.lease.ttl, self.margin);
        book.renew().await;
    }

    /// A synchronous commit of `epoch`, begun at `sent`, came back. Counts only while commits are known to wait.
    pub(crate) async fn beaten(&self, epoch: Epoch, sent: Instant) {
        let mut book = self.book.lock().await;
        if !book.asynchronous {
            book.lease.beat(epoch, sent, self.ttl, self.margin);
            book.renew().await;
        }
    }

    /// Puts a server that is about to be promoted under the lease of `epoch`, with `k` in force from its first commit.
    pub(crate) async fn arm(
        &self,
        running: &Running,
        epoch: Epoch,
        k: u32,
        now: Instant,
    ) -> Result<(), NotArmed> {
        let mut book = self.book.lock().await;
        let until = book.lease.until(k).filter(|_| book.lease.covers(epoch, k, now));
        let until = until.ok_or(NotArmed::NoLease(epoch))?;
        running.set_deadline(epoch.0, Some(Boottime::from(until))).await?;
        book.asynchronous = k == 0;
        book.armed = Some((running.clone(), epoch));
        book.deadline = Some(until);
        Ok(())
    }

    /// Before commits stop waiting for standbys: the deadline falls back to what coordinators granted.
    pub(crate) async fn asynchronous(&self) -> Result<(), NotArmed> {
        let mut book = self.book.lock().await;
        let Some((running, epoch)) = book.armed.clone() else { return Ok(()) };
        let until = book.lease.until(0).ok_or(NotArmed::NoLease(epoch))?;
        book.asynchronous = true;
        running.set_deadline(epoch.0, Some(Boottime::from(until))).await?;
        book.deadline = Some(until);
        Ok(())
    }

    /// Commits are proved to wait for standbys: beats renew the lease from now on.
    pub(crate) async fn synchronous(&self) {
        self.book.lock().await.asynchronous = false;
    }

    /// The server is gone.
    pub(crate) async fn disarm(&self) {
        let mut book = self.book.lock().await;
        book.armed = None;
        book.deadline = None;
        book.asynchronous = true;
    }
}

impl Book {
    /// Hands a later deadline to the guard. An epoch other than the one served gives nothing.
    async fn renew(&mut self) {
        let Some((running, epoch)) = self.armed.clone() else { return };
        let k = if self.asynchronous { 0 } else { 1 };
        let Some(until) = self.lease.until(k).filter(|_| self.lease.epoch() == epoch) else { return };
        if self.deadline.is_some_and(|held| held >= until) {
            return;
        }
        match running.set_deadline(epoch.0, Some(Boottime::from(until))).await {
            Ok(()) => self.deadline = Some(until),
            Err(DeadlineError::Ended) => {}
            Err(error) => tracing::warn!(%epoch, "the lease was not handed to the guard: {error}"),
        }
    }
}
