//! A backend that commits without a pause, on the server's side, with no client in between: it looks up for nobody, not
//! even for the death of its postmaster. Or one that writes WAL in the same manner, and no row: 200 MB of it.

use std::time::Duration;

use anyhow::Context;
use interrex_ledger::{HostSpec, Login};
use interrex_rig::Patience;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const TABLE: &str = "create table if not exists busy (id bigserial primary key)";
const LOOP: &str = "do $$ begin loop insert into busy default values; commit; end loop; end $$";
/// More than there is room for in the files that PostgreSQL has made, and less than fills a volume.
const WAL: &str = "do $$ begin for n in 1..2000 loop perform pg_logical_emit_message(false, 'interrex-chaos', \
                   repeat('x', 100000)); commit; end loop; end $$";
/// Between its first commits, and until a dead backend's client hears of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The session of that backend, and the means to ask for its rows.
pub(crate) struct Busy {
    /// Its backend's number.
    pub(crate) pid: i32,
    options: PgConnectOptions,
    looping: JoinHandle<()>,
}

impl Busy {
    /// Starts one that commits rows.
    pub(crate) async fn start(host: &HostSpec, login: &Login) -> anyhow::Result<Busy> {
        Busy::begin(host, login, LOOP).await
    }

    /// Starts one that writes WAL and nothing else, and ends.
    pub(crate) async fn write_wal(host: &HostSpec, login: &Login) -> anyhow::Result<Busy> {
        Busy::begin(host, login, WAL).await
    }

    async fn begin(host: &HostSpec, login: &Login, deed: &'static str) -> anyhow::Result<Busy> {
        // No limit: it is to last until it is killed.
        let options = login.options(host, Duration::ZERO);
        let options = options.application_name("interrex-chaos").disable_statement_logging();
        let mut session: PgConnection =
            options.connect().await.with_context(|| format!("connect to {host} for a busy session"))?;
        if deed == LOOP {
            sqlx::raw_sql(TABLE).execute(&mut session).await.context("make the table of the busy session")?;
        }
        let row = sqlx::raw_sql("select pg_backend_pid()").fetch_one(&mut session).await;
        let pid = row.and_then(|row| row.try_get(0)).context("ask for the busy session's backend")?;
        let looping = tokio::spawn(async move {
            // How it ends is the point of nothing; that it ends is what is asked.
            let _ = sqlx::raw_sql(deed).execute(&mut session).await;
        });
        Ok(Busy { pid, options, looping })
    }

    /// How many commits it has made.
    pub(crate) async fn commits(&self) -> anyhow::Result<u64> {
        let mut session: PgConnection =
            self.options.connect().await.context("ask for the busy session's rows")?;
        let row = sqlx::raw_sql("select count(*) from busy").fetch_one(&mut session).await;
        let count: i64 = row.and_then(|row| row.try_get(0)).context("count the busy session's rows")?;
        Ok(count.unsigned_abs())
    }

    /// Waits until it has made more than that, which is how many.
    pub(crate) async fn commits_more_than(&self, before: u64) -> anyhow::Result<u64> {
        let patience = Patience::new("the busy session to commit", PATIENCE);
        loop {
            let commits = self.commits().await?;
            if commits > before {
                return Ok(commits);
            }
            patience.pause(&format!("{commits} commits")).await?;
        }
    }

    /// Its client was told that it is gone.
    pub(crate) async fn ended(&mut self) -> bool {
        timeout(PATIENCE, &mut self.looping).await.is_ok()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.looping.abort();
    }
}
