//! The writer: one row every few milliseconds, on one connection, never the same id twice, until it is told to stop.
//!
//! It keeps to a schedule: a slow answer delays its own tick and no later one, and ticks that an outage swallowed
//! are not made up for, so that the servers are never flooded when they come back. Without a connection nothing is
//! sent and no id is used up. The first statement goes out at once when there is a connection again: its answer is
//! the end of the outage.

use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::Duration;

use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use crate::clock::{monotonic_ms, wall_ms};
use crate::dial::{Link, dial, hang_up};
use crate::error::LedgerError;
use crate::file::{Appender, LedgerFile};
use crate::record::{Entry, Mark, Outcome, Tally};
use crate::statement::{CREATE_TABLE, insert};
use crate::target::{HostSpec, Login};
use interrex_notices::Notices;

/// What a writer is to do.
#[derive(Debug)]
pub struct WriterConfig {
    /// Every instance of the cluster; at least one. Which one is the primary is found out.
    pub hosts: Vec<HostSpec>,
    /// As whom.
    pub login: Login,
    /// The ledger file, made if missing and continued if there.
    pub ledger: PathBuf,
    /// From one insert to the next; at least 1 ms.
    pub interval: Duration,
    /// For a connect and, separately, for a statement.
    pub deadline: Duration,
    /// Whose rows these are, `[A-Za-z0-9_-]+`; none draws a new name. A file that is continued keeps its own.
    pub client: Option<String>,
    /// The first id of a new file; none takes the table's largest + 1. Several writers at once need ranges apart.
    pub first_id: Option<i64>,
    /// Where to show how it goes, after every answer and every refused dial.
    pub progress: Option<watch::Sender<Progress>>,
}

impl WriterConfig {
    /// The usual writer: an insert every 10 ms, 300 ms per connect and per statement.
    #[must_use]
    pub fn new(hosts: Vec<HostSpec>, login: Login, ledger: PathBuf) -> Self {
        WriterConfig {
            hosts,
            login,
            ledger,
            interval: Duration::from_millis(10),
            deadline: Duration::from_millis(300),
            client: None,
            first_id: None,
            progress: None,
        }
    }
}

/// How a writer is doing right now.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Progress {
    /// Of this run.
    #[serde(flatten)]
    pub tally: Tally,
    /// The id sent last.
    pub last_id: Option<i64>,
    /// When the last acknowledgement without reservation arrived, `CLOCK_MONOTONIC` milliseconds.
    pub last_ok_ms: Option<u64>,
    /// The instance written to; none while there is no writable primary.
    pub host: Option<String>,
    /// What was refused last, by whom and why; none while all is well.
    pub trouble: Option<String>,
}

/// What a writer did in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriterSummary {
    /// How many of which outcome.
    #[serde(flatten)]
    pub tally: Tally,
    /// The first id sent.
    pub first_id: Option<i64>,
    /// The last id sent.
    pub last_id: Option<i64>,
    /// How often a connection to a writable primary was made.
    pub connects: u64,
}

/// Writes until `stop` is ready; the statement under way then is still waited for.
///
/// # Errors
/// When an argument is wrong or the ledger file cannot be written: an acknowledgement that cannot be kept must not be
/// asked for. Servers that refuse or die are no error.
pub async fn write(
    config: WriterConfig,
    stop: impl Future<Output = ()>,
) -> Result<WriterSummary, LedgerError> {
    let mut stop = pin!(stop);
    let mut run = Run::begin(config)?;
    loop {
        let link = tokio::select! {
            biased;
            () = stop.as_mut() => break,
            link = run.connect() => link,
        };
        if run.pour(link, stop.as_mut()).await? {
            break;
        }
    }
    run.appender.settle()?;
    Ok(run.summary)
}

struct Run {
    config: WriterConfig,
    options: Vec<PgConnectOptions>,
    client: String,
    appender: Appender,
    notices: Notices,
    ticks: Interval,
    /// Not known before a file or a table was seen.
    next_id: Option<i64>,
    table_made: bool,
    suspect: Option<usize>,
    progress: Progress,
    summary: WriterSummary,
}

