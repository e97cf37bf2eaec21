//! Scenes of a writer and one real server: what is counted, what is measured, what the verdict says.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::statement::CREATE_TABLE;
use crate::testing::{Server, login, sql, until};
use crate::{
    Follow, HostSpec, LedgerError, LedgerFile, Outcome, Tally, Verdict, WriterConfig, WriterSummary,
    longest_gap, monotonic_ms, verify, write,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A writer at work on a server, watched through its file alone.
struct Scene {
    path: PathBuf,
    follow: Follow,
    stop: oneshot::Sender<()>,
    writer: JoinHandle<Result<WriterSummary, LedgerError>>,
}

impl Scene {
    fn begin(server: &Server, change: impl FnOnce(&mut WriterConfig)) -> Self {
        let path = server.dir().join("ledger");
        let mut config = WriterConfig::new(vec![server.host()], login(), path.clone());
        // A busy machine must not make an answer late, unless that is what the scene is about.
        config.deadline = PATIENCE;
        change(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        // Made here, so that there is something to follow before the writer had its first turn.
        std::fs::File::options().create(true).append(true).open(&path).unwrap();
        let follow = Follow::open(&path).unwrap();
        let writer = tokio::spawn(write(config, async { drop(stopped.await) }));
        Scene { path, follow, stop, writer }
    }

    async fn until(&mut self, what: &str, condition: impl Fn(&Tally) -> bool) -> Tally {
        until(what, async || self.follow.refresh().unwrap().tally(), condition).await
    }

    async fn end(self) -> (WriterSummary, LedgerFile) {
        self.stop.send(()).unwrap();
        let summary = self.writer.await.unwrap().unwrap();
        (summary, LedgerFile::read(&self.path).unwrap())
    }
}

async fn verdict(file: &LedgerFile, server: &Server) -> Verdict {
    verify(file, &[server.host()], &login(), PATIENCE).await.unwrap()
}

#[tokio::test]
async fn every_answer_is_counted_as_what_it_was() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    // A host that accepts and says nothing, and one where nobody listens, must not slow the writer down.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = |port| HostSpec { host: "127.0.0.1".into(), port };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let others = [local(mute.local_addr().unwrap().port()), local(closed)];
    let began = monotonic_ms();
    let mut scene = Scene::begin(&server, |config| {
        config.hosts.splice(0..0, others);
    });
    scene.until("30 acknowledgements", |tally| tally.ok >= 30).await;
    sql(&mut admin, "alter table ledger add constraint closed check (client is null) not valid").await;
    scene.until("5 refusals", |tally| tally.failed >= 5).await;
    sql(&mut admin, "alter table ledger drop constraint closed").await;
    let refused = scene.until("5 refusals", |_| true).await;
    scene.until("10 more acknowledgements", |tally| tally.ok >= refused.ok + 10).await;
    let (summary, file) = scene.end().await;

    assert_eq!(summary.tally, file.tally());
    assert_eq!((summary.tally.warned, summary.tally.unknown, summary.connects), (0, 0, 1));
    assert_eq!(file.attempts().len() as i64, summary.last_id.unwrap() - summary.first_id.unwrap() + 1);
    let (_, first) = file.acknowledged().next().unwrap();
    assert!(first.at_ms - began < PATIENCE.as_millis() as u64, "the mute host was waited for");
    let said = verdict(&file, &server).await;
    assert!(said.is_clean(), "{said:?}");
    assert_eq!((said.acked, said.instances[0].rows), (summary.tally.ok, summary.tally.ok));
}

#[tokio::test]
async fn a_crash_costs_an_outage_and_at_most_the_statement_under_way() {
    let mut server = Server::start().await;
    let mut scene = Scene::begin(&server, |_| {});
    scene.until("20 acknowledgements", |tally| tally.ok >= 20).await;
    server.crash();
    // The next statement goes into the dead connection: that one id, and no other, is the price.
    let before = scene.until("the writer notices", |tally| tally.unknown >= 1).await;
    let noticed = monotonic_ms();
    server.resume().await;
    scene.until("20 acknowledgements more", |tally| tally.ok >= before.ok + 20).await;
    let (summary, file) = scene.end().await;

    assert_eq!(summary.connects, 2);
    assert_eq!((summary.tally.failed, summary.tally.warned), (0, 0));
    assert_eq!(summary.tally.unknown, 1, "no id is used up without a connection");
    // Not equal: on a busy machine a later pause may have been longer still.
    let (_, first) = file.acknowledged().find(|(_, attempt)| attempt.at_ms > noticed).unwrap();
    let gap = longest_gap(&file, Some(noticed)).unwrap();
    assert!(gap.ms >= first.at_ms - noticed, "{gap:?} is shorter than the outage until {}", first.at_ms);
    assert_eq!(gap.ms, gap.to_ms - gap.from_ms);
    let said = verdict(&file, &server).await;
    assert!(said.is_clean(), "{said:?}");
    assert_eq!(said.unknown_kept + said.unknown_gone, summary.tally.unknown);
}

#[tokio::test]
async fn a_cancelled_wait_for_replication_is_warned_and_not_acknowledged() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    let mut scene = Scene::begin(&server, |_| {});
    scene.until("an acknowledgement", |tally| tally.ok >= 1).await;
    sql(&mut admin, "alter system set synchronous_standby_names = 'ANY 1 (nobody)'").await;
    sql(&mut admin, "select pg_reload_conf()::text").await;
    let cancel = "select pg_cancel_backend(pid)::text from pg_stat_activity
                  where application_name = 'interrex-ledger' and wait_event = 'SyncRep' and query like 'insert%'";
    until("a statement waits for nobody", async || sql(&mut admin, cancel).await, |done| !done.is_empty())
        .await;
    scene.until("a warning", |tally| tally.warned >= 1).await;
    sql(&mut admin, "alter system reset synchronous_standby_names").await;
    sql(&mut admin, "select pg_reload_conf()::text").await;
    let before = scene.until("what was counted then", |_| true).await;
    scene.until("acknowledgements again", |tally| tally.ok >= before.ok + 3).await;
    let (summary, file) = scene.end().await;

    assert_eq!((summary.tally.warned, summary.tally.unknown, summary.tally.failed), (1, 0, 0));
    let warned = file.attempts().values().find(|attempt| attempt.outcome == Outcome::Warned).unwrap();
    let why = warned.why.as_deref().unwrap();
    assert!(why.contains("canceling wait for synchronous replication"), "{why}");
    assert_eq!(verdict(&file, &server).await.warned_kept, 1);
}

