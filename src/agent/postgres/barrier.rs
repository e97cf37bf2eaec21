//! The barrier: proof that a primary works by a commit rule, and by no older one (PROTOCOL.md, 'Commit rules').
//!
//! 1. A fresh connection shows the setting. If the one before was '', the checkpointer, which keeps the flag that makes
//!    commits wait at all, has to have it too (F7): it reloads before it begins a checkpoint, so a CHECKPOINT that was
//!    asked for after that and completed says so. That is a proof of its own, which the caller asks for first and once.
//! 2. Every walsender works by it (F8). Each reads the new setting at the top of its loop, before answers and before
//!    sending: whoever has sent past an LSN written after the reload has come by there, or is about to; whoever has
//!    sent past a second one, written after that, has done so. One that passes neither within two seconds is ended.
//! 3. `k` of the names have flushed everything up to after 1 and 2 (F9).

use super::clone::CLONE;
use super::error::{Error, Result};
use super::receiver::LOOK_AGAIN;
use super::server::{PATIENCE, Server};
use super::session::{Row, Session};
use super::settings::SyncText;
use interrex_cluster::wal::Lsn;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a walsender may take to come past both marks.
const SENDER_PATIENCE: Duration = Duration::from_secs(2);

impl Server {
    /// `Ok`: the rule is in force on this primary. Settings and reload are the caller's, before; so is
    /// [`Server::prove_checkpointer`] where the setting was `''` since the server was started.
    ///
    /// # Errors
    /// `Silent` when something is still missing at the deadline: it may be asked again, nothing is lost by it.
    pub async fn barrier(&self, rule: &SyncText, deadline: Duration) -> Result<()> {
        let until = Instant::now() + deadline;
        let shown = |text: &str| rule.is_shown_by(text);
        self.wait_until_fresh("show synchronous_standby_names", shown, until).await?;
        let mut session = self.connect(deadline).await?;
        // The marks are local commits: the barrier must not wait for the rule that it proves.
        session.run("SET synchronous_commit = local", PATIENCE).await?;
        pass_senders(&mut session, until).await?;
        let mark = mark(&mut session).await?;
        wait_for_flush(&mut session, rule, mark, until).await?;
        session.close().await;
        Ok(())
    }

    /// The checkpointer has the flag that makes commits wait at all (F7): a fresh connection shows names, and a
    /// CHECKPOINT that was asked for after that completed.
    ///
    /// # Errors
    /// `Silent` when something is still missing at the deadline: it may be asked again.
    pub async fn prove_checkpointer(&self, deadline: Duration) -> Result<()> {
        let until = Instant::now() + deadline;
        let waits = |shown: &str| !shown.is_empty();
        self.wait_until_fresh("show synchronous_standby_names", waits, until).await?;
        self.checkpoint(deadline).await
    }

    /// A checkpoint, spread over nothing: as fast as the disk allows.
    ///
    /// # Errors
    /// `Silent` when it takes longer than `deadline`; it may be asked again.
    pub async fn checkpoint(&self, deadline: Duration) -> Result<()> {
        let mut session = self.connect(deadline).await?;
        session.run("CHECKPOINT", deadline).await?;
        session.close().await;
        Ok(())
    }
}

/// Writes a record and gives an LSN that is flushed and at or past its end.
async fn mark(session: &mut Session) -> Result<Lsn> {
    session.run("select pg_logical_emit_message(true, 'interrex', 'barrier')::text", PATIENCE).await?;
    session.lsn("select pg_current_wal_flush_lsn()::text", PATIENCE).await
}

