//! One statement on one connection, and what its answer proves.
//!
//! Everything goes through the simple protocol: there the commit, and with it the wait for synchronous replication
//! and its warning, comes before the success tag. In the extended protocol the commit belongs to Sync, after the
//! tag, and a warning could arrive when the answer was already believed.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::timeout;

use crate::record::Outcome;
use interrex_notices::Notices;

/// What one insert came to.
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    /// The warning or error.
    pub(crate) why: Option<String>,
    /// The connection is good for another statement.
    pub(crate) keep: bool,
    /// The server said nothing at all within the deadline.
    pub(crate) silent: bool,
}

impl Ending {
    fn of(outcome: Outcome, why: Option<String>, keep: bool) -> Self {
        Ending { outcome, why, keep, silent: false }
    }
}

/// Creates the table; harmless when it is there.
pub(crate) const CREATE_TABLE: &str = "create table if not exists ledger (
    id bigint primary key,
    client text not null,
    written_at timestamptz not null)";

/// Inserts the row `id` and judges the answer. `client` has been checked to need no quoting.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    notices: &Notices,
    deadline: Duration,
    id: i64,
    client: &str,
) -> Ending {
    let text =
        format!("insert into ledger (id, client, written_at) values ({id}, '{client}', clock_timestamp())");
    let statement = sqlx::raw_sql(AssertSqlSafe(text)).execute(conn);
    let (answer, warnings) = notices.during(timeout(deadline, statement)).await;
    let warning = (!warnings.is_empty()).then(|| warnings.join("; "));
    match answer {
        Err(_) => {
            let why = format!("no answer within {} ms", deadline.as_millis());
            Ending { outcome: Outcome::Unknown, why: Some(why), keep: false, silent: true }
        }
        Ok(Ok(done)) if done.rows_affected() != 1 => {
            let why = format!("acknowledged {} rows instead of 1", done.rows_affected());
            Ending::of(Outcome::Failed, Some(why), true)
        }
        Ok(Ok(_)) => match warning {
            Some(warning) => Ending::of(Outcome::Warned, Some(warning), true),
            None => Ending::of(Outcome::Ok, None, true),
        },
        Ok(Err(error)) => judge(&error),
    }
}

/// Only a plain ERROR from a server proves that nothing was committed. A FATAL or a broken connection may come after
/// the local flush (F3, F4), and whether anything was sent at all cannot be told from here: both count as unknown.
fn judge(error: &sqlx::Error) -> Ending {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    match refusal {
        Some(refusal) if refusal.severity() == PgSeverity::Error => {
            // 25006: this server takes writes no longer, another one may.
            let keep = refusal.code() != "25006";
            Ending::of(Outcome::Failed, Some(format!("{} {}", refusal.code(), refusal.message())), keep)
        }
        _ => Ending::of(Outcome::Unknown, Some(error.to_string()), false),
    }
}
