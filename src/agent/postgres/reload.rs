//! Making the server read its files again, and knowing when it has. A signal says nothing of that: the postmaster reads when
//! it comes to it, a backend at its leisure. A connection that begins afterwards has what the postmaster has read.

use super::error::{Error, Result};
use super::receiver::LOOK_AGAIN;
use super::server::{PATIENCE, Server};
use super::session::literal;
use rustix::process::Signal;
use std::fs;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// When the postmaster last read its files, as a connection knows that began since. Of no use but to be compared.
const READ_AT: &str = "select pg_conf_load_time()::text";

impl Server {
    /// Makes the server read its files again: by SQL, or by SIGHUP where nobody is let in.
    ///
    /// # Errors
    /// There is no server.
    pub async fn reload(&self) -> Result<()> {
        match self.ask("select pg_reload_conf()::text", PATIENCE).await {
            Ok(_) => return Ok(()),
            Err(Error::Starting { .. } | Error::Down { .. } | Error::Silent { .. } | Error::Sql { .. }) => {}
            Err(other) => return Err(other),
        }
        let down = |why: String| Error::Down { at: self.layout().pgdata.display().to_string(), why };
        let postmaster = self.postmaster()?.ok_or_else(|| down("there is no postmaster.pid".to_owned()))?;
        // The pid file may be older than this boot: only a process that runs in this directory is signalled.
        let cwd = fs::read_link(format!("/proc/{}/cwd", postmaster.as_raw_nonzero()));
        let pgdata = fs::canonicalize(&self.layout().pgdata);
        if !matches!((&cwd, &pgdata), (Ok(cwd), Ok(pgdata)) if cwd == pgdata) {
            return Err(down(format!(
                "process {} of postmaster.pid is another one",
                postmaster.as_raw_nonzero()
            )));
        }
        rustix::process::kill_process(postmaster, Signal::HUP).map_err(|e| down(e.to_string()))
    }

    /// [`Server::reload`], and waits until the files were read; then the kept connection is one that began after that. Else
    /// what to ask [`Server::has_read_since`]: it has not within `deadline`. It may have found a file to be wrong, which
    /// stands in its log.
    ///
    /// # Errors
    /// There is no server, or it does not answer.
    pub async fn reload_and_read(&self, deadline: Duration) -> Result<Option<String>> {
        let until = Instant::now() + deadline;
        let before = self.fresh(READ_AT).await?;
        self.reload().await?;
        while !self.has_read_since(&before).await? {
            if Instant::now() >= until {
                return Ok(Some(before));
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(None)
    }

    /// Whether it has read them since then; if so, the kept connection is one that began after that.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn has_read_since(&self, before: &str) -> Result<bool> {
        let mut fresh = self.connect(PATIENCE).await?;
        if fresh.value(READ_AT, PATIENCE).await? == before {
            fresh.close().await;
            return Ok(false);
        }
        let kept = self.probe().lock().await.replace(fresh);
        if let Some(kept) = kept {
            kept.close().await;
        }
        Ok(true)
    }

    /// A setting as a fresh connection sees it: proof that the postmaster has read the files.
    ///
    /// # Errors
    /// No connection in time, or no such setting.
    pub async fn shown(&self, setting: &str) -> Result<String> {
        self.fresh(&format!("select current_setting({})", literal(setting))).await
    }

    /// One value, asked on a fresh connection.
    pub(super) async fn fresh(&self, sql: &str) -> Result<String> {
        let mut session = self.connect(PATIENCE).await?;
        let value = session.value(sql, PATIENCE).await?;
        session.close().await;
        Ok(value)
    }
}
