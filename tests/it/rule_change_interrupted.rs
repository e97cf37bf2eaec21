//! A standby leaves the commit rule and comes back, and whoever carries the change out dies in the middle of it: the agent,
//! the coordinators' leader, PostgreSQL. Each time the change is finished, or obeyed by the failover that follows, and no
//! acknowledged write is lost. [`crate::rule_change_at_each_step`] has each step of a change of how many must acknowledge.
//!
//! The postmaster is stopped meanwhile: it accepts no connection and reloads nothing, so that the record has the new
//! rule and PostgreSQL certainly does not.

use crate::support::{CLUSTER, Process, Town, Writer, changing, healthy, primary};
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_change_survives_the_death_of_agent_coordinator_and_postgresql() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let p = primary(&before);
    let leader = town.lead_elsewhere_than(&p).await;
    let other =
        ["n1", "n2", "n3"].into_iter().find(|name| *name != p && *name != leader).expect("three machines");
    // A postmaster that is stopped for longer would be failed over as hung.
    let set = town.ctl(&["set", CLUSTER, "hung_after=60s"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    let writer = Writer::start(&town).await;

    // The agent dies while the rule without `other` is in the record, and in no server.
    let (receiver, postmaster) = leaves(&mut town, &p, other).await;
    town.machine(&p).kill_node();
    town.machine(&p).start();
    postmaster.signal(Signal::CONT);
    town.until("the rule without it to be in force", |s| !changing(s) && !may_acknowledge(s, other)).await;

    // The leader dies while the rule with `other` is being made.
    receiver.signal(Signal::CONT);
    town.until("the rule with it to be in the record", |s| may_acknowledge(s, other)).await;
    town.machine(&leader).kill_node();
    town.until("the rule with it to be in force", |s| !changing(s) && may_acknowledge(s, other)).await;
    town.machine(&leader).start();
    let whole = town.healthy("the cluster with its third coordinator").await;
    assert_eq!(
        (whole.epoch, primary(&whole)),
        (before.epoch, p.clone()),
        "none of this is a reason to fail over"
    );

    // PostgreSQL dies while both rules are listed: either may have acknowledged.
    let (receiver, postmaster) = leaves(&mut town, &p, other).await;
    postmaster.signal(Signal::KILL);
    receiver.signal(Signal::CONT);
    let after = town.until("a primary of another epoch", |s| s.open && s.epoch > before.epoch).await;
    writer.acknowledged(&town, 50).await;
    let whole = town.until("all three to stream again", healthy).await;
    assert!(whole.epoch >= after.epoch && !changing(&whole), "{whole:#?}");
    writer.verdict(&town).await;
}

/// Stops the receiver of `standby`, and the primary's postmaster just before the rule changes for that; returns when
/// the record has the new rule beside the old one.
async fn leaves(town: &mut Town, primary: &str, standby: &str) -> (Process, Process) {
    let [receiver] = town.machine(standby).backends("walreceiver").try_into().expect("one receiver");
    receiver.signal(Signal::STOP);
    let problem = |s: &ClusterStatus| s.problems.iter().any(|problem| problem.sentence.contains(standby));
    town.until("the silence of the standby to be seen", problem).await;
    let postmaster = town.machine(primary).postmaster().expect("PostgreSQL runs");
    postmaster.signal(Signal::STOP);
    town.until("the rule without it to be in the record", |s| changing(s) && !may_acknowledge(s, standby))
        .await;
    (receiver, postmaster)
}

fn may_acknowledge(status: &ClusterStatus, name: &str) -> bool {
    status.instances.iter().any(|instance| instance.name.as_str() == name && instance.in_sync_set)
}
