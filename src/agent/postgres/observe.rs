//! One look at a live server, in one round trip on the kept connection.
//!
//! Times that PostgreSQL shows are wall clocks, a standby's even of another machine: they are only compared with
//! themselves ([`super::heard`]).

use super::error::{Error, Result};
use super::heard::Who;
use super::layout::{REPLICATION, SUPERUSER};
use super::observed::{InRecovery, NotInRecovery, Observed, ObservedReceiver, ObservedRole, ObservedSender};
use super::remote::timeline_of;
use super::server::Server;
use super::session::{Questions, Row};
use crate::process::boottime_now;
use interrex_cluster::ids::SystemId;
use interrex_cluster::report::REPLAY_CHECKS;
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
        let rows = self.ask_again(questions, deadline).await?;
        let ages = self.heard().look(stamps(&rows));
        let answer = Answer { rows: &rows, ages };
        // A primary has none; to look through its processes costs more than all the rest.
        let receiver_process = answer.in_recovery() && self.has_receiver_process()?;
        let mut observed = answer.observed(receiver_process)?;
        if let ObservedRole::Primary(primary) = &mut observed.role {
            self.time_senders(primary);
        }
        Ok(observed)
    }

    /// Since when each standby has been behind, as far as this handle has looked.
    fn time_senders(&self, primary: &mut NotInRecovery) {
        let (mut ends, now) = (self.ends(), boottime_now());
        let least = primary.senders.iter().map(|sender| sender.replayed.unwrap_or_default()).min();
        ends.look(primary.flushed, least.unwrap_or(primary.flushed), now);
        for sender in &mut primary.senders {
            sender.behind_ms = ends.behind_ms(sender.replayed.unwrap_or_default(), now);
        }
    }
}

/// Each row begins with what it is about.
fn questions() -> Questions {
    let settings = SHOWN.iter().chain(REPLAY_CHECKS.iter());
    let settings: Vec<String> =
        settings.map(|s| format!("select 'setting', '{s}', current_setting('{s}')")).collect();
    let server = format!(
        "select 'server', (select system_identifier from pg_control_system())::text, recovery::text,
            case when not recovery then pg_walfile_name(pg_current_wal_insert_lsn()) end,
            case when not recovery then pg_current_wal_flush_lsn()::text end,
            case when recovery then pg_last_wal_replay_lsn()::text end,
            case when recovery then pg_last_wal_receive_lsn()::text end,
            case when recovery then pg_get_wal_replay_pause_state() end,
            (select count(*) from pg_stat_activity where backend_type = 'client backend'
                and usename is distinct from '{SUPERUSER}' and usename is distinct from '{REPLICATION}')::text
            from (select pg_is_in_recovery() as recovery) as r"
    );
    let receiver =
        "select 'receiver', status, received_tli::text, coalesce(flushed_lsn, receive_start_lsn)::text,
            sender_host, pid::text, extract(epoch from last_msg_receipt_time)::text, sender_port::text
            from pg_stat_wal_receiver";
    let senders = "select 'sender', application_name, state, flush_lsn::text, replay_lsn::text,
            pid::text, extract(epoch from reply_time)::text from pg_stat_replication";
    [server, receiver.to_owned(), senders.to_owned(), settings.join(" union all ")]
}

/// Who spoke when, by clocks that say nothing here but whether they differ from before.
fn stamps(rows: &[Row]) -> BTreeMap<Who, String> {
    rows.iter().filter_map(|row| Some((who(row)?, field(row, 6)?.to_owned()))).collect()
}

/// The walreceiver, or the walsender of a name.
fn who(row: &Row) -> Option<Who> {
    let name = match field(row, 0)? {
        "receiver" => "",
        "sender" => field(row, 1)?,
        _ => return None,
    };
    Some((field(row, 5)?.to_owned(), name.to_owned()))
}

struct Answer<'a> {
    rows: &'a [Row],
    ages: BTreeMap<Who, u64>,
}

impl Answer<'_> {
    fn rows<'b>(&'b self, about: &'b str) -> impl Iterator<Item = &'b Row> {
        self.rows.iter().filter(move |row| field(row, 0) == Some(about))
    }

    fn in_recovery(&self) -> bool {
        self.rows("server").any(|row| field(row, 2) == Some("true"))
    }

    /// Nothing heard yet is quiet without end.
    fn age(&self, row: &Row) -> u64 {
        who(row).and_then(|who| self.ages.get(&who).copied()).unwrap_or(u64::MAX)
    }

    fn observed(&self, receiver_process: bool) -> Result<Observed> {
        let row = self.rows("server").next().ok_or_else(|| missing("server"))?;
        let role = if self.in_recovery() {
            ObservedRole::Standby(InRecovery {
                replayed: lsn(row, 5)?,
                received: lsn(row, 6)?,
                paused: field(row, 7).is_some_and(|state| state != "not paused"),
                receiver: self.rows("receiver").next().map(|row| receiver(row, self.age(row))).transpose()?,
                receiver_process,
            })
        } else {
            ObservedRole::Primary(NotInRecovery {
                timeline: timeline_of(field(row, 3).unwrap_or_default())?,
                flushed: lsn(row, 4)?.ok_or_else(|| missing("flush LSN"))?,
                senders: self.rows("sender").map(|row| sender(row, self.age(row))).collect::<Result<_>>()?,
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

fn receiver(row: &Row, quiet_ms: u64) -> Result<ObservedReceiver> {
    Ok(ObservedReceiver {
        streaming: field(row, 1) == Some("streaming"),
        timeline: TimelineId(number(row, 2).and_then(|n| u32::try_from(n).ok()).unwrap_or_default()),
        flushed: lsn(row, 3)?.unwrap_or_default(),
        quiet_ms,
        host: field(row, 4).unwrap_or_default().to_owned(),
        port: number(row, 7).and_then(|n| u16::try_from(n).ok()).unwrap_or_default(),
    })
}

fn sender(row: &Row, reply_age_ms: u64) -> Result<ObservedSender> {
    Ok(ObservedSender {
        name: field(row, 1).unwrap_or_default().to_owned(),
        streaming: field(row, 2) == Some("streaming"),
        flushed: lsn(row, 3)?,
        replayed: lsn(row, 4)?,
        reply_age_ms,
        behind_ms: 0,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_compares_a_clock_with_another() {
        let question = questions().concat();
        assert!(
            !["now()", "clock_timestamp", "current_timestamp"].iter().any(|clock| question.contains(clock))
        );
    }

    #[test]
    fn ages_are_of_the_process_and_name_that_spoke() {
        let row = |cells: &[&str]| -> Row {
            cells.iter().map(|c| (!c.is_empty()).then(|| (*c).to_owned())).collect()
        };
        let rows = [
            row(&["receiver", "streaming", "7", "0/1", "h", "11", "1.5", "5432"]),
            row(&["sender", "ix_b", "streaming", "0/1", "0/1", "12", "2.5"]),
            row(&["sender", "ix_c", "catchup", "", "", "13", ""]),
        ];
        let stamps = stamps(&rows);
        let who = |pid: &str, name: &str| (pid.to_owned(), name.to_owned());
        assert_eq!(stamps.keys().cloned().collect::<Vec<_>>(), [who("11", ""), who("12", "ix_b")]);
        let answer = Answer { rows: &rows, ages: BTreeMap::from([(who("12", "ix_b"), 40)]) };
        let ages: Vec<u64> = answer.rows("sender").map(|row| answer.age(row)).collect();
        assert_eq!(ages, [40, u64::MAX], "who never answered is quiet without end");
    }
}
