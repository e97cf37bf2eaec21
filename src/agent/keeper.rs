//! The lease as it is kept: evidence in, deadlines out to the guard, who enforces them whatever becomes of the agent.
//!
//! One lock orders everything: a deadline is computed and handed to the guard before the next evidence is looked at,
//! so that the guard never holds one that the rules (`interrex_cluster::instance::lease`) would not give.

use crate::beat::Reign;
use crate::process::{Boottime, DeadlineError, Running};
use crate::told::Granted;
use interrex_cluster::ids::Epoch;
use interrex_cluster::instance::lease::{Lease, Margin};
use interrex_cluster::policy::Policy;
use interrex_cluster::time::Instant;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// The guard of a server that runs: whatever becomes of the agent, it ends the server at its deadline. Clones are the
/// same.
pub trait Guard: Clone + Send + Sync + 'static {
    /// From now on the server is ended at `until`, at once when that is past. Sets nothing for an epoch older than one that
    /// the guard has seen.
    ///
    /// # Errors
    /// The former deadline holds, unless the error says otherwise.
    fn set_deadline(
        &self,
        epoch: Epoch,
        until: Instant,
    ) -> impl Future<Output = Result<(), DeadlineError>> + Send;

    /// The deadline and its epoch as the guard holds them now.
    ///
    /// # Errors
    /// They cannot be told.
    fn deadline(&self) -> impl Future<Output = Result<(Epoch, Option<Instant>), DeadlineError>> + Send;
}

impl Guard for Running {
    async fn set_deadline(&self, epoch: Epoch, until: Instant) -> Result<(), DeadlineError> {
        Running::set_deadline(self, epoch.0, Some(Boottime::from(until))).await
    }

    async fn deadline(&self) -> Result<(Epoch, Option<Instant>), DeadlineError> {
        let (epoch, deadline) = Running::deadline(self).await?;
        Ok((Epoch(epoch), deadline.map(|at| Instant(at.as_ns() / 1_000_000))))
    }
}

/// Keeps the lease of one instance.
#[derive(Debug)]
pub struct Keeper<G> {
    margin: Margin,
    ttl: Duration,
    book: Mutex<Book<G>>,
}

#[derive(Debug)]
struct Book<G> {
    lease: Lease,
    /// True while commits may be acknowledged without standbys, as far as is known: beats renew nothing then.
    asynchronous: bool,
    /// The server that runs under a deadline, and the epoch it serves in.
    armed: Option<(G, Epoch)>,
    /// What the guard was last known to hold.
    deadline: Option<Instant>,
}

/// What is held at a moment.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The evidence.
    pub lease: Lease,
    /// The guard's deadline.
    pub deadline: Option<Instant>,
}

/// Why a server was not put under a deadline.
#[derive(Debug, thiserror::Error)]
pub enum NotArmed {
    /// Nothing is held.
    #[error("no lease is held for epoch {0}")]
    NoLease(Epoch),
    /// The guard did not take it.
    #[error(transparent)]
    Guard(#[from] DeadlineError),
}

/// Takes in leases as they come, for ever. The loop hears of the first of an epoch.
pub async fn keep_leases<R: Reign>(charge: Arc<R>, mut granted: mpsc::Receiver<Granted>) {
    while let Some(granted) = granted.recv().await {
        let first = charge.keeper().held().await.lease.epoch() < granted.lease.epoch;
        charge.keeper().granted(granted).await;
        if first {
            charge.poke().notify_one();
        }
    }
    // The lines are gone, and with them this instance.
    pending().await
}

impl<G: Guard> Keeper<G> {
    /// Holds nothing yet.
    pub fn new(policy: &Policy) -> Self {
        let book = Book { lease: Lease::default(), asynchronous: true, armed: None, deadline: None };
        Self { margin: Margin(policy.drift_percent), ttl: policy.lease, book: Mutex::new(book) }
    }

    /// What is held now.
    pub async fn held(&self) -> Held {
        let book = self.book.lock().await;
        Held { lease: book.lease.clone(), deadline: book.deadline }
    }

    /// A server that an earlier agent started: its deadline stands. What its commits wait for is not known yet, so
    /// that only a coordinator's grant prolongs it.
    ///
    /// # Errors
    /// Its guard does not tell.
    pub async fn adopt(&self, running: &G) -> Result<(), DeadlineError> {
        let (epoch, deadline) = running.deadline().await?;
        let mut book = self.book.lock().await;
        book.asynchronous = true;
        book.deadline = deadline;
        book.armed = deadline.map(|_| (running.clone(), epoch));
        Ok(())
    }

