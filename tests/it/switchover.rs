//! A planned change of primary, under a writer: nothing is lost, nothing is rewound, and when it cannot be done the
//! primary stays or comes back, and it is said why.

use crate::support::{
    Answer, Machine, PATIENCE, Town, Writer, asynchronous, healthy, instance, now_ms, primary, run,
};
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;
use sqlx::PgConnection;
use tokio::time::timeout;

/// The two that are not `name`.
fn others(name: &str) -> Vec<&'static str> {
    ["n1", "n2", "n3"].into_iter().filter(|other| *other != name).collect()
}

/// How long writes may stand still when a switchover goes as planned. It takes half a second on a machine with nothing else
/// to do; this is what a busy one with a debug build keeps, and far less than an old primary that is waited for in vain.
const PLANNED_OUTAGE_AT_MOST: u64 = 6_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_handed_over_and_back_and_nothing_is_lost_or_rewound() {
    let town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;
    let old = primary(&before);
    let to = others(&old)[1];

    let plan = town.ctl(&["switchover", "demo", "--to", to, "--dry-run"]).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.out.contains(&format!("the switchover of demo to {to} would begin")), "{plan:?}");
    assert_eq!(town.status().await.map(|s| s.epoch), Some(before.epoch), "a dry run changes nothing");

    for target in [to, old.as_str()] {
        let asked_at = now_ms();
        let told = town.ctl(&["switchover", "demo", "--to", target]).await;
        assert_eq!(told.code, 0, "{told:?}");
        assert!(told.out.contains(&format!("{target} takes writes in epoch")), "{told:?}");
        writer.acknowledged(&town, 50).await;
        let outage = writer.longest_gap(asked_at).ms;
        eprintln!("switchover to {target}: write outage {outage} ms");
        assert!(outage < PLANNED_OUTAGE_AT_MOST, "{outage} ms");
        let whole = town.healthy("the cluster after a switchover").await;
        assert_eq!(primary(&whole), target);
    }

    let after = town.healthy("the cluster after two switchovers").await;
    assert_eq!(after.epoch.0, before.epoch.0 + 2);
    let after_first = before.epoch.next().0;
    let rebuilt =
        [town.told("rewinding", after_first).await, town.told("cloning", after_first).await].concat();
    assert_eq!(rebuilt, [""; 0], "a handed over primary has nothing to be rewound");
    writer.verdict(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_third_standby_holds_the_switchover_up_for_a_second_at_most_and_the_primary_stays_when_it_is_the_target()
 {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;
    let old = primary(&before);
    let [to, hung] = others(&old)[..] else { unreachable!("three machines") };
    let receiver = town.machine(hung).backends("walreceiver");
    let receiver = receiver.first().expect("a standby that streams");
    receiver.signal(Signal::STOP);

    let asked_at = now_ms();
    let told = town.ctl(&["switchover", "demo", "--to", to]).await;
    assert_eq!(told.code, 0, "{told:?}");
    writer.acknowledged(&town, 50).await;
    let outage = writer.longest_gap(asked_at).ms;
    eprintln!("switchover beside a hung standby: write outage {outage} ms");
    assert!(outage < PLANNED_OUTAGE_AT_MOST, "{outage} ms");
    receiver.signal(Signal::CONT);
    town.until("the hung one follows again", healthy).await;

    // Its agent is gone: it cannot take over, and nothing begins.
    let epoch = town.healthy("the cluster").await.epoch;
    town.machine(hung).kill();
    town.until("its silence to be noticed", |s| !healthy(s)).await;
    let way_out = format!("; {old} could take over instead: interrex switchover demo --to {old}");
    for more in [["--dry-run"].as_slice(), &[]] {
        let refused = town.ctl(&[&["switchover", "demo", "--to", hung], more].concat()).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.err.contains(&format!(": {hung} is ")) && refused.err.contains(&way_out),
            "{refused:?}"
        );
    }
    assert_eq!(town.status().await.map(|s| s.epoch), Some(epoch), "a refused switchover changes nothing");
    town.machine(hung).start();
    town.until("all is well", healthy).await;
    writer.verdict(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_primary_s_machine_dies_while_it_hands_over_and_the_target_takes_over_all_the_same() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;
    let old = primary(&before);
    let to = others(&old)[1];
    town.lead_elsewhere_than(&old).await;

    let begun = town.ctl(&["switchover", "demo", "--to", to, "--no-wait"]).await;
    assert_eq!(begun.code, 0, "{begun:?}");
    let struck = async || {
        // Struck between the begin of the new epoch and its opening, wherever that is.
        let status = town.client.get_cluster(&"demo".parse().unwrap()).await.ok()?;
        (status.epoch > before.epoch).then_some(())
    };
    timeout(PATIENCE, async { while struck().await.is_none() {} }).await.expect("a new epoch begins");
    town.machine(&old).kill();
    town.until("somebody takes writes", |s| s.open && s.epoch > before.epoch).await;
    writer.acknowledged(&town, 50).await;
    town.machine(&old).start();
    town.until("all is well", healthy).await;
    writer.verdict(&town).await;
}

/// How long writes may stand still when a switchover does not go as planned: the old primary's stop with somebody who
/// hangs, the time that the target is given, and a promotion; and as much again for a busy machine.
const OUTAGE_AT_MOST: u64 = 15_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_s_machine_dies_while_the_primary_hands_over_and_the_primary_comes_back_and_says_why() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;
    let old = primary(&before);
    let to = others(&old)[1];
    town.lead_elsewhere_than(to).await;
    // It receives nothing any more, so that it cannot have all before it dies: the old primary, which stops, waits for it
    // a while.
    let [receiver] = town.machine(to).backends("walreceiver").try_into().expect("one receiver");
    let coordinators = town.machines.iter().map(Machine::coordinator).collect::<Vec<_>>().join(",");
    let command = ["switchover", "demo", "--to", to, "--coordinators", &coordinators].map(str::to_owned);
    receiver.signal(Signal::STOP);
    let asked_at = now_ms();
    let switched = tokio::spawn(run(command));
    town.until("the new epoch to begin", |s| s.epoch > before.epoch).await;
    town.machine(to).kill();

    let told = switched.await.expect("the command does not panic");
    assert_eq!(told.code, 1, "{told:?}");
    let epoch = before.epoch.next();
    let why = format!(
        "{to} did not become primary, {old} did in epoch {epoch}: {old} is primary instead of {to}: "
    );
    assert!(told.err.contains(&why), "{told:?}");
    let back = town.until("the old primary takes writes", |s| s.open).await;
    assert_eq!((primary(&back), back.epoch), (old, epoch));
    writer.acknowledged(&town, 50).await;
    let outage = writer.longest_gap(asked_at).ms;
    eprintln!("switchover whose target died: write outage {outage} ms");
    assert!(outage < OUTAGE_AT_MOST, "{outage} ms");
    town.machine(to).start();
    town.until("all is well", healthy).await;
    writer.verdict(&town).await;
}

