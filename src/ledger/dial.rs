//! Finds the writable primary: all hosts are dialled at once, the first that says it takes writes wins, the others
//! are dropped. A standby's connection is kept and asked again, because asking costs a tenth of a millisecond and
//! dialling a whole new server process. Refusals are not errors here, only the reason why it goes on.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// How often a host that is not a primary is asked or dialled again. Short against any failover, long against the
/// cost of a PostgreSQL backend's start, which the machine under test has to pay.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection to a server that said it takes writes.
pub(crate) struct Link {
    pub(crate) conn: PgConnection,
    /// Its place in the list of hosts.
    pub(crate) host: usize,
}

enum Answer {
    Writable(Link),
    NotYet { host: usize, why: String },
}

/// Dials until there is a writable primary; cancelling it drops every connection.
///
/// `suspect` is the host whose last statement was never answered. It is taken only once every other host has said
/// something, or had `deadline` for it: a former primary that is cut off still claims to take writes, and being
/// nearest it would win every race. `on_refusal` hears why a host will not do.
pub(crate) async fn dial(
    hosts: &[PgConnectOptions],
    deadline: Duration,
    suspect: Option<usize>,
    mut on_refusal: impl FnMut(usize, &str),
) -> Link {
    let (tell, mut answers) = mpsc::channel(hosts.len().max(1));
    let mut calls = JoinSet::new();
    for (host, options) in hosts.iter().enumerate() {
        calls.spawn(call(host, options.clone(), deadline, tell.clone()));
    }
    let mut unheard: Vec<usize> = (0..hosts.len()).filter(|host| Some(*host) != suspect).collect();
    let mut held: Option<Link> = None;
    let patience = Instant::now() + deadline;
    loop {
        if unheard.is_empty()
            && let Some(link) = held.take()
        {
            return link;
        }
        tokio::select! {
            answer = answers.recv() => match answer {
                Some(Answer::Writable(link)) if Some(link.host) == suspect => held = Some(link),
                Some(Answer::Writable(link)) => return link,
                Some(Answer::NotYet { host, why }) => {
                    unheard.retain(|other| *other != host);
                    on_refusal(host, &why);
                }
                // Cannot be: `tell` lives as long as this function. Waiting for ever is what no host deserves.
                None => std::future::pending().await,
            },
            () = sleep_until(patience), if held.is_some() => unheard.clear(),
        }
    }
}

async fn call(host: usize, options: PgConnectOptions, deadline: Duration, tell: mpsc::Sender<Answer>) {
    let mut kept = None;
    loop {
        let next = Instant::now() + PAUSE;
        match ask(&options, deadline, &mut kept).await {
            Ok(conn) => {
                // The receiver is gone when another host has won; the connection is dropped with the answer.
                let _ = tell.send(Answer::Writable(Link { conn, host })).await;
                return;
            }
            Err(why) => {
                if tell.send(Answer::NotYet { host, why }).await.is_err() {
                    return;
                }
            }
        }
        sleep_until(next).await;
    }
}

/// One question to one host; a standby's connection is left in `kept` for the next time.
async fn ask(
    options: &PgConnectOptions,
    deadline: Duration,
    kept: &mut Option<PgConnection>,
) -> Result<PgConnection, String> {
    let too_slow = |_| format!("no answer within {} ms", deadline.as_millis());
    let mut conn = match kept.take() {
        Some(conn) => conn,
        None => {
            timeout(deadline, options.connect()).await.map_err(too_slow)?.map_err(|why| why.to_string())?
        }
    };
    let question =
        sqlx::raw_sql("select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'")
            .fetch_one(&mut conn);
    let row = timeout(deadline, question).await.map_err(too_slow)?.map_err(|why| why.to_string())?;
    if row.try_get::<bool, _>(0).map_err(|why| why.to_string())? {
        return Ok(conn);
    }
    *kept = Some(conn);
    Err("it is read-only (a standby)".to_owned())
}

/// Ends a connection politely when that is quick; a dead server is not waited for.
pub(crate) async fn hang_up(conn: PgConnection, deadline: Duration) {
    let _ = timeout(deadline, conn.close()).await;
}