    /// A coordinator granted a lease.
    pub async fn granted(&self, granted: Granted) {
        let mut book = self.book.lock().await;
        book.lease.grant(granted.lease.epoch, granted.sent, granted.lease.ttl, self.margin);
        book.renew().await;
    }

    /// A synchronous commit of `epoch`, begun at `sent`, came back. Counts only while commits are known to wait.
    pub async fn beaten(&self, epoch: Epoch, sent: Instant) {
        let mut book = self.book.lock().await;
        if !book.asynchronous {
            book.lease.beat(epoch, sent, self.ttl, self.margin);
            book.renew().await;
        }
    }

    /// Puts a server that is about to be promoted under the lease of `epoch`, with `k` in force from its first commit.
    ///
    /// # Errors
    /// Nothing is held, or the guard did not take it: it must not be promoted.
    pub async fn arm(&self, running: &G, epoch: Epoch, k: u32, now: Instant) -> Result<(), NotArmed> {
        let mut book = self.book.lock().await;
        let until = book.lease.until(k).filter(|_| book.lease.covers(epoch, k, now));
        let until = until.ok_or(NotArmed::NoLease(epoch))?;
        running.set_deadline(epoch, until).await?;
        book.asynchronous = k == 0;
        book.armed = Some((running.clone(), epoch));
        book.deadline = Some(until);
        Ok(())
    }

    /// Before commits stop waiting for standbys: the deadline falls back to what coordinators granted.
    ///
    /// # Errors
    /// Nothing is held, or the guard did not take it: commits have to go on waiting.
    pub async fn asynchronous(&self) -> Result<(), NotArmed> {
        let mut book = self.book.lock().await;
        let Some((running, epoch)) = book.armed.clone() else { return Ok(()) };
        let until = book.lease.until(0).ok_or(NotArmed::NoLease(epoch))?;
        book.asynchronous = true;
        running.set_deadline(epoch, until).await?;
        book.deadline = Some(until);
        Ok(())
    }

    /// Commits are proved to wait for standbys: beats renew the lease from now on.
    pub async fn synchronous(&self) {
        self.book.lock().await.asynchronous = false;
    }

