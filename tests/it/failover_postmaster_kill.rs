//! The postmaster alone is killed, while one backend commits without a pause and never looks up. A postmaster's death
//! is no fence (F31): the guard is, and it ends the backends too.

use crate::support::{PATIENCE, Town, Writer, healthy, now_ms, primary};
use rustix::process::Signal;
use sqlx::{PgConnection, Row};
use std::collections::BTreeSet;
use std::time::Instant;
use tokio::time::timeout;

/// Commits on the server's side, one after the other, with no client in between.
const LOOPS: &str = "do $$ begin loop insert into busy (by) values ('server'); commit; end loop; end $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postmaster_dies_and_its_busy_backend_dies_before_the_next_epoch_opens() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let old = primary(&before);
    town.sql(&old, "create table busy (id bigserial primary key, by text not null)").await.unwrap();
    let writer = Writer::start(&town).await;
    let client = town.connect(&old).await.unwrap();
    let client = tokio::spawn(commit_without_a_pause(client));
    let mut looping = town.connect(&old).await.unwrap();
    let backend: i32 =
        sqlx::raw_sql("select pg_backend_pid()").fetch_one(&mut looping).await.unwrap().try_get(0).unwrap();
    let looping = tokio::spawn(async move { sqlx::raw_sql(LOOPS).execute(&mut looping).await });
    town.eventually("the busy backend to commit", async || {
        let rows = town.sql(&old, "select count(*)::text from busy where by = 'server'").await.ok()?;
        (rows[0].parse::<u64>().ok()? > 100).then_some(())
    })
    .await;
    let here = town.machine(&old).backends("");
    let busy = here.into_iter().find(|process| process.pid == backend).expect("a backend that loops");

    let killed_at = now_ms();
    town.machine(&old).postmaster().expect("PostgreSQL runs").signal(Signal::KILL);
    let after = town.until("another epoch is open", |s| s.open && s.epoch > before.epoch).await;
    let opened = Instant::now();
    assert!(
        !busy.alive(),
        "a backend of epoch {} outlived the opening of epoch {}",
        before.epoch,
        after.epoch
    );
    assert_eq!(after.epoch, before.epoch.next());

    let told = timeout(PATIENCE, looping).await.expect("a dead backend ends its client").unwrap();
    assert!(told.is_err(), "the loop never ends by itself");
    let Committed { acknowledged, last_at } =
        timeout(PATIENCE, client).await.expect("a dead backend ends its client").unwrap();
    assert!(last_at < opened, "a commit of the old epoch was acknowledged after the next one had opened");
    let new = primary(&after);
    let there = town.sql(&new, "select id::text from busy where by = 'client'").await.unwrap();
    let there: BTreeSet<i64> = there.iter().map(|id| id.parse().unwrap()).collect();
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(
        lost.is_empty() && acknowledged.len() > 10,
        "of {} acknowledged, lost: {lost:?}",
        acknowledged.len()
    );

    writer.acknowledged(&town, 100).await;
    eprintln!("write outage {} ms", writer.longest_gap(killed_at).ms);
    let whole = town.until("the old primary streams again, by itself", healthy).await;
    assert_eq!(whole.epoch, after.epoch);
    writer.verdict(&town).await;
}

/// What a client was told, until its connection ended.
struct Committed {
    acknowledged: BTreeSet<i64>,
    last_at: Instant,
}

async fn commit_without_a_pause(mut connection: PgConnection) -> Committed {
    let mut committed = Committed { acknowledged: BTreeSet::new(), last_at: Instant::now() };
    loop {
        let insert = sqlx::raw_sql("insert into busy (by) values ('client') returning id");
        match insert.fetch_one(&mut connection).await {
            Ok(row) => committed.acknowledged.insert(row.try_get(0).expect("the id that was returned")),
            Err(_) => return committed,
        };
        committed.last_at = Instant::now();
    }
}
