//! Sealing a live standby: from here on it receives from nobody, and its end of WAL stands still.
//!
//! "No walreceiver" alone proves nothing while the startup process still holds the old conninfo: it can start one a
//! moment later. Hence the order (PROTOCOL.md clause 3): the password goes first, so that a receiver of the old
//! conninfo gets through nowhere; then the settings; then a fresh connection has to show them; then every receiver is
//! ended, and none may be seen, and nothing may arrive, for twice as long as the startup process waits between two
//! attempts.

use super::error::{Error, Result};
use super::receiver::LOOK_AGAIN;
use super::server::{PATIENCE, Server};
use super::settings::{Role, Settings};
use super::settings_table::RETRY_INTERVAL;
use super::wal_end::Held;
use interrex_cluster::wal::{History, Lsn, Position};
use std::time::Duration;
use tokio::time::{Instant, sleep};

impl Server {
    /// Seals and tells the durable end of WAL. The epoch is the caller's to make last *before*. Idempotent: called
    /// again, it proves again. `ended`: where the only server that could send was seen to end, gone; once that much was
    /// received, no moment has to be waited for in which more might come.
    ///
    /// # Errors
    /// `Refused` on a server that is not in recovery, or was told to promote: that one is sealed by stopping it
    /// (clause 1). `Silent` when the receiver does not go in time; `Unknown` when the end of WAL cannot be told.
    pub async fn seal(
        &self,
        line: Option<&History>,
        ended: Option<Position>,
        deadline: Duration,
    ) -> Result<Position> {
        let until = Instant::now() + deadline;
        self.write_settings(&Settings { role: Role::Sealed }).await?;
        self.reload().await?;
        let upstream = "select current_setting('primary_conninfo') || current_setting('restore_command')";
        self.wait_until_fresh(upstream, str::is_empty, until).await?;
        let received = self.still(ended, until).await?;
        // What the receiver says it flushed was perhaps acknowledged: less than that is no end to be told.
        self.find_wal_end(Held { replayed: received.replayed, received: received.received }, line, true).await
    }

    /// Waits until a fresh connection gives what is `wanted`.
    pub(super) async fn wait_until_fresh(
        &self,
        sql: &str,
        wanted: impl Fn(&str) -> bool,
        until: Instant,
    ) -> Result<String> {
        let from = Instant::now();
        loop {
            match self.fresh(sql).await {
                Ok(shown) if wanted(&shown) => return Ok(shown),
                Ok(_) | Err(Error::Starting { .. }) => {}
                Err(other) => return Err(other),
            }
            if Instant::now() >= until {
                return Err(Error::Silent {
                    what: format!("the reload, as seen by: {sql}"),
                    within: from.elapsed(),
                });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Ends receivers until none has been seen, and nothing received, for twice the retry interval; or until none is
    /// seen and everything was received that there is.
    async fn still(&self, ended: Option<Position>, until: Instant) -> Result<Received> {
        let mut last = self.received().await?;
        let begun = Instant::now();
        let mut since = begun;
        let all = |seen: &Received| {
            !seen.receiver && ended.is_some_and(|ended| seen.received.is_some_and(|held| held >= ended.lsn))
        };
        while since.elapsed() < 2 * RETRY_INTERVAL && !all(&last) {
            if Instant::now() >= until {
                return Err(Error::Silent {
                    what: "the walreceiver to end".to_owned(),
                    within: since.elapsed(),
                });
            }
            sleep(LOOK_AGAIN).await;
            let now = self.received().await?;
            // Replay may go on: it reads what is held already.
            if now.receiver || now.received != last.received {
                since = Instant::now();
            }
            last = now;
        }
        Ok(last)
    }

    async fn received(&self) -> Result<Received> {
        let rows = self.ask(RECEIVED, PATIENCE).await?;
        let row = rows.first().ok_or_else(|| Error::Unknown("what was received".to_owned()))?;
        let text = |i: usize| row.get(i).and_then(Option::as_deref);
        if text(0) != Some("true") {
            return Err(Error::Refused(
                "a server that is not in recovery is sealed by stopping it".to_owned(),
            ));
        }
        let lsn =
            |i| text(i).map(|t| t.parse::<Lsn>().map_err(|e| Error::Unknown(e.to_string()))).transpose();
        let ended = self.end_receiver()?;
        let receiver = ended || text(3) != Some("0");
        Ok(Received { received: lsn(1)?, replayed: lsn(2)?, receiver })
    }
}

const RECEIVED: &str = "select pg_is_in_recovery()::text, pg_last_wal_receive_lsn()::text,
    pg_last_wal_replay_lsn()::text, (select count(*) from pg_stat_wal_receiver)::text";

struct Received {
    received: Option<Lsn>,
    replayed: Option<Lsn>,
    receiver: bool,
}
