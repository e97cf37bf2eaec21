//! The coordinator that leads dies, on a machine that hosts no primary. That is no failure of the primary.

use crate::support::{self, Town, Writer, now_ms};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinators_leader_dies_and_the_primary_writes_on() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let primary = support::primary(&before);
    let led = town.lead_elsewhere_than(&primary).await;
    let writer = Writer::start(&town).await;

    let killed_at = now_ms();
    town.machine(&led).kill_node();
    let leads = town
        .eventually("another coordinator to lead", async || {
            let members = town.client.list_coordinators().await.ok()?;
            let leader = members.into_iter().find(|m| m.leader)?.machine.to_string();
            (leader != led).then_some(leader)
        })
        .await;
    writer.acknowledged(&town, 100).await;
    eprintln!("{leads} leads after {led}; longest gap {} ms", writer.longest_gap(killed_at).ms);
    assert!(writer.longest_gap(killed_at).ms < 1_000, "{:?}", writer.longest_gap(killed_at));

    two_of_three_stay_two(&town, &led, &leads).await;
    town.machine(&led).start();
    let after = town.healthy("the cluster with its third coordinator").await;
    assert_eq!((after.epoch, after.primary), (before.epoch, before.primary));
    let members = town.client.list_coordinators().await.unwrap();
    assert!(members.len() == 3 && members.iter().all(|m| m.voter), "{members:#?}");
    writer.verdict(&town).await;
}

/// While one of three is dead nobody else may leave, and nobody new be added, or no quorum would be left.
async fn two_of_three_stay_two(town: &Town, dead: &str, leads: &str) {
    let other = ["n1", "n2", "n3"].into_iter().find(|name| *name != dead && *name != leads);
    let other = other.expect("three machines");
    let broken = format!(
        "interrex: without {other} 2 of 2 voters have to agree, and only 1 of them would: {dead} is not heard; start it, or \
         remove it first\n"
    );
    let refused = town.ctl(&["coordinator", "remove", other]).await;
    assert_eq!((refused.code, refused.err), (1, broken));
    let voters = town.client.list_coordinators().await.unwrap().into_iter().filter(|m| m.voter).count();
    assert_eq!(voters, 3, "nothing half done");
}
