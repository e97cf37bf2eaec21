//! The ledger's writer beside a scene: one row after the other, every answer kept, and the verdict at the end.

use super::town::Town;
use interrex_ledger::{
    Gap, HostSpec, LedgerError, LedgerFile, Progress, Verdict, WriterConfig, WriterSummary,
};
use interrex_ledger::{longest_gap, monotonic_ms, verify, write};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// An application that writes, all the time.
pub(crate) struct Writer {
    file: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<WriterSummary, LedgerError>>,
    progress: watch::Receiver<Progress>,
}

impl Writer {
    /// Begins, and waits for the first hundred acknowledgements.
    pub(crate) async fn start(town: &Town) -> Self {
        let (progress, shown) = watch::channel(Progress::default());
        let file = town.dir().join("ledger");
        let config = WriterConfig {
            progress: Some(progress),
            ..WriterConfig::new(town.hosts(), town.login(), file.clone())
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(write(config, async move {
            // A scene that ends early drops the sender, which ends the writer too.
            let _ = stopped.await;
        }));
        let writer = Self { file, stop, task, progress: shown };
        writer.acknowledged(town, 100).await;
        writer
    }

    /// Waits until `more` rows were acknowledged from now on.
    pub(crate) async fn acknowledged(&self, town: &Town, more: u64) {
        let begin = self.progress.borrow().tally.ok;
        let what = format!("{more} more rows to be acknowledged");
        town.eventually(&what, async || (self.progress.borrow().tally.ok >= begin + more).then_some(()))
            .await;
    }

    /// The longest time without an acknowledgement since `since` ([`now_ms`]).
    pub(crate) fn longest_gap(&self, since: u64) -> Gap {
        let file = LedgerFile::read(&self.file).unwrap();
        longest_gap(&file, Some(since)).expect("rows that were acknowledged since")
    }

    /// Ends the writer and asks every instance: nothing that was acknowledged may be missing anywhere.
    pub(crate) async fn verdict(self, town: &Town) -> Verdict {
        self.verdict_over(town, &town.hosts()).await
    }

    /// The same of the instances that are left.
    pub(crate) async fn verdict_over(self, town: &Town, hosts: &[HostSpec]) -> Verdict {
        drop(self.stop);
        let summary = self.task.await.expect("the writer does not panic").unwrap();
        let file = LedgerFile::read(&self.file).unwrap();
        let verdict = verify(&file, hosts, &town.login(), Duration::from_secs(20)).await.unwrap();
        assert_eq!(verdict.lost, [].into(), "acknowledged and lost: {verdict:#?}");
        assert!(verdict.is_clean(), "{verdict:#?}");
        let tally = summary.tally;
        eprintln!("acknowledged {}, unknown {}, refused {}, lost 0", tally.ok, tally.unknown, tally.failed);
        verdict
    }
}

/// Now, on the ledger's clock.
pub(crate) fn now_ms() -> u64 {
    monotonic_ms()
}
