//! What an operator changes on a running cluster: parameters, judged by PostgreSQL before anybody has them; restarts,
//! standbys first; a new copy; an instance that leaves. The application goes on writing.

use crate::support::{Machine, PATIENCE, Town, Writer, healthy, instance, primary};
use interrex_cluster::command::Asking;
use interrex_cluster::status::{ClusterStatus, ProblemLine};
use std::time::Duration;

/// What every instance shows for a parameter.
async fn shown(town: &Town, parameter: &str) -> Vec<String> {
    let mut values = Vec::new();
    for machine in ["n1", "n2", "n3"] {
        let value = town.sql(machine, &format!("show {parameter}")).await.unwrap_or_default();
        values.extend(value);
    }
    values
}

async fn all_show(town: &Town, parameter: &str, value: &str) {
    town.eventually(&format!("{parameter} to be {value} everywhere"), async || {
        (shown(town, parameter).await == [value; 3]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_judged_first_rolled_out_and_take_a_restart_where_they_need_one() {
    let town = Town::up().await;
    let writer = Writer::start(&town).await;

    let set = town.ctl(&["set", "demo", "work_mem=7MB", "alone_after=8s"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    all_show(&town, "work_mem", "7MB").await;

    for (bad, why) in [
        ("work_mem=lots", "invalid value for parameter"),
        ("no_such_parameter=1", "unrecognized configuration parameter"),
        ("synchronous_standby_names=x", "is set by Interrex itself"),
        ("max_connections=3", "must be less than"),
        ("session_preload_libraries=no_such", "session_preload_libraries: could not access file"),
        ("shared_preload_libraries=no_such", "could not access file \"no_such\""),
        ("acks=3", "3 instances have 2 standbys"),
    ] {
        let refused = town.ctl(&["set", "demo", "min_acks=1", bad]).await;
        assert_eq!(refused.code, 1, "{bad}: {refused:?}");
        assert!(refused.err.contains(why), "{bad}: {refused:?}");
    }
    let spec = town.status().await.expect("a healthy cluster answers").spec;
    assert_eq!((spec.min_acks, spec.parameters.len()), (0, 1), "what is refused is refused whole");

    // One of those that replay checks (F25): it takes a restart, of the standbys first.
    let set = town.ctl(&["set", "demo", "max_connections=151"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    // Who was told that it is set finds everybody who waits for a restart, at once.
    let now = town.status().await.expect("a healthy cluster answers");
    assert!(now.instances.iter().all(|i| i.pending_restart == ["max_connections"]), "{now:?}");
    let show = town.ctl(&["show", "demo"]).await;
    assert!(show.out.contains("has yet to be restarted for max_connections"), "{show:?}");
    let restarted = town.ctl(&["restart", "demo", "--pending"]).await;
    assert_eq!(restarted.code, 0, "{restarted:?}");
    town.until("no restart to be pending", |s| {
        healthy(s) && s.instances.iter().all(|i| i.pending_restart.is_empty())
    })
    .await;
    all_show(&town, "max_connections", "151").await;
    // Lowered, it is so on the primary first: a standby with less than the primary ran with would not even start.
    let set = town.ctl(&["set", "demo", "max_connections=83"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    let lowered = town.status().await.expect("a healthy cluster answers");
    let pending = lowered.instances.iter().filter(|i| !i.pending_restart.is_empty());
    assert_eq!(pending.map(|i| i.name.to_string()).collect::<Vec<_>>(), [primary(&lowered)]);
    let restarted = town.ctl(&["restart", "demo", "--pending"]).await;
    assert_eq!(restarted.code, 0, "{restarted:?}");
    town.until("no restart to be pending", |s| {
        healthy(s) && s.instances.iter().all(|i| i.pending_restart.is_empty())
    })
    .await;
    all_show(&town, "max_connections", "83").await;
    assert_eq!(primary(&town.healthy("after lowering").await), primary(&lowered), "nobody else took over");
    writer.acknowledged(&town, 50).await;

    // Lowered behind everybody's back on a standby, it starts all the same.
    let standby =
        if primary(&town.status().await.expect("a healthy cluster answers")) == "n1" { "n2" } else { "n1" };
    let machine = town.machines.iter().find(|machine| machine.name == standby).expect("three machines");
    let auto = machine.pgdata().join("postgresql.auto.conf");
    let before = std::fs::read_to_string(&auto).unwrap();
    std::fs::write(&auto, format!("{before}max_prepared_transactions = 0\nmax_worker_processes = 1\n"))
        .unwrap();
    let restarted = town.ctl(&["restart", "demo", standby]).await;
    assert_eq!(restarted.code, 0, "{restarted:?}");
    let after = town.healthy("a standby that was configured too low").await;
    assert_eq!(instance(&after, standby).incarnation.0, 1, "it is started, not cloned anew");
    writer.acknowledged(&town, 50).await;
    writer.verdict(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_made_anew_and_an_instance_leaves_for_good() {
    let mut town = Town::up().await;
    let writer = Writer::start(&town).await;
    let before = town.status().await.expect("a healthy cluster answers");
    let old = primary(&before);
    let standby = if old == "n3" { "n2" } else { "n3" };

    let refused = town.ctl(&["reinit", "demo", &old]).await;
    assert_eq!((refused.code, refused.err.contains("switchover")), (1, true), "{refused:?}");
    let unknown = town.ctl(&["reinit", "demo", "n9"]).await;
    assert_eq!((unknown.code, unknown.err.contains("interrex show demo")), (1, true), "{unknown:?}");

    let done = town.ctl(&["reinit", "demo", standby, "--discard-old"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let whole = town.healthy("the cluster with a new copy").await;
    let incarnation = |status, name| instance(status, name).incarnation;
    assert_eq!(incarnation(&whole, standby).0, incarnation(&before, standby).0 + 1);

    let refused = town.ctl(&["instance", "remove", "demo", &old]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let left = town.ctl(&["instance", "remove", "demo", standby]).await;
    assert_eq!(left.code, 0, "{left:?}");
    let two = town.until("two instances, all well", |s| s.instances.len() == 2 && healthy(s)).await;
    assert_eq!(two.spec.instances, 2);
    let slots = town.sql(&old, "select count(*)::text from pg_replication_slots").await.unwrap();
    assert_eq!(slots, ["1"], "nobody's slot holds WAL for who has left");

    // Its node comes back under the same directory: it is not taken in, and nobody else minds.
    town.machine(standby).kill();
    town.machine(standby).start();
    town.eventually("its agent to be refused", async || {
        let machine = town.machines.iter().find(|machine| machine.name == standby)?;
        machine.log().contains("was removed from cluster demo").then_some(())
    })
    .await;
    let refused = town.ctl(&["instance", "remove", "demo", if old == "n1" { "n2" } else { "n1" }]).await;
    assert_eq!((refused.code, refused.err.contains("acks=0")), (1, true), "{refused:?}");
    writer.acknowledged(&town, 50).await;
    // Who asks in vain is told of for as long as it asks.
    let turned_away = |s: &ClusterStatus| s.problems.iter().any(|problem| problem.code == "turned-away");
    town.until("the one that was removed to be seen asking", turned_away).await;
    town.machine(standby).kill();
    town.healthy("two instances").await;
    let stay: Vec<_> = town.machines.iter().filter(|m| m.name != standby).map(Machine::host).collect();
    writer.verdict_over(&town, &stay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_out_ends_at_a_standby_that_does_not_come_up_and_a_hung_one_is_restarted() {
    let town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    // More than there is, and in pages that there are none of: no machine says so before it is asked for the memory.
    let set = town.ctl(&["set", "demo", "huge_pages=on", "shared_buffers=64GB"]).await;
    assert_eq!(set.code, 0, "PostgreSQL says so only when it starts: {set:?}");
    let pending = town.status().await.expect("the cluster answers");
    let told = pending.instances.iter().all(|i| i.pending_restart == ["huge_pages", "shared_buffers"]);
    assert!(told, "all that waits for a restart is known once `set` is done: {:?}", pending.instances);
    let ended = town.ctl(&["restart", "demo", "--pending"]).await;
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    for words in
        ["does not start again: ", "could not map", "left as they are: ", "set demo huge_pages=VALUE shared"]
    {
        assert!(ended.err.contains(words), "{words}: {ended:?}");
    }
    let now = town.status().await.expect("the cluster goes on");
    assert_eq!((now.epoch, primary(&now)), (before.epoch, primary(&before)));

    let set = town.ctl(&["set", "demo", "huge_pages=", "shared_buffers="]).await;
    assert_eq!(set.code, 0, "{set:?}");
    let well = town
        .until("the standby to start with what it had before", |s| {
            healthy(s) && s.instances.iter().all(|i| i.pending_restart.is_empty())
        })
        .await;
    let standby = if primary(&well) == "n1" { "n2" } else { "n1" };
    assert_eq!(instance(&well, standby).incarnation, instance(&before, standby).incarnation, "not cloned");

    let machine = town.machines.iter().find(|machine| machine.name == standby).expect("three machines");
    let hung = machine.postmaster().expect("PostgreSQL runs");
    hung.signal(rustix::process::Signal::STOP);
    // Its agent has to begin another session. It goes on streaming, which the primary takes for a standby that is well.
    for session in machine.backends(": interrex postgres") {
        session.signal(rustix::process::Signal::TERM);
    }
    let told = town.until("what answers nothing to be told", |s| s.problems.iter().any(is_hung)).await;
    let evidence = &told.problems.iter().find(|problem| is_hung(problem)).expect("it was there").evidence;
    assert!(evidence[0].contains(": no answer within "), "with what the agent met: {evidence:?}");
    let restarted = town.ctl(&["restart", "demo", standby]).await;
    assert_eq!(restarted.code, 0, "{restarted:?}");
    town.healthy("the cluster with a standby that hung").await;
}

fn is_hung(problem: &ProblemLine) -> bool {
    problem.code == "standby-hung"
}

/// Wherever it dies: the server that was started to be promoted at once, and lets nobody in before, is promoted or ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_dies_while_its_primary_is_started_with_what_was_lowered_leaves_nobody_stuck() {
    let town = Town::up().await;
    let old = primary(&town.status().await.expect("a healthy cluster answers"));
    // The node is the coordinator too, and this scene is about the agent.
    town.lead_elsewhere_than(&old).await;
    dies_while_lowered(town, &old).await;
}

/// Where nobody else could be elected, no new epoch ends it either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_one_whose_node_dies_while_it_is_started_with_what_was_lowered_serves_again() {
    let mut town = Town::of(&["n1"]).await;
    town.machines[0].start();
    town.healthy("a cluster of one").await;
    dies_while_lowered(town, "n1").await;
}

async fn dies_while_lowered(mut town: Town, old: &str) {
    let writer = Writer::start(&town).await;
    let set = town.ctl(&["set", "demo", "max_connections=83"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    town.until("the restart to be shown as pending", |s| !instance(s, old).pending_restart.is_empty()).await;

    let (cluster, name) = ("demo".parse().unwrap(), old.parse().unwrap());
    let epoch =
        town.client.ask_instance(&cluster, &name, Asking::Restart).await.expect("it may be restarted");
    let lowered = "PostgreSQL was started with what was lowered";
    let begun = async {
        while !town.machines.iter().any(|machine| machine.name == old && machine.log().contains(lowered)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("it is started with less");
    town.machine(old).kill_node();
    town.machine(old).start();
    let after = town.until("all is well", |s| Some(s.epoch) >= epoch && healthy(s)).await;
    eprintln!(
        "{old} was restarted in epoch {epoch:?}; {} is primary of epoch {}",
        primary(&after),
        after.epoch
    );
    writer.acknowledged(&town, 50).await;
    writer.verdict(&town).await;
}