#[tokio::test]
async fn a_statement_without_an_answer_is_unknown_and_never_tried_again() {
    let server = Server::start().await;
    let mut scene = Scene::begin(&server, |config| config.deadline = Duration::from_millis(500));
    scene.until("an acknowledgement", |tally| tally.ok >= 1).await;
    let mut holder = server.connect().await;
    sql(&mut holder, "begin").await;
    sql(&mut holder, "lock table ledger in share mode").await;
    scene.until("two unknown", |tally| tally.unknown >= 2).await;
    sql(&mut holder, "commit").await;
    let before = scene.until("what was counted then", |_| true).await;
    scene.until("acknowledgements again", |tally| tally.ok >= before.ok + 3).await;
    let (summary, file) = scene.end().await;

    let mut admin = server.connect().await;
    let orphans = "select pid::text from pg_stat_activity
                   where application_name = 'interrex-ledger' and query like 'insert%' and state = 'active'";
    until("the last orphan is done", async || sql(&mut admin, orphans).await, Vec::is_empty).await;
    let said = verdict(&file, &server).await;
    assert!(said.is_clean(), "{said:?}");
    assert!(said.unknown_kept >= 1, "what was sent before the lock went may be there: {said:?}");
    assert_eq!(said.unknown_kept + said.unknown_gone, summary.tally.unknown);
}