    /// The server is gone.
    pub async fn disarm(&self) {
        let mut book = self.book.lock().await;
        book.armed = None;
        book.deadline = None;
        book.asynchronous = true;
    }
}

impl<G: Guard> Book<G> {
    /// Hands a later deadline to the guard. An epoch other than the one served gives nothing.
    async fn renew(&mut self) {
        let Some((running, epoch)) = self.armed.clone() else { return };
        let k = if self.asynchronous { 0 } else { 1 };
        let Some(until) = self.lease.until(k).filter(|_| self.lease.epoch() == epoch) else { return };
        if self.deadline.is_some_and(|held| held >= until) {
            return;
        }
        match running.set_deadline(epoch, until).await {
            Ok(()) => self.deadline = Some(until),
            Err(DeadlineError::Ended) => {}
            Err(error) => tracing::warn!(%epoch, "the lease was not handed to the guard: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use interrex_api::session::LeaseGrant;
    use std::sync::Mutex as Sync;

    type Deadlines = Sync<Vec<(Epoch, Instant)>>;

    /// Keeps what it was told; absent: it tells nobody, and takes nothing.
    #[derive(Clone, Debug)]
    struct Clerk(Option<Arc<Deadlines>>);

    impl Clerk {
        fn new() -> Self {
            Self(Some(Arc::default()))
        }

        /// The deadlines that it was given, in milliseconds.
        fn deadlines(&self) -> Vec<u64> {
            self.0
                .iter()
                .flat_map(|told| told.lock().unwrap().iter().map(|(_, at)| at.0).collect::<Vec<_>>())
                .collect()
        }
    }

    impl Guard for Clerk {
        async fn set_deadline(&self, epoch: Epoch, until: Instant) -> Result<(), DeadlineError> {
            let told = self.0.as_ref().ok_or(DeadlineError::NoAnswer)?;
            told.lock().unwrap().push((epoch, until));
            Ok(())
        }

        async fn deadline(&self) -> Result<(Epoch, Option<Instant>), DeadlineError> {
            let told = self.0.as_ref().ok_or(DeadlineError::NoAnswer)?;
            let (epoch, until) = told.lock().unwrap().last().copied().unzip();
            Ok((epoch.unwrap_or_default(), until))
        }
    }

    const E7: Epoch = Epoch(7);

    /// A keeper whose leases last a second, to the millisecond.
    fn keeper() -> Keeper<Clerk> {
        Keeper::new(&Policy { lease: Duration::from_secs(1), drift_percent: 0, ..Policy::default() })
    }

    fn grant(epoch: Epoch, sent: u64) -> Granted {
        Granted { lease: LeaseGrant { epoch, ttl: Duration::from_secs(1) }, sent: Instant(sent) }
    }

    /// Nothing here ever waits.
    fn now<T>(what: impl Future<Output = T>) -> T {
        what.now_or_never().expect("nothing here ever waits")
    }

    #[test]
    fn a_grant_counts_from_when_it_was_asked_for_and_an_earlier_one_takes_nothing_back() {
        let (keeper, guard) = (keeper(), Clerk::new());
        now(keeper.granted(grant(E7, 100)));
        now(keeper.arm(&guard, E7, 0, Instant(200))).unwrap();
        now(keeper.granted(grant(E7, 300)));
        now(keeper.granted(grant(E7, 250)));
        assert_eq!(guard.deadlines(), [1_100, 1_300]);
        now(keeper.granted(grant(Epoch(8), 900)));
        assert_eq!(guard.deadlines(), [1_100, 1_300], "the server serves in another epoch");
    }

    #[test]
    fn a_beat_renews_the_lease_only_once_commits_are_proved_to_wait() {
        let (keeper, guard) = (keeper(), Clerk::new());
        now(keeper.granted(grant(E7, 100)));
        now(keeper.arm(&guard, E7, 0, Instant(200))).unwrap();
        now(keeper.beaten(E7, Instant(400)));
        assert_eq!(guard.deadlines(), [1_100]);
        now(keeper.synchronous());
        now(keeper.beaten(E7, Instant(500)));
        assert_eq!(guard.deadlines(), [1_100, 1_500]);
    }

    #[test]
    fn before_commits_stop_waiting_the_deadline_falls_back_to_what_was_granted() {
        let (keeper, guard) = (keeper(), Clerk::new());
        now(keeper.granted(grant(E7, 100)));
        now(keeper.arm(&guard, E7, 1, Instant(200))).unwrap();
        now(keeper.beaten(E7, Instant(500)));
        now(keeper.asynchronous()).unwrap();
        assert_eq!(guard.deadlines(), [1_100, 1_500, 1_100]);
        now(keeper.beaten(E7, Instant(600)));
        assert_eq!(guard.deadlines().len(), 3);
    }

    #[test]
    fn nothing_is_promoted_without_a_lease_or_with_a_guard_that_does_not_answer() {
        let (keeper, guard) = (keeper(), Clerk::new());
        assert!(matches!(now(keeper.arm(&guard, E7, 0, Instant(200))), Err(NotArmed::NoLease(E7))));
        now(keeper.granted(grant(E7, 100)));
        assert!(matches!(
            now(keeper.arm(&guard, Epoch(8), 0, Instant(200))),
            Err(NotArmed::NoLease(Epoch(8)))
        ));
        assert!(now(keeper.arm(&guard, E7, 0, Instant(1_100))).is_err(), "it has run out");
        assert!(matches!(now(keeper.arm(&Clerk(None), E7, 0, Instant(200))), Err(NotArmed::Guard(_))));
        assert_eq!(now(keeper.held()).deadline, None);
    }

    #[test]
    fn the_deadline_of_a_server_that_was_found_stands_and_grants_alone_prolong_it() {
        let (keeper, guard) = (keeper(), Clerk::new());
        now(guard.set_deadline(E7, Instant(900))).unwrap();
        now(keeper.adopt(&guard)).unwrap();
        now(keeper.beaten(E7, Instant(800)));
        assert_eq!((now(keeper.held()).deadline, guard.deadlines().len()), (Some(Instant(900)), 1));
        now(keeper.granted(grant(E7, 700)));
        assert_eq!(guard.deadlines(), [900, 1_700]);
        now(keeper.disarm());
        now(keeper.granted(grant(E7, 1_000)));
        assert_eq!(guard.deadlines().len(), 2, "it is gone");
    }
}
