//! A primary that runs and serves nobody: its postmaster alone hangs, and all of it. It is replaced, though its agent is
//! well, and in the first case sessions that were there go on. One that is merely full is left alone.

use crate::support::{Town, Writer, healthy, now_ms, primary};
use rustix::process::Signal;
use sqlx::PgConnection;
use std::time::{Duration, Instant};

/// Longer than `hung_after`, within which a server that is taken for hung would have been replaced.
const LEFT_ALONE: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_replaced_and_one_that_is_full_is_not() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;

    let sessions = every_connection(&town, &primary(&before)).await;
    let since = Instant::now();
    while since.elapsed() < LEFT_ALONE {
        let now = town.status().await.expect("the cluster answers");
        assert_eq!((now.epoch, primary(&now)), (before.epoch, primary(&before)), "{:?}", now.problems);
        assert!(!now.problems.iter().any(|problem| problem.code == "primary-hung"), "{:?}", now.problems);
    }
    drop(sessions);

    let mut hung = before;
    for whole in [false, true] {
        let old = primary(&hung);
        let mut session = town.connect(&old).await.unwrap();
        let machine = town.machine(&old);
        let postmaster = machine.postmaster().expect("PostgreSQL runs");
        let mut stopped = if whole { machine.backends("") } else { Vec::new() };
        stopped.push(postmaster);
        let stopped_at = now_ms();
        stopped.iter().for_each(|process| process.signal(Signal::STOP));
        if !whole {
            let answer = sqlx::raw_sql("select").execute(&mut session).await;
            answer.expect("a session that is there goes on without its postmaster");
        }
        let after = town.until("another primary is open", |s| s.open && s.epoch > hung.epoch).await;
        assert_eq!(after.epoch, hung.epoch.next());
        assert_ne!(primary(&after), old);
        // It acknowledges nothing meanwhile: its standbys were sealed.
        town.eventually("what hung to be gone", async || {
            stopped.iter().all(|process| !process.alive()).then_some(())
        })
        .await;
        let answer = sqlx::raw_sql("select").execute(&mut session).await;
        answer.expect_err("a session of the old primary");
        let why = town.told("failover-begun", after.epoch.0).await;
        assert!(why.iter().any(|why| why.contains("does not answer")), "{why:?}");
        writer.acknowledged(&town, 100).await;
        let what = if whole { "all of it" } else { "its postmaster" };
        eprintln!("{what} hung: write outage {} ms", writer.longest_gap(stopped_at).ms);
        hung = town.until("the old primary streams again, by itself", healthy).await;
        assert_eq!(hung.epoch, after.epoch);
    }
    writer.verdict(&town).await;
}

/// As many sessions as the server takes of an application.
async fn every_connection(town: &Town, machine: &str) -> Vec<PgConnection> {
    let mut sessions = Vec::new();
    loop {
        match town.connect(machine).await {
            Ok(session) => sessions.push(session),
            Err(full) => {
                let full = full.to_string();
                assert!(full.contains("remaining connection slots"), "after {}: {full}", sessions.len());
                return sessions;
            }
        }
    }
}