#[tokio::test]
async fn a_row_that_vanished_is_lost_and_a_row_nobody_sent_is_a_phantom() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    let mut scene = Scene::begin(&server, |config| config.first_id = Some(100));
    scene.until("10 acknowledgements", |tally| tally.ok >= 10).await;
    let (_, file) = scene.end().await;
    sql(&mut admin, "delete from ledger where id in (103, 104)").await;
    let client = file.client().unwrap();
    let invented = format!("insert into ledger values (7, '{client}', now()), (8, 'another client', now())");
    sql(&mut admin, &invented).await;

    let said = verdict(&file, &server).await;
    assert!(!said.is_clean());
    assert_eq!((said.lost, said.phantom), (BTreeSet::from([103, 104]), BTreeSet::from([7])));
    assert_eq!(said.instances[0].lost, BTreeSet::from([103, 104]));

    sql(&mut admin, "drop table ledger").await;
    assert_eq!(verdict(&file, &server).await.lost.len() as u64, file.tally().ok);
}

#[tokio::test]
async fn a_second_run_goes_on_after_the_last_id_of_the_file() {
    let server = Server::start().await;
    let mut scene = Scene::begin(&server, |_| {});
    scene.until("3 acknowledgements", |tally| tally.ok >= 3).await;
    let (first, _) = scene.end().await;
    let mut scene = Scene::begin(&server, |_| {});
    scene.until("3 acknowledgements more", |tally| tally.ok >= first.tally.ok + 3).await;
    let (second, file) = scene.end().await;
    assert_eq!(second.first_id, first.last_id.map(|last| last + 1));
    assert_eq!(file.runs().len(), 2);
    assert!(verdict(&file, &server).await.is_clean());
}

#[tokio::test]
async fn a_former_primary_that_swallows_statements_does_not_win_against_one_that_answers() {
    let (former, next) = (Server::start().await, Server::start().await);
    let (mut on_former, mut on_next) = (former.connect().await, next.connect().await);
    // The next one looks like a standby: it answers and takes no writes.
    sql(&mut on_next, CREATE_TABLE).await;
    sql(&mut on_next, "alter system set default_transaction_read_only = on").await;
    sql(&mut on_next, "select pg_reload_conf()::text").await;
    let read_only = "select current_setting('transaction_read_only')";
    until("it is read-only", async || sql(&mut on_next, read_only).await, |seen| seen == &["on"]).await;
    let mut scene = Scene::begin(&former, |config| {
        config.hosts.push(next.host());
        config.deadline = Duration::from_millis(500);
    });
    scene.until("an acknowledgement", |tally| tally.ok >= 1).await;
    sql(&mut on_former, "alter system set synchronous_standby_names = 'ANY 1 (nobody)'").await;
    sql(&mut on_former, "select pg_reload_conf()::text").await;
    // From the first wait on the former one acknowledges nothing more; before it a busy machine may have been slow.
    let waits = "select pid::text from pg_stat_activity where wait_event = 'SyncRep'";
    until("a statement waits for nobody", async || sql(&mut on_former, waits).await, |seen| !seen.is_empty())
        .await;
    let waiting = scene.until("what was counted then", |_| true).await;
    let swallowed = |tally: &Tally| tally.unknown > waiting.unknown;
    let alone = scene.until("the former one swallows a statement", swallowed).await;
    sql(&mut on_next, "alter system reset default_transaction_read_only").await;
    sql(&mut on_next, "select pg_reload_conf()::text").await;
    scene.until("the next one acknowledges", |tally| tally.ok >= alone.ok + 20).await;
    let (_, file) = scene.end().await;

    let by: BTreeSet<&str> =
        file.acknowledged().skip(alone.ok as usize).map(|(_, a)| a.host.as_str()).collect();
    assert_eq!(by, BTreeSet::from([next.host().to_string().as_str()]));
    let said = verify(&file, &[former.host(), next.host()], &login(), PATIENCE).await.unwrap();
    assert!(!said.is_clean(), "two primaries with different rows are never clean");
    assert_eq!(said.instances.iter().filter(|instance| instance.primary).count(), 2);
    assert_eq!(said.lost.len() as u64, said.acked, "each server lacks what the other acknowledged");
}
