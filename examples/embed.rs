//! A coordinator inside a program of your own: it runs, a cluster is created, and the cluster's story is told.
//!
//! `cargo run --example embed -- DIR` keeps the log below DIR; it needs no PostgreSQL and ends on Ctrl-C. Run again with
//! the same directory, it finds the cluster that it made. A real group has three of these on three machines; then
//! `members` lists all, and every machine that hosts PostgreSQL runs an agent (`interrex::Agent`, or `interrex node`).

use interrex::admin::{CreateCluster, EventsRequest};
use interrex::cluster::spec::Spec;
use interrex::refused::Refused;
use interrex::{Client, ClientError, ClientOptions, Coordinator};
use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).ok_or("which directory may be used? embed DIR")?;
    // The program owns its signals; the library hears none.
    let end = async { drop(tokio::signal::ctrl_c().await) };
    embed(dir.as_ref(), "127.0.0.1:7400", end, std::io::stdout()).await
}

/// Runs a coordinator at `listen` until `end`, and tells to `out` what happens to the cluster `orders`.
pub(crate) async fn embed(
    dir: &Path,
    listen: &str,
    end: impl Future<Output = ()>,
    out: impl Write,
) -> Result<(), Box<dyn Error>> {
    // An open socket, so that port 0 means any; `listen(address)` would do for a fixed one.
    let listener = TcpListener::bind(listen)?;
    let address = listener.local_addr()?.to_string();
    let coordinator = Coordinator::builder()
        .machine("here".parse()?)
        .listener(listener)
        .members([("here".parse()?, address.clone())].into())
        .data_dir(dir)
        .open()
        .await?;
    let handle = coordinator.handle();
    let client = Client::new(vec![address], ClientOptions::default())?;
    tokio::select! {
        // Its own end comes first: what follows the story would only see that nobody answers.
        biased;
        ended = coordinator.run(end) => ended?,
        told = story(&client, out) => told?,
    }
    // A handle outlives what it looks at.
    assert!(!handle.leads(), "a coordinator that has ended leads nobody");
    Ok(())
}

/// Creates the cluster unless it is there, and follows it for ever.
async fn story(client: &Client, mut out: impl Write) -> Result<(), Box<dyn Error>> {
    let name = "orders".parse()?;
    let wanted = CreateCluster { name, spec: Spec::default(), owner: None, adopt: None };
    match client.create_cluster(&wanted).await {
        Ok(_) => {}
        Err(ClientError::Refused { refused: Refused::Exists(_), .. }) => {
            writeln!(out, "{} is there already", wanted.name)?;
        }
        Err(other) => return Err(other.into()),
    }
    for line in client.explain(&wanted.name).await?.lines {
        writeln!(out, "now: {line}")?;
    }
    let request = EventsRequest { cluster: Some(wanted.name), follow: true, ..EventsRequest::default() };
    let mut events = client.events(request).await?;
    while let Some(event) = events.next().await? {
        writeln!(out, "{} {}: {}", event.cluster, event.kind, event.text)?;
    }
    Ok(())
}
