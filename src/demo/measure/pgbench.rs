//! What the agents cost an application: pgbench on the primary, first as it is, then with every node and guard on
//! every machine stopped (SIGSTOP) and PostgreSQL going on: the same servers, settings and standbys, the same warm
//! caches. Whoever is stopped for so long has lost its lease when it goes on, so it is never let go on: the demo ends.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use interrex_ledger::HostSpec;
use rustix::process::Signal;
use serde::Serialize;
use tokio::process::Command;

use crate::cluster_up::{CLUSTER, Cluster};
use crate::postgresql;
use crate::processes::Process;
use crate::report::load;
use crate::voice::Voice;

/// Rows in units of 100,000: 150 MB, which stay in memory.
const SCALE: &str = "10";
const CLIENTS: &str = "8";
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
/// A round that takes longer than it should by so much hangs.
const GRACE: Duration = Duration::from_secs(30);

/// One pair.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    script: &'static str,
    seconds: u64,
    /// Transactions a second under the agents.
    with_agent_tps: f64,
    /// With agents, guards and coordinators stopped.
    without_agent_tps: f64,
    /// The first by the second, in thousandths.
    ratio_permille: u64,
    load: Vec<f64>,
}

impl Report {
    fn of(with: f64, without: f64) -> Report {
        // Far below 2^52, and positive.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let ratio_permille = (with / without * 1000.0).round() as u64;
        let (with_agent_tps, without_agent_tps) = (with, without);
        let seconds = MEASURED.as_secs();
        Report { script: "pgbench", seconds, with_agent_tps, without_agent_tps, ratio_permille, load: load() }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        vec![
            format!("pgbench over {} s each, {CLIENTS} clients, synchronous commits:", self.seconds),
            format!("  {:>8.0}  transactions a second under the agents", self.with_agent_tps),
            format!("  {:>8.0}  with agents, guards and coordinators stopped", self.without_agent_tps),
            format!("  {:>8.3}  the first by the second", self.with_agent_tps / self.without_agent_tps),
        ]
    }
}

/// Brings the cluster up, fills pgbench's tables, and measures one pair.
pub(crate) async fn measure(cluster: &mut Cluster, voice: &Voice) -> anyhow::Result<Report> {
    let bin = postgresql::with_program("pgbench").context(
        "pgbench is not on this machine; install it (Debian, Ubuntu: apt-get install postgresql-contrib)",
    )?;
    let status = cluster.up(voice).await?;
    let primary = status.primary.as_ref().context("a whole cluster has a primary")?.to_string();
    let host = cluster.machine(&primary)?.host();
    let password = cluster.login.password.clone().unwrap_or_default();
    let bench = Bench { program: bin.join("pgbench"), host, password };
    bench.fill().await?;
    bench.run(WARM_UP).await?;
    voice.tell("pgbench's tables are filled and warm");
    let with = bench.run(MEASURED).await?;
    voice.tell(&format!("{with:.0} transactions a second under the agents"));

    let stopped = Stopped::all(cluster)?;
    voice.tell(&format!("{} agents, guards and coordinators were stopped", stopped.0.len()));
    let without = bench.run(MEASURED).await;
    // Whoever is stopped hears nothing but a kill, and the demo ends with an orderly stop.
    drop(stopped);
    let without = without?;
    voice.tell(&format!("{without:.0} transactions a second without them"));
    Ok(Report::of(with, without))
}

/// Every node and guard, stopped; they go on when this is dropped.
struct Stopped(Vec<Process>);

impl Stopped {
    fn all(cluster: &Cluster) -> anyhow::Result<Stopped> {
        let mut stopped = Stopped(Vec::new());
        for machine in &cluster.machines {
            let ours = machine.processes()?.into_iter().filter(|p| p.program().starts_with("interrex"));
            for process in ours {
                process.signal(Signal::STOP).with_context(|| format!("stop process {}", process.pid))?;
                stopped.0.push(process);
            }
        }
        ensure!(!stopped.0.is_empty(), "there is no node to stop");
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for process in &self.0 {
            // One that is gone by now has nothing to go on with.
            let _ = process.signal(Signal::CONT);
        }
    }
}

/// How pgbench is run.
struct Bench {
    program: PathBuf,
    host: HostSpec,
    password: String,
}

impl Bench {
    async fn fill(&self) -> anyhow::Result<()> {
        self.pgbench(&["-i", "-q", "-s", SCALE], Duration::ZERO).await.map(drop)
    }

    /// Transactions a second over so long.
    async fn run(&self, how_long: Duration) -> anyhow::Result<f64> {
        let seconds = how_long.as_secs().to_string();
        let said = self.pgbench(&["-n", "-c", CLIENTS, "-j", "2", "-T", &seconds], how_long).await?;
        tps(&said).with_context(|| format!("pgbench told no figure: {said}"))
    }

    async fn pgbench(&self, arguments: &[&str], how_long: Duration) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args([
            "-h",
            &self.host.host,
            "-p",
            &self.host.port.to_string(),
            "-U",
            crate::cluster_up::USER,
        ]);
        command.args(arguments).arg(CLUSTER).env("PGPASSWORD", &self.password).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = tokio::time::timeout(how_long + GRACE, command.output()).await;
        let output = ended.context("pgbench hangs")?.context("run pgbench")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pgbench failed ({}): {}", output.status, complaint.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// `tps = 1234.567890 (without initial connection time)`
fn tps(said: &str) -> Option<f64> {
    said.lines().find_map(|line| line.strip_prefix("tps = "))?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbench_s_figure_is_read_and_compared() {
        assert_eq!(tps("x\ntps = 1234.5 (without initial connection time)\n"), Some(1234.5));
        assert_eq!(tps("number of failed transactions: 0"), None);
        assert_eq!(Report::of(990.0, 1000.0).ratio_permille, 990);
        assert_eq!(Report::of(990.0, 1000.0).lines()[3], "     0.990  the first by the second");
    }
}
