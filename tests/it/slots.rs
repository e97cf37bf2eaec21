//! A standby that is away for a while. Its slot may be gone: whoever may, drops an idle one, and PostgreSQL gives one up that
//! holds too much. The primary's agent makes it again, and the standby comes back. Nobody waits for its restart meanwhile.

use crate::support::{Town, healthy, instance, primary};
use interrex_cluster::status::ClusterStatus;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_somebody_dropped_is_made_again() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let (old, away) = (primary(&before), if primary(&before) == "n1" { "n2" } else { "n1" });
    town.machine(away).kill();
    town.until("the standby out of the rule", |s| {
        s.problems.iter().any(|problem| problem.code.starts_with("standby"))
    })
    .await;
    let slots = "select slot_name from pg_replication_slots where not active";
    let idle = town.sql(&old, slots).await.unwrap();
    assert_eq!(idle.len(), 1, "{idle:?}");
    town.machine(&old).psql(&format!("select pg_drop_replication_slot('{}')", idle[0]));
    town.eventually("the slot to be there again", async || {
        (town.sql(&old, slots).await.ok()? == idle).then_some(())
    })
    .await;

    let silent = |s: &ClusterStatus| instance(s, away).report_age_ms.is_none_or(|age| age > 3_000);
    town.until("it to be silent for long", silent).await;
    let refused = town.ctl(&["restart", "demo"]).await;
    let why = format!("nothing is restarted: the agent of {away} is silent");
    assert_eq!((refused.code, refused.err.contains(&why)), (1, true), "{refused:?}");

    town.machine(away).start();
    let after = town.until("the standby streams again", healthy).await;
    assert_eq!(instance(&after, away).incarnation, instance(&before, away).incarnation, "not cloned");
    assert_eq!(after.epoch, before.epoch);
}
