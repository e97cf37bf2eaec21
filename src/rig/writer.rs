//! A writer: `interrex ledger write` as a process of its own, with its own connections to the hosts that it is told of,
//! and a view of its ledger. It ends with whoever holds its standard input, however that dies.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use interrex_ledger::{Follow, HostSpec, LedgerFile};
use tokio::process::Child;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::patience::Patience;
use crate::site::Launcher;

/// It finishes the statement under way, which has a limit of its own.
const STOPPING: Duration = Duration::from_secs(10);
const STARTING: Duration = Duration::from_secs(20);

/// Which writer: where it runs, and what it writes to.
#[derive(Debug, Clone)]
pub struct Post {
    /// Of its ledger's file, in the cluster's directory.
    pub name: String,
    /// How it is started.
    pub launcher: Launcher,
    /// Whom it dials.
    pub hosts: Vec<HostSpec>,
    /// Its first id, where several write to one table; none: the table's largest + 1.
    pub first_id: Option<i64>,
}

/// A running writer.
pub struct Writer {
    child: Child,
    ledger: PathBuf,
    log: PathBuf,
    follow: Follow,
}

impl Writer {
    /// Starts the one that dials every PostgreSQL, and returns when its ledger is there.
    ///
    /// # Errors
    /// It ends, or there is no ledger in time.
    pub async fn start(cluster: &Cluster) -> anyhow::Result<Writer> {
        let (name, launcher) = ("ledger".to_owned(), Launcher::default());
        Writer::start_at(cluster, Post { name, launcher, hosts: cluster.hosts(), first_id: None }).await
    }

    /// Starts this one, and returns when its ledger is there.
    ///
    /// # Errors
    /// It ends, or there is no ledger in time.
    pub async fn start_at(cluster: &Cluster, post: Post) -> anyhow::Result<Writer> {
        let (ledger, log) = (cluster.dir.join(&post.name), cluster.dir.join(format!("{}.log", post.name)));
        let hosts = post.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let output = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let mut command = post.launcher.command(&cluster.program);
        command.args(["ledger", "write", "--hosts", &hosts, "--user", &cluster.login.user]);
        command.args(["--dbname", &cluster.login.dbname, "--json", "--until-stdin-closes"]);
        command.arg("--password-file").arg(cluster.password_file()).arg("--ledger").arg(&ledger);
        if let Some(first) = post.first_id {
            command.args(["--first-id", &first.to_string()]);
        }
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
    ///
    /// # Errors
    /// It ended by itself, or its ledger cannot be read.
    pub fn look(&mut self) -> anyhow::Result<&LedgerFile> {
        ensure_alive(&mut self.child, &self.log)?;
        Ok(self.follow.refresh()?)
    }

    /// How many were acknowledged.
    ///
    /// # Errors
    /// It ended by itself, or its ledger cannot be read.
    pub fn acknowledged(&mut self) -> anyhow::Result<u64> {
        Ok(self.look()?.tally().ok)
    }

    /// Waits for an acknowledgement that arrived after `mono_ms` (`CLOCK_MONOTONIC`), and tells when it did.
    ///
    /// # Errors
    /// There is none within `at_most`, with what the writer was told last.
    pub async fn acknowledged_after(&mut self, mono_ms: u64, at_most: Duration) -> anyhow::Result<u64> {
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
    ///
    /// # Errors
    /// It cannot be read.
    pub fn snapshot(&self) -> anyhow::Result<LedgerFile> {
        Ok(LedgerFile::read(&self.ledger)?)
    }

    /// Ends it in an orderly way; its whole ledger.
    ///
    /// # Errors
    /// It ended before, does not end, or failed.
    pub async fn stop(mut self) -> anyhow::Result<LedgerFile> {
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
