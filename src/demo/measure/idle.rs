//! A minute of rest: what nodes and guards hold, burn and write while nobody asks anything of them. Three machines
//! have a coordinator and an agent each, the fourth has an agent alone.

use std::time::Duration;

use anyhow::Context;
use interrex_rig::{Cluster, Patience, Voice, load};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::processes::{Used, pss_kib, used};

const WHOLE: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_secs(60);
/// What follows the start has come to its end when nothing was written for so long: agents keep the highest position
/// that they saw every ten seconds at most.
const CALM: Duration = Duration::from_secs(12);
const CALMING: Duration = Duration::from_secs(60);

/// One minute.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    script: &'static str,
    seconds: u64,
    /// Nodes, one a machine.
    nodes: Vec<Cost>,
    /// Guards, one a machine.
    guards: Vec<Cost>,
    /// Most memory of a node with coordinator and agent.
    node_pss_kib: u64,
    /// Memory of the node that is an agent alone.
    agent_pss_kib: u64,
    /// Most memory of a guard.
    guard_pss_kib: u64,
    /// Processor time of the three nodes with coordinator and agent and their guards, together, in thousandths of one
    /// core.
    cpu_permille: u64,
    /// Bytes that all nodes and guards caused to be written.
    written_bytes: u64,
    load: Vec<f64>,
}

/// One process over that minute.
#[derive(Debug, Clone, Serialize)]
struct Cost {
    machine: String,
    /// A coordinator runs in it, or beside it.
    votes: bool,
    pss_kib: u64,
    cpu_ms: u64,
    written_bytes: u64,
}

/// A process that is watched.
struct Watched {
    machine: String,
    votes: bool,
    pid: i32,
}

/// Brings the cluster up, lets it come to rest, and measures a minute of that.
pub(crate) async fn measure(cluster: &mut Cluster, voice: &Voice) -> anyhow::Result<Report> {
    cluster.up(voice).await?;
    let nodes = watched(cluster, "interrex")?;
    let guards = watched(cluster, "interrex-guard")?;
    calm(&nodes).await?;
    voice.tell(&format!("nothing is written any more; a minute of rest begins ({} s)", REST.as_secs()));
    let before = (all_used(&nodes)?, all_used(&guards)?);
    sleep(REST).await;
    let nodes = costs(&nodes, &before.0)?;
    let guards = costs(&guards, &before.1)?;
    // It was rest, not death.
    cluster.whole(WHOLE).await.context("the cluster is not whole after its minute of rest")?;
    Report::of(nodes, guards)
}

impl Report {
    fn of(nodes: Vec<Cost>, guards: Vec<Cost>) -> anyhow::Result<Report> {
        let most = |costs: &mut dyn Iterator<Item = &Cost>| costs.map(|cost| cost.pss_kib).max();
        let everybody = || nodes.iter().chain(&guards);
        let seconds = REST.as_secs();
        Ok(Report {
            script: "idle",
            seconds,
            node_pss_kib: most(&mut nodes.iter().filter(|cost| cost.votes)).context("no node votes")?,
            agent_pss_kib: most(&mut nodes.iter().filter(|cost| !cost.votes)).context("every node votes")?,
            guard_pss_kib: most(&mut guards.iter()).context("there is no guard")?,
            cpu_permille: everybody().filter(|cost| cost.votes).map(|cost| cost.cpu_ms).sum::<u64>()
                / seconds,
            written_bytes: everybody().map(|cost| cost.written_bytes).sum(),
            nodes,
            guards,
            load: load(),
        })
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mib = |kib: u64| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
        vec![
            format!("over {} s of rest:", self.seconds),
            format!("  {:>9}  a node with coordinator and agent, the largest", mib(self.node_pss_kib)),
            format!("  {:>9}  a node with an agent alone", mib(self.agent_pss_kib)),
            format!("  {:>9}  a guard, the largest", mib(self.guard_pss_kib)),
            format!(
                "  {:>7}.{} %  of one core, three nodes with their guards together",
                self.cpu_permille / 10,
                self.cpu_permille % 10
            ),
            format!("  {:>9}  bytes written by all of them", self.written_bytes),
        ]
    }
}

/// The processes of that program, one on every machine that serves.
fn watched(cluster: &Cluster, program: &str) -> anyhow::Result<Vec<Watched>> {
    let mut found = Vec::new();
    for machine in &cluster.machines {
        let processes = machine.processes()?;
        let of_it = processes.iter().find(|process| process.program() == program);
        let pid = of_it.with_context(|| format!("no {program} runs on {}", machine.name))?.pid;
        found.push(Watched { machine: machine.name.clone(), votes: machine.duty.votes(), pid });
    }
    Ok(found)
}

fn all_used(watched: &[Watched]) -> anyhow::Result<Vec<Used>> {
    watched.iter().map(|one| used(one.pid)).collect()
}

fn costs(watched: &[Watched], before: &[Used]) -> anyhow::Result<Vec<Cost>> {
    let cost = |(one, before): (&Watched, &Used)| {
        let now = used(one.pid)?;
        Ok(Cost {
            machine: one.machine.clone(),
            votes: one.votes,
            pss_kib: pss_kib(one.pid)?,
            cpu_ms: now.cpu_ms - before.cpu_ms,
            written_bytes: now.written_bytes - before.written_bytes,
        })
    };
    watched.iter().zip(before).map(cost).collect()
}

/// Waits until no node has written for a while.
async fn calm(nodes: &[Watched]) -> anyhow::Result<()> {
    let patience = Patience::new("the nodes to write no more", CALMING);
    let written = || -> anyhow::Result<Vec<u64>> {
        Ok(all_used(nodes)?.iter().map(|used| used.written_bytes).collect())
    };
    let (mut last, mut since) = (written()?, Instant::now());
    while since.elapsed() < CALM {
        patience.pause("").await?;
        let now = written()?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(votes: bool, pss_kib: u64, cpu_ms: u64) -> Cost {
        Cost { machine: "n1".to_owned(), votes, pss_kib, cpu_ms, written_bytes: 1 }
    }

    #[test]
    fn the_largest_counts_for_memory_and_voters_alone_for_processor_time() {
        let nodes = vec![cost(true, 30_000, 600), cost(true, 34_816, 900), cost(false, 9_216, 500)];
        let report = Report::of(nodes, vec![cost(true, 1_500, 0), cost(false, 1_600, 0)]).unwrap();
        assert_eq!((report.node_pss_kib, report.agent_pss_kib, report.guard_pss_kib), (34_816, 9_216, 1_600));
        assert_eq!((report.cpu_permille, report.written_bytes), (25, 5));
        assert_eq!(report.lines()[1], "   34.0 MiB  a node with coordinator and agent, the largest");
        assert_eq!(report.lines()[4], "        2.5 %  of one core, three nodes with their guards together");
        assert!(Report::of(vec![cost(true, 1, 1)], Vec::new()).is_err());
    }
}
