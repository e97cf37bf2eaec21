//! What the agents cost an application: pgbench on the primary, in three rounds on the same servers, settings and warm
//! caches. First as it is; then with the node and guard of the primary's machine stopped (SIGSTOP); then with those of
//! all machines. The first by the second is what an application pays on its primary's machine; the third says what three
//! machines' nodes cost together, as here they share the processors of one. The cluster is paused, so that the second
//! round sees no failover. Whoever is stopped for so long has lost its lease when it goes on: then the demo ends.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use interrex_ledger::HostSpec;
use rustix::process::Signal;
use serde::Serialize;
use tokio::process::Command;

use super::processes::used;
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

/// One time three rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    script: &'static str,
    /// How long a round takes.
    seconds: u64,
    /// Transactions a second under the agents.
    with_agent_tps: f64,
    /// With the agent, the guard and the coordinator of the primary's machine stopped.
    without_agent_tps: f64,
    /// With those of all machines stopped.
    without_any_tps: f64,
    /// Under the agents, by without the primary's, in thousandths.
    ratio_permille: u64,
    /// Under the agents, by without any, in thousandths.
    ratio_of_all_permille: u64,
    /// Processor time of the nodes of the other machines in the first two rounds. Were it less in the first, the ratio
    /// would flatter.
    others_cpu_ms: [u64; 2],
    load: Vec<f64>,
}

impl Report {
    fn of(tps: [f64; 3], others_cpu_ms: [u64; 2]) -> Report {
        let [with_agent_tps, without_agent_tps, without_any_tps] = tps;
        Report {
            script: "pgbench",
            seconds: MEASURED.as_secs(),
            with_agent_tps,
            without_agent_tps,
            without_any_tps,
            ratio_permille: permille(with_agent_tps, without_agent_tps),
            ratio_of_all_permille: permille(with_agent_tps, without_any_tps),
            others_cpu_ms,
            load: load(),
        }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let round = |tps: f64, what: &str| format!("  {tps:>8.0}  transactions a second {what}");
        let ratio =
            |permille: u64, what: &str| format!("  {:>4}.{:03}  {what}", permille / 1000, permille % 1000);
        vec![
            format!("pgbench over {} s each, {CLIENTS} clients, synchronous commits:", self.seconds),
            round(self.with_agent_tps, "under the agents"),
            round(self.without_agent_tps, "without those of the primary's machine"),
            round(self.without_any_tps, "without those of any machine"),
            ratio(self.ratio_permille, "the first by the second: what the primary's machine pays"),
            ratio(
                self.ratio_of_all_permille,
                "the first by the third: what all pay, on the processors of one",
            ),
        ]
    }
}

fn permille(part: f64, whole: f64) -> u64 {
    // Far below 2^52, and positive.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let permille = (part / whole * 1000.0).round() as u64;
    permille
}

/// Brings the cluster up, fills pgbench's tables, and measures.
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
    cluster.pause().await?;
    voice.tell("pgbench's tables are filled and warm, and nothing automatic begins");

    let (own, others) = ours(cluster, &primary)?;
    let mut others_cpu_ms = [0; 2];
    let before = cpu_ms(&others)?;
    let with = bench.run(MEASURED).await?;
    others_cpu_ms[0] = cpu_ms(&others)? - before;
    voice.tell(&format!("{with:.0} transactions a second under the agents"));

    let mut stopped = Stopped::default();
    stopped.stop(own)?;
    let before = cpu_ms(&others)?;
    let without = bench.run(MEASURED).await?;
    others_cpu_ms[1] = cpu_ms(&others)? - before;
    voice.tell(&format!("{without:.0} transactions a second without those of the primary's machine"));

    stopped.stop(others)?;
    let without_any = bench.run(MEASURED).await?;
    voice.tell(&format!("{without_any:.0} transactions a second without those of any machine"));
    Ok(Report::of([with, without, without_any], others_cpu_ms))
}

/// Nodes and guards: those of the primary's machine, and the others.
fn ours(cluster: &Cluster, primary: &str) -> anyhow::Result<(Vec<Process>, Vec<Process>)> {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for machine in &cluster.machines {
        let ours =
            machine.processes()?.into_iter().filter(|process| process.program().starts_with("interrex"));
        if machine.name == primary { own.extend(ours) } else { others.extend(ours) }
    }
    ensure!(!own.is_empty() && !others.is_empty(), "there is no node to stop");
    Ok((own, others))
}

fn cpu_ms(processes: &[Process]) -> anyhow::Result<u64> {
    processes.iter().map(|process| Ok(used(process.pid)?.cpu_ms)).sum()
}

/// Those that were stopped; they go on when this is dropped. Whoever is stopped hears nothing but a kill, and the demo
/// ends with an orderly stop.
#[derive(Default)]
struct Stopped(Vec<Process>);

impl Stopped {
    fn stop(&mut self, processes: Vec<Process>) -> anyhow::Result<()> {
        for process in processes {
            process.signal(Signal::STOP).with_context(|| format!("stop process {}", process.pid))?;
            self.0.push(process);
        }
        Ok(())
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
        let report = Report::of([990.0, 1000.0, 1100.0], [10, 12]);
        assert_eq!((report.ratio_permille, report.ratio_of_all_permille), (990, 900));
        assert!(report.lines()[4].starts_with("     0.990  the first by the second"), "{:?}", report.lines());
    }
}
