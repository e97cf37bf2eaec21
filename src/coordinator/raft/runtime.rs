//! The runtime that openraft works in: tokio, with the node's own randomness.
//!
//! How long an election is waited for is drawn from what the node was given ([`Config::rng`](super::Config::rng)), as
//! its ids are, so that nothing in a coordinator is random that its owner did not choose. Tasks inherit the source from
//! the task that spawned them; outside of any node the kernel's is used.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use interrex_rt::{Rng, SystemRng};
use openraft::impls::TokioRuntime;
use openraft::{AsyncRuntime, Instant as _, OptionalSend};
use rand::SeedableRng;
use rand::rngs::SmallRng;

tokio::task_local! {
    static SOURCE: Arc<dyn Rng>;
}

/// Tokio, and the source of randomness of the present task.
#[derive(Debug)]
pub(crate) struct Runtime(TokioRuntime);

/// Runs `work`, and every task of openraft that it spawns, with this source of randomness.
pub(crate) async fn with_source<T>(source: Arc<dyn Rng>, work: impl Future<Output = T>) -> T {
    SOURCE.scope(source, work).await
}

/// A seed from the task's source. One that has nothing to give costs no more than an election that comes at the same
/// time as another.
fn seed() -> u64 {
    let drawn = SOURCE.try_with(|source| source.number()).unwrap_or_else(|_| SystemRng.number());
    drawn.unwrap_or_default()
}

/// openraft ticks at 13/64 of the heartbeat interval that it is given, every 24 ms, and each tick wakes a thread that has
/// nothing else to do. Nothing else there sleeps until a deadline for more than a microsecond, and ticks keep to multiples
/// of their interval and step over those that were missed; so one that comes more than a tick late leaves the next one
/// out. Heartbeats are 144 ms apart by that, and an election begins at most 48 ms late.
const SLACK: Duration = Duration::from_millis(26);

/// Later, where it is a tick's.
fn unhurried<I: openraft::Instant>(now: I, deadline: I) -> I {
    let long = deadline.saturating_duration_since(now) > Duration::from_millis(1);
    if long { deadline + SLACK } else { deadline }
}

type Tokio<T> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = Tokio<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        match SOURCE.try_with(Arc::clone) {
            Ok(source) => TokioRuntime::spawn(SOURCE.scope(source, future)),
            Err(_) => TokioRuntime::spawn(future),
        }
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(unhurried(Self::Instant::now(), deadline))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> SmallRng {
        SmallRng::seed_from_u64(seed())
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Timing;
    use super::*;
    use rand::Rng as _;
    use std::io;

    #[derive(Debug)]
    struct Always(u8);

    impl Rng for Always {
        fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn a_tick_comes_late_and_what_is_due_at_once_does_not() {
        let now = <Runtime as AsyncRuntime>::Instant::now();
        let tick = Timing::default().heartbeat * 13 / 64;
        assert!(tick < SLACK && SLACK < tick * 2, "it leaves out one tick of two");
        let (tick, batch) = (now + tick, now + Duration::from_micros(1));
        assert_eq!(unhurried(now, tick), tick + SLACK);
        assert_eq!(unhurried(now, batch), batch);
    }

    #[tokio::test]
    async fn a_task_of_openraft_draws_from_the_source_of_whoever_spawned_it() {
        let draw = |source: u8| {
            with_source(Arc::new(Always(source)), async {
                Runtime::spawn(async { Runtime::thread_rng().next_u64() }).await.unwrap()
            })
        };
        assert_eq!(draw(1).await, draw(1).await);
        assert_ne!(draw(1).await, draw(2).await);
        let outside = || async { Runtime::thread_rng().next_u64() };
        assert_ne!(outside().await, outside().await);
    }
}
