//! Tasks that somebody owns: when the owner lets go of a [`Task`], the work ends at its next await.

use std::future::Future;
use std::pin::Pin;

/// Something to be done in the background.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Runs work in the background.
pub trait Spawner: Send + Sync + 'static {
    /// Starts the work; it ends by itself, or with its [`Task`].
    fn spawn(&self, work: Work) -> Task;
}

/// Work under way. Dropped, it ends the work.
#[derive(Debug)]
#[must_use = "dropping a task ends its work"]
pub struct Task(tokio::task::JoinHandle<()>);

impl Task {
    /// True once the work has ended, by itself or by a panic.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The tokio runtime that the caller runs in.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    fn spawn(&self, work: Work) -> Task {
        Task(tokio::spawn(work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_with_its_task() {
        let (tx, rx) = tokio::sync::oneshot::channel::<()>();
        let task = TokioSpawner.spawn(Box::pin(async move {
            std::future::pending::<()>().await;
            drop(tx);
        }));
        drop(task);
        assert!(rx.await.is_err(), "the work went, and its end of the channel with it");
    }
}
