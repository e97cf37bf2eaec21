//! The verdict: what was acknowledged must be on every instance, what was refused on none, and nothing may be there
//! that was never sent. Read from each instance itself, standbys too, with nothing between.
//!
//! To be called when the writer has stopped and the cluster is whole. A standby is given time to replay up to where
//! the primary stood when its rows were read; an instance that does not answer is an error, not a smaller verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use tokio::time::{Instant, sleep, timeout};

use crate::error::LedgerError;
use crate::file::LedgerFile;
use crate::record::Outcome;
use crate::target::{HostSpec, Login};

/// What all instances together say about a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How many ids were acknowledged without reservation.
    pub acked: u64,
    /// Acknowledged ids that are missing on at least one instance.
    pub lost: BTreeSet<i64>,
    /// Ids acknowledged with a warning that are on at least one instance.
    pub warned_kept: u64,
    /// Ids acknowledged with a warning that are on none.
    pub warned_gone: u64,
    /// Unanswered ids that are on at least one instance.
    pub unknown_kept: u64,
    /// Unanswered ids that are on none.
    pub unknown_gone: u64,
    /// Ids that a server refused with an error and that are there nevertheless.
    pub failed_kept: BTreeSet<i64>,
    /// Rows of this client whose ids were never sent.
    pub phantom: BTreeSet<i64>,
    /// Ids sent that some instances have and others do not.
    pub divergent: BTreeSet<i64>,
    /// What each instance said, in the order given.
    pub instances: Vec<InstanceVerdict>,
}

/// What one instance says about a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceVerdict {
    /// The instance, as host:port.
    pub host: String,
    /// It takes writes.
    pub primary: bool,
    /// A standby has replayed all that the primary had flushed; always true of a primary.
    pub caught_up: bool,
    /// How many rows of this client it has.
    pub rows: u64,
    /// Acknowledged ids it does not have.
    pub lost: BTreeSet<i64>,
}

impl Verdict {
    /// Nothing is wrong: one primary, every standby caught up, all instances alike, nothing lost, refused-but-there or
    /// invented.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.findings().is_empty()
    }

    /// What is wrong apart from losses, which are counted; a line each, for people.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut find = |count: usize, what: &str| {
            if count > 0 {
                findings.push(format!("{count} {what}"));
            }
        };
        find(self.failed_kept.len(), "refused writes are there nevertheless");
        find(self.phantom.len(), "rows are there that were never written");
        find(self.divergent.len(), "rows are on some instances and not on others");
        find(
            self.instances.iter().filter(|instance| !instance.caught_up).count(),
            "standbys did not catch up",
        );
        let primaries = self.instances.iter().filter(|instance| instance.primary).count();
        if primaries != 1 {
            findings.push(format!("{primaries} instances take writes instead of one"));
        }
        findings
    }
}

/// Reads the rows of every instance and compares them with the file. `patience` is for each connect and statement,
/// and for each standby's replay.
///
/// # Errors
/// When an instance cannot be asked.
pub async fn verify(
    file: &LedgerFile,
    instances: &[HostSpec],
    login: &Login,
    patience: Duration,
) -> Result<Verdict, LedgerError> {
    let mut callees = Vec::new();
    for host in instances {
        callees.push(Callee::reach(host, login, patience).await?);
    }
    let client = file.client().unwrap_or_default();
    // Primaries first: the standbys must replay at least what the primary's rows were read from.
    let mut flushed = None;
    for callee in callees.iter_mut().filter(|callee| callee.primary) {
        callee.read_rows(client).await?;
        flushed = Some(callee.flushed_lsn().await?);
    }
    for callee in callees.iter_mut().filter(|callee| !callee.primary) {
        callee.caught_up = match &flushed {
            Some(lsn) => callee.replays_up_to(lsn).await?,
            None => false,
        };
        callee.read_rows(client).await?;
    }
    Ok(judge(file, &callees))
}

