//! A connection as superuser, where nothing is waited for without end. Answers come as text, by the simple protocol:
//! nothing is cached, and nothing prepared but the questions that are asked at every look.

use super::error::{Error, Result};
use super::layout::SUPERUSER;
use super::server::Server;
use interrex_cluster::record::Address;
use interrex_cluster::wal::Lsn;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row as _};
use std::time::Duration;
use tokio::time::timeout;

/// One row, as text.
pub(super) type Row = Vec<Option<String>>;

/// A connection. Dropped after any failure: the answer to an abandoned statement would otherwise delay the next.
pub(super) struct Session {
    connection: PgConnection,
    at: String,
    pid: Option<i32>,
    /// This connection knows the questions of every look, by number.
    prepared: bool,
}

/// What is asked at every look.
pub(super) type Questions = [String; QUESTIONS];
const QUESTIONS: usize = 4;

/// What is asked on the kept connection.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Once(&'a str),
    AgainAndAgain(fn() -> Questions),
}

/// Knows `transaction_timeout`: an operator's would end a checkpoint that takes longer.
const SINCE_17: u32 = 170_000;

/// What holds in a session of ours, whatever the configuration or the database has for everybody's. A hot standby refuses
/// serializable transactions, so that it could never be sealed or promoted; a library that is not there lets nobody in; and
/// a connection that is kept must stay.
const OURS: [(&str, &str); 8] = [
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("standard_conforming_strings", "on"),
    ("session_preload_libraries", ""),
    ("local_preload_libraries", ""),
    ("idle_session_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

impl Server {
    /// A fresh connection over the Unix socket. `within` bounds the connect here, and every statement at the server.
    pub(super) async fn connect(&self, within: Duration) -> Result<Session> {
        self.connect_to("postgres", within).await
    }

    /// The same, with settings of its own over ours.
    pub(super) async fn connect_with(
        &self,
        settings: &[(&String, &String)],
        within: Duration,
    ) -> Result<Session> {
        let layout = self.layout();
        let options = self.options("postgres", within).socket(&layout.socket_dir).port(layout.listen.port);
        let options = options.options(settings.iter().copied());
        Session::open(options, layout.socket_dir.display().to_string(), within).await
    }

    /// The same, to a database by name.
    pub(super) async fn connect_to(&self, database: &str, within: Duration) -> Result<Session> {
        let layout = self.layout();
        let options = self.options(database, within).socket(&layout.socket_dir).port(layout.listen.port);
        Session::open(options, layout.socket_dir.display().to_string(), within).await
    }

    /// A fresh connection to another instance.
    pub(super) async fn connect_remote(&self, address: &Address, within: Duration) -> Result<Session> {
        self.connect_remote_to("postgres", address, within).await
    }

    /// The same, to a database by name.
    pub(super) async fn connect_remote_to(
        &self,
        database: &str,
        address: &Address,
        within: Duration,
    ) -> Result<Session> {
        let options = self.options(database, within).host(&address.host).port(address.port);
        Session::open(options, address.to_string(), within).await
    }

    fn options(&self, database: &str, within: Duration) -> PgConnectOptions {
        // The server ends what we gave up on: nobody else does (dropping a connection cancels nothing).
        let statement_timeout = within.as_millis().to_string();
        PgConnectOptions::new_without_pgpass()
            .username(SUPERUSER)
            .password(&self.credentials().superuser)
            .database(database)
            .application_name("interrex")
            .ssl_mode(PgSslMode::Disable)
            .statement_cache_capacity(0)
            .options(OURS)
            .options([("statement_timeout", statement_timeout.as_str()), ("lock_timeout", "1000")])
            .disable_statement_logging()
    }

    /// Asks on the kept connection, which is made anew when it is gone.
    pub(super) async fn ask(&self, sql: &str, within: Duration) -> Result<Vec<Row>> {
        self.on_kept(Asked::Once(sql), within).await
    }

    /// The same, of what is asked at every look, and is always the same: read and planned once a connection, where that
    /// takes longer than to answer.
    pub(super) async fn ask_again(&self, questions: fn() -> Questions, within: Duration) -> Result<Vec<Row>> {
        self.on_kept(Asked::AgainAndAgain(questions), within).await
    }

    async fn on_kept(&self, asked: Asked<'_>, within: Duration) -> Result<Vec<Row>> {
        let mut kept = self.probe().lock().await;
        if let Some(mut session) = kept.take() {
            match session.answer(asked, within).await {
                // It broke since the last question; that says nothing about now.
                Err(Error::Down { .. }) => {}
                Err(sql @ Error::Sql { .. }) => {
                    *kept = Some(session);
                    return Err(sql);
                }
                Err(other) => return Err(other),
                Ok(rows) => {
                    *kept = Some(session);
                    return Ok(rows);
                }
            }
        }
        let mut session = self.connect(within).await?;
        let rows = session.answer(asked, within).await?;
        *kept = Some(session);
        Ok(rows)
    }
}

impl Session {
    async fn open(options: PgConnectOptions, at: String, within: Duration) -> Result<Session> {
        let what = format!("a connection to {at}");
        let connected = timeout(within, options.connect())
            .await
            .map_err(|_| Error::Silent { what: what.clone(), within })?;
        match connected {
            Ok(connection) => {
                let knows = connection.server_version_num().is_some_and(|version| version >= SINCE_17);
                let mut session = Session { connection, at, pid: None, prepared: false };
                if knows {
                    // Refused as an option of the connection before that version.
                    session.run("set transaction_timeout = 0", within).await?;
                }
                Ok(session)
            }
            Err(refused) => Err(explain(&refused, &what, &at)),
        }
    }

    /// All rows of all statements in `sql`.
    pub(super) async fn rows(&mut self, sql: &str, within: Duration) -> Result<Vec<Row>> {
        let asked = self.connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
        let what = || abridged(sql);
        let answer = timeout(within, asked).await.map_err(|_| Error::Silent { what: what(), within })?;
        let rows = answer.map_err(|e| explain(&e, &what(), &self.at))?;
        let decode = |row: &sqlx::postgres::PgRow| {
            (0..row.len()).map(|i| row.try_get_unchecked::<Option<String>, _>(i)).collect::<Result<Row, _>>()
        };
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(|e| explain(&e, &what(), &self.at))
    }

    async fn answer(&mut self, asked: Asked<'_>, within: Duration) -> Result<Vec<Row>> {
        match asked {
            Asked::Once(sql) => self.rows(sql, within).await,
            Asked::AgainAndAgain(questions) => {
                let answer = timeout(within, self.again(questions, within)).await;
                answer.map_err(|_| Error::Silent { what: abridged(&questions()[0]), within })?
            }
        }
    }

    /// All rows of all `questions`, which the server remembers: they are made only for one that does not know them yet.
    async fn again(&mut self, questions: fn() -> Questions, within: Duration) -> Result<Vec<Row>> {
        if !self.prepared {
            let prepare = |(number, question)| format!("; prepare q{number} as {question}");
            let all: String = questions().iter().enumerate().map(prepare).collect();
            // Whatever an attempt before this one came to.
            self.run(&format!("deallocate all{all}"), within).await?;
            self.prepared = true;
        }
        let asked = std::array::from_fn::<_, QUESTIONS, _>(|number| format!("execute q{number}"));
        self.rows(&asked.join("; "), within).await
    }

    /// The only column of the only row; NULL is unknown.
    pub(super) async fn value(&mut self, sql: &str, within: Duration) -> Result<String> {
        let rows = self.rows(sql, within).await?;
        rows.into_iter()
            .next()
            .and_then(|row| row.into_iter().next().flatten())
            .ok_or_else(|| Error::Unknown(format!("no answer to: {}", abridged(sql))))
    }

    /// The same, as an LSN.
    pub(super) async fn lsn(&mut self, sql: &str, within: Duration) -> Result<Lsn> {
        let text = self.value(sql, within).await?;
        text.parse().map_err(|e| Error::Unknown(format!("{e}, as the answer to: {}", abridged(sql))))
    }

    /// A statement without an answer.
    pub(super) async fn run(&mut self, sql: &str, within: Duration) -> Result<()> {
        self.rows(sql, within).await.map(|_| ())
    }

    /// Process id of the backend, once learned.
    pub(super) fn pid(&self) -> Option<i32> {
        self.pid
    }

    pub(super) async fn learn_pid(&mut self, within: Duration) -> Result<()> {
        self.pid = self.value("select pg_backend_pid()::text", within).await?.parse().ok();
        Ok(())
    }

    /// Says good-bye, so that the server logs no broken connection.
    pub(super) async fn close(self) {
        let good_bye = timeout(Duration::from_millis(200), self.connection.close());
        // A server that does not take it finds out by itself.
        let _unheard = good_bye.await;
    }
}

/// `'…'` as an SQL literal. Standard-conforming strings: only the quote needs care.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `"…"` as an SQL identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Enough of a statement to know it again; never what follows PASSWORD.
fn abridged(sql: &str) -> String {
    let sql = sql.split(" PASSWORD ").next().unwrap_or_default();
    let line: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 80 { line.chars().take(80).chain(['…']).collect() } else { line }
}

fn explain(error: &sqlx::Error, what: &str, at: &str) -> Error {
    let down = |why: String| Error::Down { at: at.to_owned(), why };
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            let said = database.message().to_owned();
            match code.as_str() {
                "57P03" => Error::Starting { said },
                "57P01" | "57P02" | "57P05" => down(said),
                _ => Error::Sql { what: what.to_owned(), code, said },
            }
        }
        sqlx::Error::Io(io) => down(io.to_string()),
        other => down(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_where_they_would_end_the_text() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn an_error_never_repeats_a_password() {
        assert_eq!(abridged("ALTER ROLE x LOGIN PASSWORD 'secret'"), "ALTER ROLE x LOGIN");
    }
}
