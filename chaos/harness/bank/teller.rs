//! A teller: one connection, one transfer after the other, and another server when that one says nothing more. Outcomes are
//! told apart as the ledger does: only a plain ERROR proves that nothing was committed (F3, F4).

use std::time::Duration;

use interrex_ledger::{HostSpec, Login, Outcome};
use interrex_notices::Notices;
use interrex_sim::Rng;
use sqlx::postgres::{PgDatabaseError, PgRow, PgSeverity};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::books::{Books, Transfer};
use super::{ACCOUNTS, DEPOSIT, TOTAL};

const TABLES: &str = "create table if not exists account (id bigint primary key, balance bigint not null);
    create table if not exists transfer (id bigint primary key, source bigint not null, target bigint not null,
        amount bigint not null)";
/// For each connect and statement; a server that is later is given up.
const DEADLINE: Duration = Duration::from_millis(500);
/// Between two transfers, and between two rounds of dialling.
const PAUSE: Duration = Duration::from_millis(40);
const MOST_AT_ONCE: u64 = 100;
/// Numbers of two tellers never meet.
const APART: i64 = 1_000_000_000;

/// One of them.
pub(super) struct Teller {
    hosts: Vec<HostSpec>,
    login: Login,
    notices: Notices,
    rng: Rng,
    next: i64,
    /// The server that was used last; the next round of dialling ends with it.
    last: usize,
    books: Books,
}

/// What one transfer came to.
struct Ending {
    outcome: Outcome,
    /// The connection is good for another one.
    keep: bool,
    /// What all accounts held together, as the transaction saw it.
    seen: Option<i64>,
}

impl Teller {
    pub(super) fn new(number: i64, hosts: Vec<HostSpec>, login: Login) -> Teller {
        // Which accounts are drawn decides nothing that a seed should replay.
        let rng = Rng::new(number.unsigned_abs(), 0);
        let (notices, books) = (Notices::new(), Books::default());
        Teller { hosts, login, notices, rng, next: number * APART, last: 0, books }
    }

    /// Works until it is told to close, and counts what is confirmed.
    pub(super) async fn work(
        mut self,
        confirm: watch::Sender<u64>,
        mut closing: watch::Receiver<bool>,
    ) -> Books {
        // Who holds the other end is gone when it cannot be asked, and nobody wants the transfers then.
        let mut close = std::pin::pin!(async move { drop(closing.wait_for(|closing| *closing).await) });
        let mut session = None;
        loop {
            if timeout(PAUSE, close.as_mut()).await.is_ok() {
                return self.books;
            }
            session = match session {
                Some(session) => self.transfer(session, &confirm).await,
                None => self.dial().await,
            };
        }
    }

    /// A server that takes writes, if one says so in time: each is asked once, the one used last after all others.
    async fn dial(&mut self) -> Option<PgConnection> {
        for step in 1..=self.hosts.len() {
            let at = (self.last + step) % self.hosts.len();
            if let Some(session) = writable(&self.hosts[at], &self.login).await {
                self.last = at;
                return Some(session);
            }
        }
        None
    }

    /// One transfer; the session, if it is good for another one.
    async fn transfer(
        &mut self,
        mut session: PgConnection,
        confirm: &watch::Sender<u64>,
    ) -> Option<PgConnection> {
        let (id, transfer) = self.draw();
        let ending = transact(&mut session, &self.notices, id, transfer).await;
        self.books.transfers.insert(id, (transfer, ending.outcome));
        if let Some(seen) = ending.seen.filter(|seen| *seen != TOTAL) {
            let host = &self.hosts[self.last];
            self.books.findings.push(format!(
                "transfer {id} saw {seen} in all accounts on {host}, where {TOTAL} is always in them"
            ));
        }
        if ending.outcome == Outcome::Ok {
            confirm.send_modify(|confirmed| *confirmed += 1);
        }
        // A refused transaction is open still.
        if ending.keep && ending.outcome == Outcome::Failed {
            let rolled_back = timeout(DEADLINE, sqlx::raw_sql("rollback").execute(&mut session)).await;
            return matches!(rolled_back, Ok(Ok(_))).then_some(session);
        }
        ending.keep.then_some(session)
    }

    fn draw(&mut self) -> (i64, Transfer) {
        self.next += 1;
        let accounts = ACCOUNTS.unsigned_abs();
        let source = self.rng.below(accounts);
        let target = (source + 1 + self.rng.below(accounts - 1)) % accounts;
        let signed = |number: u64| i64::try_from(number).unwrap_or_default();
        let amount = signed(1 + self.rng.below(MOST_AT_ONCE));
        (self.next, Transfer { source: signed(source), target: signed(target), amount })
    }
}

/// Makes the accounts, whichever server takes writes.
pub(super) async fn open_accounts(hosts: &[HostSpec], login: &Login) -> anyhow::Result<()> {
    let deposits = format!(
        "insert into account select id, {DEPOSIT} from generate_series(0, {}) id on conflict do nothing",
        ACCOUNTS - 1
    );
    loop {
        for host in hosts {
            let Some(mut session) = writable(host, login).await else { continue };
            sqlx::raw_sql(TABLES).execute(&mut session).await?;
            sqlx::raw_sql(AssertSqlSafe(deposits)).execute(&mut session).await?;
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// A session with this server, if it takes writes and says so in time.
async fn writable(host: &HostSpec, login: &Login) -> Option<PgConnection> {
    // The server gives up later than this client does: a wait that it cancels is answered with success (F2).
    let options =
        login.options(host, DEADLINE * 4).application_name("interrex-bank").disable_statement_logging();
    let mut session = timeout(DEADLINE, options.connect()).await.ok()?.ok()?;
    let question = sqlx::raw_sql("select current_setting('transaction_read_only') = 'off'");
    let row = timeout(DEADLINE, question.fetch_one(&mut session)).await.ok()?.ok()?;
    row.try_get::<bool, _>(0).ok()?.then_some(session)
}

/// The whole transaction in one message of the simple protocol: there the commit comes before the answer.
async fn transact(session: &mut PgConnection, notices: &Notices, id: i64, transfer: Transfer) -> Ending {
    let Transfer { source, target, amount } = transfer;
    let text = format!(
        "begin isolation level serializable;
        select sum(balance)::bigint from account;
        update account set balance = balance - {amount} where id = {source};
        update account set balance = balance + {amount} where id = {target};
        insert into transfer (id, source, target, amount) values ({id}, {source}, {target}, {amount});
        commit"
    );
    let statement = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(session);
    let (answer, warnings) = notices.during(timeout(DEADLINE, statement)).await;
    match answer {
        Err(_) => Ending { outcome: Outcome::Unknown, keep: false, seen: None },
        Ok(Ok(rows)) => {
            let outcome = if warnings.is_empty() { Outcome::Ok } else { Outcome::Warned };
            Ending { outcome, keep: true, seen: sum(&rows) }
        }
        Ok(Err(error)) => refused(&error),
    }
}

fn sum(rows: &[PgRow]) -> Option<i64> {
    rows.first()?.try_get(0).ok()
}

fn refused(error: &sqlx::Error) -> Ending {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    match refusal {
        Some(refusal) if refusal.severity() == PgSeverity::Error => {
            // 25006: this server takes writes no longer, another one may.
            Ending { outcome: Outcome::Failed, keep: refusal.code() != "25006", seen: None }
        }
        _ => Ending { outcome: Outcome::Unknown, keep: false, seen: None },
    }
}
