//! What is wanted of the commits, and how many instances, changed on a cluster that takes writes: the rule follows, PostgreSQL's
//! own setting with it, and nobody who writes notices.

use crate::support::{Machine, Town, Writer, asynchronous, healthy, instance, primary};
use interrex_cluster::status::ClusterStatus;

/// The rule in force waits for so many of so many standbys, and the primary's PostgreSQL says the same.
async fn waits_for(town: &Town, acks: u32, standbys: usize) {
    let rule = format!("waits for {acks} of ");
    let what = format!("commits to wait for {acks} of {standbys} standbys");
    let status = town
        .until(&what, |s| {
            let members = s.instances.iter().filter(|i| i.role == "standby" && i.in_sync_set).count();
            healthy(s) && s.spec.acks == acks && s.rule.contains(&rule) && members == standbys
        })
        .await;
    let shown = town.sql(&primary(&status), "show synchronous_standby_names").await.unwrap().concat();
    assert!(shown.starts_with(&format!("ANY {acks} (")), "{shown}");
    assert_eq!(shown.matches("ix").count(), standbys, "{shown}");
    let show = town.ctl(&["show", "demo"]).await;
    assert!(show.out.contains(&rule), "{show:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_and_instances_are_changed_while_the_application_writes() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;
    waits_for(&town, 1, 2).await;
    for (change, acks, also) in [("acks=2", 2, ""), ("acks=1", 1, ""), ("when_alone=block", 1, "min_acks=1 ")]
    {
        let set = town.ctl(&["set", "demo", change]).await;
        assert_eq!((set.code, set.out.as_str()), (0, format!("demo: {also}{change}\n").as_str()), "{set:?}");
        waits_for(&town, acks, 2).await;
        writer.acknowledged(&town, 50).await;
    }

    let set = town.ctl(&["set", "demo", "instances=4"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    town.bring("n4");
    waits_for(&town, 1, 3).await;
    let set = town.ctl(&["set", "demo", "acks=3"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    waits_for(&town, 3, 3).await;
    writer.acknowledged(&town, 50).await;
    let after = town.healthy("four instances").await;
    assert_eq!(after.spec.min_acks, 3, "writes wait for all, as if it had been created so");
    assert_eq!((after.epoch, primary(&after)), (before.epoch, primary(&before)), "nobody was failed over");
    assert_eq!(instance(&after, "n4").incarnation.0, 1, "it was cloned once");
    writer.verdict(&town).await;
}

/// A commit of the application waits for a standby.
pub(crate) async fn a_write_waits(town: &Town, primary: &str) {
    let waiting = "select count(*)::text from pg_stat_activity where wait_event = 'SyncRep'";
    town.eventually("a write to wait", async || {
        town.sql(primary, waiting).await.ok().filter(|count| count.concat() != "0")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_on_alone_waits_as_soon_as_the_operator_says_so_and_goes_on_when_he_says_so() {
    let mut town = Town::of_two_and_a_vote().await;
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster of two").await;
    let p = primary(&before);
    let standby = if p == "n1" { "n2" } else { "n1" };
    let writer = Writer::start(&town).await;
    let set = town.ctl(&["set", "demo", "alone_after=2s"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    town.machine(standby).kill();
    town.until("the primary to go on alone", |s| s.open && asynchronous(s) && s.waits.is_empty()).await;
    writer.acknowledged(&town, 20).await;

    for (when_alone, text, work_mem) in [
        ("block", "writes wait", "11MB"),
        ("continue", "commits are asynchronous", "12MB"),
        ("block", "writes wait", "13MB"),
    ] {
        let set = town.ctl(&["set", "demo", &format!("when_alone={when_alone}")]).await;
        assert_eq!(set.code, 0, "{set:?}");
        let says = |s: &ClusterStatus| {
            s.problems.iter().any(|p| p.code == "alone" && p.evidence.iter().any(|line| line.contains(text)))
        };
        town.until(&format!("the status to say that {text}"), says).await;
        match when_alone {
            "block" => a_write_waits(&town, &p).await,
            _ => writer.acknowledged(&town, 20).await,
        }
        // Where writes wait nobody is there who could prove the rule, and parameters do not wait for that.
        let set = town.ctl(&["set", "demo", &format!("work_mem={work_mem}")]).await;
        assert_eq!(set.code, 0, "{set:?}");
        town.eventually("the parameter to be set", async || {
            town.sql(&p, "show work_mem").await.ok().filter(|shown| shown.concat() == work_mem)
        })
        .await;
    }
    town.machine(standby).start();
    writer.acknowledged(&town, 20).await;
    let after = town.healthy("a cluster of two").await;
    assert_eq!((after.epoch, primary(&after)), (before.epoch, p), "none of this is a reason to fail over");
    writer.verdict(&town).await;
}
