//! The beat: a small synchronous commit of the agent's own. Acknowledged, it proves that under the setting in force
//! enough standbys have flushed it, so that nobody has sealed them.
//!
//! It writes a transactional message: that takes a transaction id *and* WAL, without which a commit never waits
//! (clause 7). A warning ("canceling wait for synchronous replication …") comes with an ordinary success (F2), so the
//! connection has to prove first that it hears warnings: a deaf ear must not pass for silence.

use super::error::{Error, Result};
use super::layout::SUPERUSER;
use super::server::{Beater, PATIENCE, Server};
use super::session::Session;
use interrex_cluster::wal::Lsn;
use interrex_notices::Notices;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What a beat came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// It came back without a word: under the setting then in force, enough standbys have flushed it.
    Acknowledged {
        /// Its message; the commit record follows.
        lsn: Lsn,
    },
    /// It came back with a warning, which voids it as a proof.
    Voided {
        /// The server's words.
        warning: String,
    },
}

impl Server {
    /// One beat, on a connection of its own; one at a time. What it proves, it proves of the moment before the call.
    ///
    /// # Errors
    /// `Silent` at the deadline: it is unknown whether standbys have it. The backend left waiting is ended before the
    /// next beat, so that they never pile up.
    pub async fn beat(&self, deadline: Duration) -> Result<Beat> {
        let until = Instant::now() + deadline;
        let silent = || Error::Silent { what: "a synchronous commit".to_owned(), within: deadline };
        let mut beater = timeout_at(until, self.beater().lock()).await.map_err(|_| silent())?;
        if let Some(pid) = beater.stranded {
            let end =
                "select pg_terminate_backend(pid)::text from pg_stat_activity where wait_event = 'SyncRep'";
            self.ask(&format!("{end} and usename = '{SUPERUSER}' and pid = {pid}"), PATIENCE).await?;
            beater.stranded = None;
        }
        let (mut session, notices) = match beater.session.take() {
            Some(kept) => kept,
            None => timeout_at(until, self.listening()).await.map_err(|_| silent())??,
        };
        let pid = session.pid();
        // Until it is back, this backend may be waiting, also when this future is dropped.
        beater.stranded = pid;
        let left = until.saturating_duration_since(Instant::now());
        let (answer, heard) = notices.during(session.lsn(BEAT, left)).await;
        match answer {
            Ok(lsn) => {
                *beater = Beater { session: Some((session, notices)), stranded: None };
                let warning = heard.into_iter().next();
                Ok(warning.map_or(Beat::Acknowledged { lsn }, |warning| Beat::Voided { warning }))
            }
            Err(Error::Silent { .. }) => Err(silent()),
            Err(other) => Err(other),
        }
    }

    /// A connection that is known to hear warnings.
    async fn listening(&self) -> Result<(Session, Notices)> {
        let mut session = self.connect(PATIENCE).await?;
        let notices = Notices::new();
        for setting in
            ["client_min_messages = warning", "log_min_messages = error", "synchronous_commit = on"]
        {
            session.run(&format!("SET {setting}"), PATIENCE).await?;
        }
        session.learn_pid(PATIENCE).await?;
        let (said, heard) = notices.during(session.run(EAR_TEST, PATIENCE)).await;
        said?;
        if heard.is_empty() {
            return Err(Error::Unknown(
                "whether a commit was cancelled: this build does not hear the server's warnings (is tracing compiled \
                 with a max_level feature?)"
                    .to_owned(),
            ));
        }
        Ok((session, notices))
    }
}

const BEAT: &str = "select pg_logical_emit_message(true, 'interrex', '')::text";
const EAR_TEST: &str = "do $$ begin raise warning 'interrex listens'; end $$";
