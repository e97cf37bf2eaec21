//! Several clusters on the same machines: what happens to one is no matter of the others.

use crate::support::{Machine, Town, Writer, bin_dir, free, healthy, of_postgres, primary};
use interrex_cluster::ids::ClusterName;
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;
use std::fs;

/// The second cluster, on the very machines of the first.
const OTHER: &str = "other";

fn other() -> ClusterName {
    OTHER.parse().unwrap()
}

/// A second instance in a machine's node file.
fn add_other(machine: &Machine) {
    let room = machine.dir.join("pg-of-other");
    of_postgres(&room, 0o755);
    let text = fs::read_to_string(machine.file()).unwrap();
    let added = format!(
        "\n[[instance]]\ncluster = \"{OTHER}\"\nlisten = \"127.0.0.1:{}\"\nbin_dir = \"{}\"\npgdata = \"{}/data\"\n\
         [cluster.{OTHER}]\ninstances = 3\n",
        free(),
        bin_dir().display(),
        room.display()
    );
    fs::write(machine.file(), text + &added).unwrap();
}

async fn status_of_other(town: &Town) -> ClusterStatus {
    let look = async || town.client.get_cluster(&other()).await.ok().filter(healthy);
    town.eventually("the other cluster is healthy", look).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_clusters_fails_over_and_the_other_notices_nothing() {
    let mut town = Town::planned().await;
    town.machines.iter().for_each(add_other);
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("the cluster that is to fail over").await;
    let undisturbed = status_of_other(&town).await;
    let story = town.events_of(&other()).await;
    let writer = Writer::start(&town).await;

    let old = primary(&before);
    town.machine(&old).postmaster().expect("PostgreSQL runs").signal(Signal::KILL);
    let after = town.until("another epoch is open", |s| s.open && s.epoch > before.epoch).await;
    writer.acknowledged(&town, 100).await;
    town.until("the cluster that failed over is whole", healthy).await;

    let there = status_of_other(&town).await;
    assert_eq!((there.epoch, &there.primary), (undisturbed.epoch, &undisturbed.primary));
    assert_eq!(town.events_of(&other()).await, story, "nothing was to be told of the other cluster");
    assert_ne!(there.system, after.system, "two clusters, two sets of data");
    writer.verdict(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_hosts_both_primaries_dies_and_both_clusters_go_on() {
    let mut town = Town::planned().await;
    town.machines.iter().for_each(add_other);
    town.machines.iter_mut().for_each(Machine::start);
    let first = town.healthy("the one cluster").await;
    let second = status_of_other(&town).await;
    let dies = primary(&first);
    if primary(&second) != dies {
        let asked = town.ctl(&["switchover", OTHER, "--to", &dies]).await;
        assert_eq!(asked.code, 0, "{asked:?}");
        let moved =
            async || status_of_other(&town).await.primary.is_some_and(|p| p.as_str() == dies).then_some(());
        town.eventually("both primaries on one machine", moved).await;
    }
    let writer = Writer::start(&town).await;

    town.machine(&dies).kill();
    let elsewhere = |s: &ClusterStatus| s.open && s.primary.as_ref().is_some_and(|p| p.as_str() != dies);
    town.until("the one cluster goes on elsewhere", elsewhere).await;
    let look = async || town.client.get_cluster(&other()).await.ok().filter(elsewhere);
    town.eventually("the other goes on elsewhere", look).await;
    writer.acknowledged(&town, 50).await;

    town.machine(&dies).start();
    town.until("the one cluster is whole again", healthy).await;
    let whole = status_of_other(&town).await;
    assert_eq!((whole.system, primary(&whole) != dies), (second.system, true));
    writer.verdict(&town).await;
}