fn judge(file: &LedgerFile, callees: &[Callee]) -> Verdict {
    let ids_of = |outcome: Outcome| {
        file.attempts().iter().filter(move |(_, attempt)| attempt.outcome == outcome).map(|(id, _)| *id)
    };
    let anywhere: BTreeSet<i64> = callees.iter().flat_map(|callee| callee.rows.iter().copied()).collect();
    let everywhere = |id: &i64| callees.iter().all(|callee| callee.rows.contains(id));
    let kept_and_gone = |outcome| {
        let kept = ids_of(outcome).filter(|id| anywhere.contains(id)).count() as u64;
        (kept, ids_of(outcome).count() as u64 - kept)
    };
    let (warned_kept, warned_gone) = kept_and_gone(Outcome::Warned);
    let (unknown_kept, unknown_gone) = kept_and_gone(Outcome::Unknown);
    Verdict {
        acked: ids_of(Outcome::Ok).count() as u64,
        lost: ids_of(Outcome::Ok).filter(|id| !everywhere(id)).collect(),
        warned_kept,
        warned_gone,
        unknown_kept,
        unknown_gone,
        failed_kept: ids_of(Outcome::Failed).filter(|id| anywhere.contains(id)).collect(),
        phantom: anywhere.iter().copied().filter(|id| !file.attempts().contains_key(id)).collect(),
        divergent: anywhere.iter().copied().filter(|id| !everywhere(id)).collect(),
        instances: callees
            .iter()
            .map(|callee| InstanceVerdict {
                host: callee.host.clone(),
                primary: callee.primary,
                caught_up: callee.caught_up,
                rows: callee.rows.len() as u64,
                lost: ids_of(Outcome::Ok).filter(|id| !callee.rows.contains(id)).collect(),
            })
            .collect(),
    }
}

/// One instance while it is being asked.
struct Callee {
    host: String,
    conn: PgConnection,
    patience: Duration,
    primary: bool,
    caught_up: bool,
    rows: BTreeSet<i64>,
}

impl Callee {
    async fn reach(host: &HostSpec, login: &Login, patience: Duration) -> Result<Self, LedgerError> {
        let options = login.options(host, patience).disable_statement_logging();
        let host = host.to_string();
        let conn = answer(&host, "connect", patience, options.connect()).await?;
        let mut callee =
            Callee { host, conn, patience, primary: false, caught_up: true, rows: BTreeSet::new() };
        callee.primary = callee.ask("ask for the role", "select not pg_is_in_recovery()".to_owned()).await?;
        Ok(callee)
    }

    async fn flushed_lsn(&mut self) -> Result<String, LedgerError> {
        self.ask("ask for the flushed position", "select pg_current_wal_flush_lsn()::text".to_owned()).await
    }

    /// Waits until this standby has replayed `lsn`; false when it does not within its patience.
    async fn replays_up_to(&mut self, lsn: &str) -> Result<bool, LedgerError> {
        let until = Instant::now() + self.patience;
        loop {
            let question = format!("select coalesce(pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn, false)");
            if self.ask("ask for the replayed position", question).await? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// An instance without the table has no rows: that is a finding, not an error.
    async fn read_rows(&mut self, client: &str) -> Result<(), LedgerError> {
        let text = format!("select id from ledger where client = '{}'", client.replace('\'', "''"));
        let read = async {
            let rows = match sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut self.conn).await {
                Err(why) if is_undefined_table(&why) => return Ok(BTreeSet::new()),
                rows => rows?,
            };
            rows.iter().map(|row| row.try_get::<i64, _>(0)).collect()
        };
        self.rows = answer(&self.host, "read the table ledger", self.patience, read).await?;
        Ok(())
    }

    async fn ask<T>(&mut self, action: &'static str, question: String) -> Result<T, LedgerError>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let read =
            async { sqlx::raw_sql(AssertSqlSafe(question)).fetch_one(&mut self.conn).await?.try_get(0) };
        answer(&self.host, action, self.patience, read).await
    }
}

fn is_undefined_table(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    refusal.is_some_and(|refusal| refusal.code() == "42P01")
}

async fn answer<T>(
    host: &str,
    action: &'static str,
    patience: Duration,
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, LedgerError> {
    match timeout(patience, question).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(LedgerError::Instance { host: host.to_owned(), action, source }),
        Err(_) => Err(LedgerError::Silent { host: host.to_owned(), action, limit_ms: patience.as_millis() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(primary: bool) -> InstanceVerdict {
        let (host, lost) = ("127.0.0.1:1".to_owned(), [].into());
        InstanceVerdict { host, primary, caught_up: true, rows: 1, lost }
    }

    fn verdict() -> Verdict {
        Verdict {
            acked: 1,
            lost: [].into(),
            warned_kept: 0,
            warned_gone: 0,
            unknown_kept: 0,
            unknown_gone: 0,
            failed_kept: [].into(),
            phantom: [].into(),
            divergent: [].into(),
            instances: vec![instance(true), instance(false)],
        }
    }

    #[test]
    fn rows_that_should_not_be_there_are_found_though_nothing_is_lost() {
        assert_eq!(verdict().findings(), Vec::<String>::new());
        let odd = Verdict { phantom: [7].into(), divergent: [7, 8].into(), ..verdict() };
        let found = odd.findings();
        assert_eq!(found[0], "1 rows are there that were never written");
        assert_eq!(found[1], "2 rows are on some instances and not on others");
        let two = Verdict { instances: vec![instance(true), instance(true)], ..verdict() };
        assert_eq!(two.findings(), ["2 instances take writes instead of one"]);
    }
}
