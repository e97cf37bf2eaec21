//! Promotion: granted is irrevocable (F23). What it came to is read from the server, never assumed.

use super::error::{Error, Result};
use super::files::blocking;
use super::history::{HistoryFile, histories_in};
use super::receiver::LOOK_AGAIN;
use super::remote::timeline_of;
use super::server::{PATIENCE, Server, TOOL_PATIENCE};
use super::tool::Tool;
use interrex_cluster::ids::Epoch;
use interrex_cluster::report::Promotion;
use interrex_cluster::wal::{Lsn, TimelineId};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Arguments of a server in recovery that lets nobody in, and is not asked whether it has less than replay demands
/// (F25): only one that is promoted at once, and has nothing left to replay, may be started so.
pub const ANSWERS_NOBODY: [&str; 2] = ["-c", "hot_standby=off"];

impl Server {
    /// Promotes and waits until the server is out of recovery; then puts `standby.signal` back, so that it comes up as
    /// a standby whatever ends it (F27). On a server that is out of recovery already it only tells.
    ///
    /// The mark that a promotion was begun, the histories that make the timeline equal to `epoch` (F20), and the
    /// settings of the commit rule are the caller's to put in place before.
    ///
    /// # Errors
    /// `Silent` at the deadline: the promotion goes on all the same. `Refused` when the new timeline is not `epoch`:
    /// the instance must be stopped, for its WAL bears another reign's number.
    pub async fn promote(&self, epoch: Epoch, deadline: Duration) -> Result<Promotion> {
        let until = Instant::now() + deadline;
        if self.in_recovery().await? {
            self.ask("select pg_promote(false)::text", PATIENCE).await?;
        }
        self.promoted_by(until, deadline, epoch).await
    }

    /// The same of a server that was started with [`ANSWERS_NOBODY`] and says nothing before it is promoted.
    ///
    /// # Errors
    /// As of [`Server::promote`].
    pub async fn promote_unasked(&self, epoch: Epoch, deadline: Duration) -> Result<Promotion> {
        let until = Instant::now() + deadline;
        loop {
            let tool = Tool::new(self.layout(), "pg_ctl").args(&["promote", "--no-wait", "--silent", "-D"]);
            match tool.arg(&self.layout().pgdata).output(TOOL_PATIENCE).await {
                Ok(_) => break,
                // It does not replay yet.
                Err(_) if Instant::now() < until => sleep(LOOK_AGAIN).await,
                Err(why) => return Err(why),
            }
        }
        while self.in_recovery().await.is_err() && Instant::now() < until {
            sleep(LOOK_AGAIN).await;
        }
        self.promoted_by(until, deadline, epoch).await
    }

    async fn promoted_by(&self, until: Instant, deadline: Duration, epoch: Epoch) -> Result<Promotion> {
        while self.in_recovery().await? {
            if Instant::now() >= until {
                return Err(Error::Silent {
                    what: "the promotion, which goes on".to_owned(),
                    within: deadline,
                });
            }
            sleep(LOOK_AGAIN).await;
        }
        self.put_standby_signal().await?;
        let promotion = self.promotion().await?;
        if promotion.epoch != epoch {
            return Err(Error::Refused(format!(
                "the promotion opened timeline {}, not {epoch}; stop this server",
                promotion.epoch
            )));
        }
        Ok(promotion)
    }

    /// Whether the server that runs was started with [`ANSWERS_NOBODY`], by the arguments that it noted itself.
    pub fn answers_nobody(&self) -> bool {
        let noted = std::fs::read_to_string(self.layout().pgdata.join("postmaster.opts"));
        noted.is_ok_and(|noted| noted.contains(ANSWERS_NOBODY[1]))
    }

    /// End of replay; absent until replay began.
    ///
    /// # Errors
    /// It does not answer, or not with an LSN.
    pub async fn replayed(&self) -> Result<Option<Lsn>> {
        let rows = self.ask("select pg_last_wal_replay_lsn()::text", PATIENCE).await?;
        let text = rows.first().and_then(|row| row.first()?.as_deref());
        text.map(|text| text.parse().map_err(|e| Error::Unknown(format!("{e}, as the end of replay"))))
            .transpose()
    }

    /// True while the server is in recovery.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn in_recovery(&self) -> Result<bool> {
        let rows = self.ask("select pg_is_in_recovery()::text", PATIENCE).await?;
        match rows.first().and_then(|row| row.first()?.as_deref()) {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err(Error::Unknown("whether the server is in recovery".to_owned())),
        }
    }

    /// Which timeline a primary writes and where that branched off; by the history file, for pg_control lags (F26).
    /// Timeline 1 branched off nowhere: parent 0 at 0/0.
    ///
    /// # Errors
    /// The server is in recovery, or its history file does not tell.
    pub async fn promotion(&self) -> Result<Promotion> {
        let rows = self.ask("select pg_walfile_name(pg_current_wal_insert_lsn())", PATIENCE).await?;
        let file = rows.first().and_then(|row| row.first()?.as_deref()).unwrap_or_default();
        let timeline = timeline_of(file)?;
        let epoch = Epoch(timeline.0);
        if timeline == TimelineId(1) {
            return Ok(Promotion { epoch, parent: TimelineId(0), begin: Lsn(0) });
        }
        let wal = self.layout().pgdata.join("pg_wal");
        let histories = blocking(move || histories_in(&wal)).await?;
        match histories.get(&timeline) {
            Some(HistoryFile::Real(history)) => Promotion::of(history)
                .ok_or_else(|| Error::Unknown(format!("the parent of timeline {timeline}"))),
            found => Err(Error::Unknown(format!("the history of timeline {timeline}, which is {found:?}"))),
        }
    }
}