/// The two-step barrier over every walsender that streams now.
async fn pass_senders(session: &mut Session, until: Instant) -> Result<()> {
    let mut waited_for: BTreeSet<i32> = senders(session).await?.into_keys().collect();
    let patience = Instant::now() + SENDER_PATIENCE;
    let mut told = false;
    for _step in 0..2 {
        let mark = mark(session).await?;
        loop {
            let now = senders(session).await?;
            // Who is gone works by nothing any more; whoever came since read the new setting at its start.
            waited_for.retain(|pid| now.contains_key(pid));
            let behind: Vec<i32> = waited_for.iter().filter(|pid| now[pid] < Some(mark)).copied().collect();
            if behind.is_empty() {
                break;
            }
            if Instant::now() >= patience && !told {
                for pid in &behind {
                    session.run(&format!("select pg_terminate_backend({pid})::text"), PATIENCE).await?;
                }
                told = true;
            }
            give_up_at(until, &format!("walsenders {behind:?} to work by the new rule"))?;
            sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

/// Walsenders that can acknowledge, with what they have sent. A process that was told to end counts until it has.
async fn senders(session: &mut Session) -> Result<BTreeMap<i32, Option<Lsn>>> {
    let sql = format!(
        "select pid::text, sent_lsn::text from pg_stat_replication
         where state in ('streaming', 'stopping') and application_name <> '{CLONE}'"
    );
    session.rows(&sql, PATIENCE).await?.iter().map(sender).collect()
}

fn sender(row: &Row) -> Result<(i32, Option<Lsn>)> {
    let field = |i: usize| row.get(i).and_then(Option::as_deref);
    let pid = field(0).and_then(|pid| pid.parse().ok());
    let sent = field(1).map(str::parse).transpose();
    match (pid, sent) {
        (Some(pid), Ok(sent)) => Ok((pid, sent)),
        _ => Err(Error::Unknown(format!("a walsender, shown as {row:?}"))),
    }
}

/// Waits until `k` of the names have flushed `mark`.
async fn wait_for_flush(session: &mut Session, sync: &SyncText, mark: Lsn, until: Instant) -> Result<()> {
    let sql = format!(
        "select lower(application_name) from pg_stat_replication
         where state in ('streaming', 'stopping') and sync_priority > 0 and flush_lsn >= '{mark}'"
    );
    let names: BTreeSet<String> = sync.names.iter().map(|name| name.to_ascii_lowercase()).collect();
    loop {
        let rows = session.rows(&sql, PATIENCE).await?;
        // A set: two walsenders under one name are one standby (F11).
        let have: BTreeSet<&str> = rows
            .iter()
            .filter_map(|row| row.first()?.as_deref())
            .filter(|name| names.contains(*name))
            .collect();
        if have.len() >= sync.k as usize {
            return Ok(());
        }
        give_up_at(until, &format!("{} of {:?} to have flushed {mark}", sync.k, sync.names))?;
        sleep(LOOK_AGAIN).await;
    }
}

fn give_up_at(until: Instant, what: &str) -> Result<()> {
    if Instant::now() < until {
        return Ok(());
    }
    Err(Error::Silent { what: what.to_owned(), within: until.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::super::beat::Beat;
    use super::super::settings::{Role, Settings};
    use super::super::testing::{House, LONG};
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};

    #[tokio::test]
    async fn a_setting_that_is_shown_proves_nothing_while_the_checkpointer_has_not_heard_of_it() {
        let house = House::new();
        let a = house.primary("a").await;
        let find = "select pid::text from pg_stat_activity where backend_type = 'checkpointer'";
        let checkpointer = Pid::from_raw(a.value(find).await.parse().unwrap()).unwrap();
        kill_process(checkpointer, Signal::STOP).unwrap();
        let sync = SyncText { k: 1, names: vec!["ix_nobody_yet".to_owned()] };
        a.write_settings(&Settings { role: Role::Primary { sync: sync.clone() } }).await.unwrap();
        a.reload().await.unwrap();
        a.until("show synchronous_standby_names", "ANY 1 (\"ix_nobody_yet\")").await;

        assert!(
            matches!(a.beat(LONG).await, Ok(Beat::Acknowledged { .. })),
            "nobody has it, and it came back"
        );
        let soon = Duration::from_millis(500);
        let not_yet = a.prove_checkpointer(soon).await;
        assert!(not_yet.is_err(), "it was proved by a stopped checkpointer");

        kill_process(checkpointer, Signal::CONT).unwrap();
        a.prove_checkpointer(LONG).await.unwrap();
        let waits = a.beat(soon).await;
        assert!(matches!(waits, Err(Error::Silent { .. })), "now it waits: {waits:?}");
    }
}