impl Run {
    fn begin(config: WriterConfig) -> Result<Self, LedgerError> {
        let wrong = |argument, why: &str| Err(LedgerError::Argument { argument, why: why.to_owned() });
        if config.hosts.is_empty() {
            return wrong("--hosts", "no host given; name every instance as host:port");
        }
        if config.interval < Duration::from_millis(1) || config.deadline < Duration::from_millis(1) {
            return wrong("--interval-ms", "the interval and the deadline are at least 1 ms");
        }
        let client =
            config.client.clone().unwrap_or_else(|| format!("w{}-{}", wall_ms(), std::process::id()));
        if client.is_empty() || !client.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            return wrong("--client", "a client's name consists of letters, digits, '-' and '_'");
        }
        let (appender, known) = Appender::open(&config.ledger, &client)?;
        let orphan_limit = config.deadline * 4;
        let options = config
            .hosts
            .iter()
            .map(|host| config.login.options(host, orphan_limit).disable_statement_logging())
            .collect();
        let mut ticks = interval(config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Run {
            options,
            client: known.client().unwrap_or(&client).to_owned(),
            appender,
            notices: Notices::new(),
            ticks,
            next_id: first_id(&known, config.first_id),
            table_made: false,
            suspect: None,
            progress: Progress::default(),
            summary: WriterSummary { tally: Tally::default(), first_id: None, last_id: None, connects: 0 },
            config,
        })
    }

    /// A connection to a primary that has the table.
    async fn connect(&mut self) -> Link {
        loop {
            let (config, progress) = (&self.config, &mut self.progress);
            let mut link = dial(&self.options, config.deadline, self.suspect, |host, why| {
                progress.trouble = Some(format!("{}: {why}", config.hosts[host]));
                show(config, progress);
            })
            .await;
            self.suspect = None;
            match self.prepare(&mut link).await {
                Ok(()) => {
                    self.summary.connects += 1;
                    self.progress.host = Some(self.config.hosts[link.host].to_string());
                    self.progress.trouble = None;
                    self.show();
                    return link;
                }
                Err(why) => {
                    self.suspect = Some(link.host);
                    self.progress.trouble = Some(format!("{}: {why}", self.config.hosts[link.host]));
                    self.show();
                    // A server that takes connections but no table would otherwise be dialled without a breath.
                    sleep(self.config.interval).await;
                }
            }
        }
    }

    /// Makes the table and finds the first id, each once per run.
    async fn prepare(&mut self, link: &mut Link) -> Result<(), String> {
        let deadline = self.config.deadline;
        let too_slow = |_| format!("no answer within {} ms", deadline.as_millis());
        if !self.table_made {
            let create = sqlx::raw_sql(CREATE_TABLE).execute(&mut link.conn);
            timeout(deadline, create)
                .await
                .map_err(too_slow)?
                .map_err(|why| format!("create the table: {why}"))?;
            self.table_made = true;
        }
        if self.next_id.is_none() {
            let largest = sqlx::raw_sql("select coalesce(max(id), 0) from ledger").fetch_one(&mut link.conn);
            let row = timeout(deadline, largest).await.map_err(too_slow)?;
            let largest: Result<i64, _> = row.and_then(|row| row.try_get(0));
            self.next_id = Some(largest.map_err(|why| format!("find the largest id: {why}"))? + 1);
        }
        Ok(())
    }

    /// Writes on `link` until it fails (false) or the writer is told to stop (true).
    async fn pour(
        &mut self,
        mut link: Link,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<bool, LedgerError> {
        let host = self.config.hosts[link.host].to_string();
        loop {
            tokio::select! {
                biased;
                () = stop.as_mut() => {
                    hang_up(link.conn, self.config.deadline).await;
                    return Ok(true);
                }
                _ = self.ticks.tick() => {}
            }
            if !self.write_one(&mut link, &host).await? {
                self.progress.host = None;
                self.show();
                return Ok(false);
            }
        }
    }

    /// One id, from the note that it is sent to the note of how it ended; false when the connection is of no more use.
    async fn write_one(&mut self, link: &mut Link, host: &str) -> Result<bool, LedgerError> {
        // `prepare` has set it; a run that starts elsewhere starts at the smallest id.
        let id = self.next_id.unwrap_or(1);
        self.next_id = Some(id + 1);
        let entry = |outcome, why| Entry { id, at_ms: monotonic_ms(), outcome, host: host.to_owned(), why };
        self.appender.note(entry(Mark::Sent, None))?;
        self.summary.first_id.get_or_insert(id);
        self.summary.last_id = Some(id);

        let ending = insert(&mut link.conn, &self.notices, self.config.deadline, id, &self.client).await;
        let ended = entry(Mark::Ended(ending.outcome), ending.why);
        let at_ms = ended.at_ms;
        self.progress.trouble = ended.why.as_ref().map(|why| format!("{host}: {why}"));
        self.appender.note(ended)?;

        self.summary.tally.add(ending.outcome);
        self.progress.tally = self.summary.tally;
        self.progress.last_id = Some(id);
        if ending.outcome == Outcome::Ok {
            self.progress.last_ok_ms = Some(at_ms);
        }
        if ending.silent {
            self.suspect = Some(link.host);
        }
        self.show();
        Ok(ending.keep)
    }

    fn show(&self) {
        show(&self.config, &self.progress);
    }
}

/// A file that is continued goes on after its last id. The id its last writer died with may be in the table or not;
/// it is never used again.
fn first_id(known: &LedgerFile, wanted: Option<i64>) -> Option<i64> {
    known.attempts().last_key_value().map(|(last, _)| last + 1).or(wanted)
}

fn show(config: &WriterConfig, progress: &Progress) {
    if let Some(shown) = &config.progress {
        shown.send_replace(progress.clone());
    }
}