/// It holds up the shutdown checkpoint.
async fn session_that_does_not_end(town: &mut Town, primary: &str) -> PgConnection {
    let mut session = town.connect(primary).await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut session).await.unwrap();
    let backends = town.machine(primary).backends("");
    backends.iter().find(|one| one.pid == pid).expect("the session's process").signal(Signal::STOP);
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_that_cannot_stop_in_good_order_is_ended_and_somebody_takes_writes_with_all_of_it() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let writer = Writer::start(&town).await;
    let old = primary(&before);
    let to = others(&old)[1];
    let _session = session_that_does_not_end(&mut town, &old).await;
    let asked_at = now_ms();
    let told = town.ctl(&["switchover", "demo", "--to", to]).await;
    let open = town.until("somebody takes writes", |s| s.open && s.epoch > before.epoch).await;
    // What was not sent when it was ended, was not acknowledged; then it is the only one that has it, and comes back.
    match primary(&open) == to {
        true => assert_eq!(told.code, 0, "{told:?}"),
        false => assert!(told.code == 1 && told.err.contains(" is primary instead of "), "{told:?}"),
    }
    writer.acknowledged(&town, 50).await;
    let outage = writer.longest_gap(asked_at).ms;
    eprintln!(
        "switchover from a primary that does not stop: write outage {outage} ms, {} is primary",
        primary(&open)
    );
    assert!(outage < OUTAGE_AT_MOST, "{outage} ms");
    town.until("all is well", healthy).await;
    writer.verdict(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asynchronous_primary_dies_while_it_hands_over_and_what_may_be_lost_is_said_before_and_after() {
    let mut town = Town::up().await;
    let set = town.ctl(&["set", "demo", "acks=0", "max_data_loss=16MB"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    let before = town.until("commits to be asynchronous", asynchronous).await;
    let old = primary(&before);
    let to = others(&old)[1];
    town.lead_elsewhere_than(&old).await;
    let plan = town.ctl(&["switchover", "demo", "--to", to, "--dry-run"]).await;
    let may_lose = format!(
        "may lose: nothing if {old} stops in good order; if it dies meanwhile, up to 16777216 bytes (max_data_loss) of its \
         asynchronous commits\n"
    );
    assert!(plan.code == 0 && plan.out.contains(&may_lose), "{plan:?}");

    let told = dies_meanwhile(&mut town, &before, &["switchover", "demo", "--to", to]).await;
    assert_eq!(told.code, 1, "{told:?}");
    let epoch = before.epoch.next();
    let loss =
        format!("epoch {epoch} did not begin in good order: asynchronous commits of {old} may be lost: ");
    assert!(told.err.contains(&loss), "{told:?}");
    let open = town.until("somebody takes writes", |s| s.open).await;
    assert_eq!(open.epoch, epoch);
    town.machine(&old).start();
    let streams = |s: &ClusterStatus| instance(s, &old).server == "streaming" && s.waits.is_empty();
    town.until("the old primary streams", streams).await;

    // A restart of the primary is a switchover to itself: it says the same of the same end.
    let old = primary(&open);
    town.lead_elsewhere_than(&old).await;
    let told = dies_meanwhile(&mut town, &open, &["restart", "demo", &old]).await;
    assert_eq!(told.code, 1, "{told:?}");
    let epoch = epoch.next();
    let loss =
        format!("epoch {epoch} did not begin in good order: asynchronous commits of {old} may be lost: ");
    let missed = format!("{old} did not become primary, ");
    assert!(told.err.contains(&missed) && told.err.contains(&loss), "{told:?}");
}

/// The primary's machine dies while it hands over, unable to stop; gives what the command says to that.
async fn dies_meanwhile(town: &mut Town, before: &ClusterStatus, command: &[&str]) -> Answer {
    let old = primary(before);
    let _session = session_that_does_not_end(town, &old).await;
    let coordinators = town.machines.iter().map(Machine::coordinator).collect::<Vec<_>>().join(",");
    let command: Vec<String> =
        command.iter().chain(&["--coordinators", &coordinators]).map(|word| (*word).to_owned()).collect();
    let told = tokio::spawn(run(command));
    town.until("the new epoch to begin", |s| s.epoch > before.epoch).await;
    town.machine(&old).kill();
    told.await.expect("the command does not panic")
}
