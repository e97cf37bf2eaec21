//! A log that the first build wrote: a group of one, a cluster of three that failed over twice, stopped in the middle of
//! the second. `first_build/` is its `raft` directory, byte by byte.

use super::group::{PATIENCE, until};
use crate::{Coordinator, Handle};
use interrex_api::client::{Client, ClientOptions};
use interrex_cluster::ids::{ClusterName, Epoch};
use interrex_cluster::record::{Cluster, Copy};
use std::fs;
use std::path::Path;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const FORMAT: &[u8] = include_bytes!("first_build/format");
const SEGMENT: &[u8] = include_bytes!("first_build/seg-0000000001.log");

/// Starts it where its files are, on a port of its own.
async fn start(data_dir: &Path) -> (Handle, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let machine = "n1".parse().expect("a name");
    let coordinator = Coordinator::builder()
        .machine(machine)
        .listener(listener)
        .members([("n1".parse().expect("a name"), address)].into())
        .data_dir(data_dir)
        .open()
        .await
        .expect("it opens");
    let handle = coordinator.handle();
    let run = tokio::spawn(async move { coordinator.run(std::future::pending()).await.expect("it runs") });
    until("it leads", || handle.leads()).await;
    (handle, run)
}

fn orders(handle: &Handle) -> Cluster {
    let name: ClusterName = "orders".parse().expect("a name");
    handle.core.node.read(|records| records.cluster(&name).cloned()).expect("the cluster is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_the_first_build_starts_with_all_that_it_knew_and_is_written_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let raft = dir.path().join("raft");
    fs::create_dir(&raft).expect("room");
    fs::write(raft.join("format"), FORMAT).expect("room");
    fs::write(raft.join("seg-0000000001.log"), SEGMENT).expect("room");

    let (handle, run) = start(dir.path()).await;
    let record = orders(&handle);
    let primary = record.primary.as_ref().expect("the second failover had elected one");
    assert_eq!((record.epoch, primary.instance.as_str()), (Epoch(4), "n1"));
    assert_eq!(record.instances.len(), 3);
    assert!(record.instances.values().all(|member| member.copy == Copy::Whole), "{:#?}", record.instances);
    assert!(!record.paused);

    // It is written on, in the words of this build, and read again.
    let client =
        Client::new(vec![handle.address().to_string()], ClientOptions::default()).expect("an address");
    client.set_paused(&record.name, true).await.expect("it leads");
    run.abort();
    let ended = timeout(PATIENCE, run).await.expect("it ends");
    assert!(ended.is_err_and(|why| why.is_cancelled()));
    drop(handle);
    let (handle, _run) = start(dir.path()).await;
    assert!(orders(&handle).paused);
}
