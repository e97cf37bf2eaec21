//! The writer of the demo: `interrex ledger write` as a process of its own, with its own connections to all three
//! hosts, and a view of its ledger. It ends with whoever holds its standard input, however that dies.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use interrex_ledger::{Follow, LedgerFile};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cluster_up::Cluster;
use crate::patience::Patience;

/// It finishes the statement under way, which has a limit of its own.
const STOPPING: Duration = Duration::from_secs(10);
const STARTING: Duration = Duration::from_secs(20);

/// A running writer.
pub(crate) struct Writer {
    child: Child,
    ledger: PathBuf,
    log: PathBuf,
    follow: Follow,
}

impl Writer {
    /// Starts it and returns when its ledger is there.
    pub(crate) async fn start(cluster: &Cluster) -> anyhow::Result<Writer> {
        let (ledger, log) = (cluster.dir.join("ledger"), cluster.dir.join("writer.log"));
        let hosts = cluster.hosts().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let exe = std::env::current_exe().context("find the program of this process")?;
        let output = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let mut command = Command::new(exe);
        command.args(["ledger", "write", "--hosts", &hosts, "--user", &cluster.login.user]);
        command.args(["--dbname", &cluster.login.dbname, "--json", "--until-stdin-closes"]);
        command.arg("--password-file").arg(cluster.password_file()).arg("--ledger").arg(&ledger);
        let errors = output.try_clone().context("share the writer's log")?;
        command.stdin(Stdio::piped()).stdout(output).stderr(errors);
        let mut child =
            command.current_dir(&cluster.dir).process_group(0).spawn().context("start the writer")?;
        let patience = Patience::new("the writer to begin its ledger", STARTING);
        let follow = loop {
            if let Ok(follow) = Follow::open(&ledger) {
                break follow;
            }
            ensure_alive(&mut child, &log)?;
            patience.pause("").await?;
        };
        Ok(Writer { child, ledger, log, follow })
    }

    /// Everything acknowledged so far.
    pub(crate) fn look(&mut self) -> anyhow::Result<&LedgerFile> {
        ensure_alive(&mut self.child, &self.log)?;
        Ok(self.follow.refresh()?)
    }

    /// How many were acknowledged.
    pub(crate) fn acknowledged(&mut self) -> anyhow::Result<u64> {
        Ok(self.look()?.tally().ok)
    }

    /// Waits for an acknowledgement that arrived after `mono_ms` (`CLOCK_MONOTONIC`), and tells when it did.
    pub(crate) async fn acknowledged_after(
        &mut self,
        mono_ms: u64,
        at_most: Duration,
    ) -> anyhow::Result<u64> {
        let patience = Patience::new("an acknowledged write", at_most);
        loop {
            let file = self.look()?;
            if let Some((_, attempt)) = file.acknowledged().find(|(_, attempt)| attempt.at_ms > mono_ms) {
                return Ok(attempt.at_ms);
            }
            let last = file.attempts().values().next_back();
            let why = last.and_then(|attempt| attempt.why.clone()).unwrap_or_default();
            patience.pause(&why).await?;
        }
    }

    /// What the ledger says now, apart from the writer.
    pub(crate) fn snapshot(&self) -> anyhow::Result<LedgerFile> {
        Ok(LedgerFile::read(&self.ledger)?)
    }

    /// Ends it in an orderly way; its whole ledger.
    pub(crate) async fn stop(mut self) -> anyhow::Result<LedgerFile> {
        ensure_alive(&mut self.child, &self.log)?;
        drop(self.child.stdin.take());
        let ended = timeout(STOPPING, self.child.wait()).await;
        let status =
            ended.map_err(|_| anyhow!("the writer does not stop within {} s", STOPPING.as_secs()))?;
        let status = status.context("wait for the writer")?;
        ensure!(status.success(), "the writer failed ({status}); its log is {}", self.log.display());
        self.snapshot()
    }
}

fn ensure_alive(child: &mut Child, log: &std::path::Path) -> anyhow::Result<()> {
    let ended = child.try_wait().context("look after the writer")?;
    ensure!(ended.is_none(), "the writer ended by itself; its log is {}", log.display());
    Ok(())
}
