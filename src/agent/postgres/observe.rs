//! One look at a live server, in one round trip on the kept connection.

use super::control_data::REPLAY_CHECKS;
use super::error::{Error, Result};
use super::layout::{REPLICATION, SUPERUSER};
use super::observed::{InRecovery, NotInRecovery, Observed, ObservedReceiver, ObservedRole, ObservedSender};
use super::remote::timeline_of;
use super::server::Server;
use super::session::Row;
use interrex_cluster::ids::SystemId;
use interrex_cluster::wal::{Lsn, TimelineId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings shown beside those that replay checks.
const SHOWN: [&str; 4] = ["synchronous_standby_names", "primary_conninfo", "fsync", "full_page_writes"];

impl Server {
    /// One look. Below a millisecond on a healthy server, the connect aside.
    ///
    /// # Errors
    /// `Starting`, `Silent` and `Down` say in which way there is nothing to see.
    pub async fn observe(&self, deadline: Duration) -> Result<Observed> {
        let rows = self.ask(&question(), deadline).await?;
        let receiver_process = self.has_receiver_process()?;
        Answer(&rows).observed(receiver_process)
    }
}

/// Each row begins with what it is about.
fn question() -> String {
    let settings = SHOWN.iter().chain(REPLAY_CHECKS.iter().map(|(setting, _)| setting));
    let settings: Vec<String> =
        settings.map(|s| format!("select 'setting', '{s}', current_setting('{s}')")).collect();
    format!(
        "select 'server', (select system_identifier from pg_control_system())::text, recovery::text,
            case when not recovery then pg_walfile_name(pg_current_wal_insert_lsn()) end,
            case when not recovery then pg_current_wal_flush_lsn()::text end,
            case when recovery then pg_last_wal_replay_lsn()::text end,
            case when recovery then pg_last_wal_receive_lsn()::text end,
            case when recovery then pg_get_wal_replay_pause_state() end,
            (select count(*) from pg_stat_activity where backend_type = 'client backend'
                and usename is distinct from '{SUPERUSER}' and usename is distinct from '{REPLICATION}')::text
            from (select pg_is_in_recovery() as recovery) as r;
        select 'receiver', status, received_tli::text, coalesce(flushed_lsn, receive_start_lsn)::text,
            {age}, sender_host, sender_port::text from pg_stat_wal_receiver;
        select 'sender', application_name, state, flush_lsn::text, replay_lsn::text, {reply}
            from pg_stat_replication;
        {settings}",
        age = milliseconds_since("last_msg_receipt_time"),
        reply = milliseconds_since("reply_time"),
        settings = settings.join(" union all "),
    )
}

fn milliseconds_since(column: &str) -> String {
    format!("greatest(0, extract(epoch from clock_timestamp() - {column}) * 1000)::bigint::text")
}

struct Answer<'a>(&'a [Row]);

impl Answer<'_> {
    fn rows<'b>(&'b self, about: &'b str) -> impl Iterator<Item = &'b Row> {
        self.0.iter().filter(move |row| row.first().and_then(Option::as_deref) == Some(about))
    }

    fn observed(&self, receiver_process: bool) -> Result<Observed> {
        let row = self.rows("server").next().ok_or_else(|| missing("server"))?;
        let role = if field(row, 2) == Some("true") {
            ObservedRole::Standby(InRecovery {
                replayed: lsn(row, 5)?,
                received: lsn(row, 6)?,
                paused: field(row, 7).is_some_and(|state| state != "not paused"),
                receiver: self.rows("receiver").next().map(receiver).transpose()?,
                receiver_process,
            })
        } else {
            ObservedRole::Primary(NotInRecovery {
                timeline: timeline_of(field(row, 3).unwrap_or_default())?,
                flushed: lsn(row, 4)?.ok_or_else(|| missing("flush LSN"))?,
                senders: self.rows("sender").map(sender).collect::<Result<_>>()?,
            })
        };
        let settings: BTreeMap<_, _> = self
            .rows("setting")
            .filter_map(|row| Some((field(row, 1)?.to_owned(), field(row, 2)?.to_owned())))
            .collect();
        Ok(Observed {
            system: SystemId(number(row, 1).ok_or_else(|| missing("system identifier"))?),
            role,
            settings,
            clients: number(row, 8).unwrap_or_default(),
        })
    }
}

fn receiver(row: &Row) -> Result<ObservedReceiver> {
    Ok(ObservedReceiver {
        streaming: field(row, 1) == Some("streaming"),
        timeline: TimelineId(number(row, 2).and_then(|n| u32::try_from(n).ok()).unwrap_or_default()),
        flushed: lsn(row, 3)?.unwrap_or_default(),
        // Nothing heard yet is quiet without end.
        quiet_ms: number(row, 4).unwrap_or(u64::MAX),
        host: field(row, 5).unwrap_or_default().to_owned(),
        port: number(row, 6).and_then(|n| u16::try_from(n).ok()).unwrap_or_default(),
    })
}

fn sender(row: &Row) -> Result<ObservedSender> {
    Ok(ObservedSender {
        name: field(row, 1).unwrap_or_default().to_owned(),
        streaming: field(row, 2) == Some("streaming"),
        flushed: lsn(row, 3)?,
        replayed: lsn(row, 4)?,
        reply_age_ms: number(row, 5).unwrap_or(u64::MAX),
    })
}

fn field(row: &Row, at: usize) -> Option<&str> {
    row.get(at)?.as_deref()
}

fn number(row: &Row, at: usize) -> Option<u64> {
    field(row, at)?.parse().ok()
}

fn lsn(row: &Row, at: usize) -> Result<Option<Lsn>> {
    field(row, at)
        .map(|text| text.parse().map_err(|e| Error::Unknown(format!("{e}, in an observation"))))
        .transpose()
}

fn missing(what: &str) -> Error {
    Error::Unknown(format!("the observation has no {what}"))
}
