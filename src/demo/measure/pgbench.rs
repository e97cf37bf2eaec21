//! What the agents cost an application: pgbench on the primary, on the same servers, settings and warm caches.
//!
//! A machine is not equally fast from one half minute to the next, by far more than an agent costs. So one long run is
//! cut into slices of a second: in every other one the node and guard of the primary's machine are stopped (SIGSTOP).
//! That is shorter than a lease, nobody notices; what they then have to catch up with counts against them. The first
//! kind of slices by the second is what an application pays on its primary's machine.
//!
//! A last round has the nodes of all machines stopped: what three machines' nodes cost together, as here they share the
//! processors of one; only roughly, it comes at another time. The cluster is paused, so that it sees no failover. Whoever
//! is stopped for so long has lost its lease when it goes on: then the demo ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use interrex_ledger::HostSpec;
use interrex_rig::{CLUSTER, Cluster, Patience, Voice, load, postgresql, processes::Process};
use rustix::process::Signal;
use serde::Serialize;
use tokio::process::Command;

use super::processes::used;
use super::slices::{Slices, ends};
use crate::args::RaftLeader;
use crate::strike::place_leader;

/// Rows in units of 100,000: 150 MB, which stay in memory.
const SCALE: &str = "10";
const CLIENTS: &str = "8";
const WARM_UP: Duration = Duration::from_secs(5);
/// A third of a lease: who is stopped for so long still holds it.
const SLICE: Duration = Duration::from_secs(1);
/// So many slices of either kind.
const PAIRS: u32 = 60;
/// The round with the nodes of all machines stopped.
const LAST: Duration = Duration::from_secs(20);
/// pgbench runs for so much longer than the slices: until its first transaction is seen, and what sleeping adds.
const MARGIN: Duration = Duration::from_secs(5);
/// A round that takes longer than it should by so much hangs.
const GRACE: Duration = Duration::from_secs(30);

/// One run in slices, and the last round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    script: &'static str,
    /// How long all slices take together.
    seconds: u64,
    /// Transactions a second under the agents.
    with_agent_tps: f64,
    /// With the agent, the guard and the coordinator of the primary's machine stopped.
    without_agent_tps: f64,
    /// With those of all machines stopped.
    without_any_tps: f64,
    /// Under the agents, by without the primary's, in thousandths.
    ratio_permille: u64,
    /// Standard error of that ratio, from how much its pairs of slices differ, in thousandths.
    error_permille: u64,
    /// Under the agents, by without any, in thousandths.
    ratio_of_all_permille: u64,
    /// Processor time of the nodes of the other machines in either kind of slices. Were it less in the first, the ratio
    /// would flatter.
    others_cpu_ms: [u64; 2],
    /// Transactions of each pair of slices: under the agents, without the primary's.
    pairs: Vec<[u64; 2]>,
    load: Vec<f64>,
}

impl Report {
    fn of(sliced: Sliced, without_any_tps: f64) -> Report {
        let [with_agent_tps, without_agent_tps] = sliced.tps();
        Report {
            script: "pgbench",
            seconds: sliced.lasted.iter().sum::<Duration>().as_secs(),
            with_agent_tps,
            without_agent_tps,
            without_any_tps,
            ratio_permille: permille(with_agent_tps / without_agent_tps),
            error_permille: permille(sliced.error()),
            ratio_of_all_permille: permille(with_agent_tps / without_any_tps),
            others_cpu_ms: sliced.others_cpu_ms,
            pairs: sliced.pairs,
            load: load(),
        }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let round = |tps: f64, what: &str| format!("  {tps:>8.0}  transactions a second {what}");
        let ratio =
            |permille: u64, what: &str| format!("  {:>4}.{:03}  {what}", permille / 1000, permille % 1000);
        let error = format!(
            "the first by the second: what the primary's machine pays (standard error 0.{:03})",
            self.error_permille
        );
        vec![
            format!("pgbench over {} s, {CLIENTS} clients, synchronous commits:", self.seconds),
            round(self.with_agent_tps, "under the agents"),
            round(self.without_agent_tps, "in every other second, without those of the primary's machine"),
            round(self.without_any_tps, "afterwards, without those of any machine"),
            ratio(self.ratio_permille, &error),
            ratio(
                self.ratio_of_all_permille,
                "the first by the third: what all pay, on the processors of one, roughly",
            ),
        ]
    }
}

fn permille(part: f64) -> u64 {
    // Far below 2^52, and positive.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let permille = (part * 1000.0).round() as u64;
    permille
}

/// What a run in slices gave.
#[derive(Debug, Default)]
struct Sliced {
    /// Transactions of each pair.
    pairs: Vec<[u64; 2]>,
    /// How long either kind took together.
    lasted: [Duration; 2],
    others_cpu_ms: [u64; 2],
}

impl Sliced {
    fn tps(&self) -> [f64; 2] {
        [0, 1].map(|kind| {
            let transactions: u64 = self.pairs.iter().map(|pair| pair[kind]).sum();
            // Far below 2^52.
            #[allow(clippy::cast_precision_loss)]
            let tps = transactions as f64 / self.lasted[kind].as_secs_f64();
            tps
        })
    }

    /// The standard error of the mean of the pairs' ratios. A pair in which the machine stood still says nothing.
    #[allow(clippy::cast_precision_loss)] // Counts far below 2^52.
    fn error(&self) -> f64 {
        let told = self.pairs.iter().filter(|pair| pair[1] > 0);
        let ratios: Vec<f64> = told.map(|[with, without]| *with as f64 / *without as f64).collect();
        let count = ratios.len() as f64;
        let mean = ratios.iter().sum::<f64>() / count;
        let squares: f64 = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum();
        (squares / (count - 1.0) / count).sqrt()
    }
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
    // Were it the primary's, every other slice would begin with an election.
    place_leader(cluster, RaftLeader::Elsewhere, &primary).await?;
    voice.tell("pgbench's tables are filled and warm, and nothing automatic begins");

    let (own, others) = ours(cluster, &primary)?;
    let sliced = in_slices(&bench, &cluster.dir, &own, &others).await?;
    let [with, without] = sliced.tps();
    voice.tell(&format!("{with:.0} transactions a second under the agents"));
    voice.tell(&format!("{without:.0} transactions a second without those of the primary's machine"));

    let _own = Stopped::new(&own)?;
    let _others = Stopped::new(&others)?;
    let without_any = bench.run(LAST).await?;
    voice.tell(&format!("{without_any:.0} transactions a second without those of any machine"));
    Ok(Report::of(sliced, without_any))
}

/// One run of pgbench, with `own` stopped in every other slice of it.
async fn in_slices(bench: &Bench, dir: &Path, own: &[Process], others: &[Process]) -> anyhow::Result<Sliced> {
    let log = tempfile::tempdir_in(dir).context("make a directory for pgbench's log")?;
    let run = bench.logged(SLICE * 2 * PAIRS + MARGIN, log.path());
    let mut sliced = Sliced::default();
    let slice = async {
        let patience = Patience::new("pgbench's first transactions".to_owned(), MARGIN);
        while ends(log.path())?.is_empty() {
            patience.pause("its log is empty").await?;
        }
        let mut slices = Slices::begin();
        for _ in 0..PAIRS {
            for kind in [0, 1] {
                let stopped = if kind == 1 { Some(Stopped::new(own)?) } else { None };
                let before = cpu_ms(others)?;
                tokio::time::sleep(SLICE).await;
                sliced.lasted[kind] += slices.next();
                sliced.others_cpu_ms[kind] += cpu_ms(others)? - before;
                drop(stopped);
            }
        }
        anyhow::Ok(slices)
    };
    let (ran, slices) = tokio::join!(run, slice);
    ran?;
    let counts = slices?.counts(&ends(log.path())?);
    sliced.pairs = counts.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
    ensure!(
        sliced.pairs.iter().all(|pair| pair[0] > 0),
        "pgbench ended no transaction for a second under the agents"
    );
    Ok(sliced)
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
struct Stopped<'a>(&'a [Process]);

impl Stopped<'_> {
    fn new(processes: &[Process]) -> anyhow::Result<Stopped<'_>> {
        // Whoever was stopped before one could not be goes on, too.
        let stopped = Stopped(processes);
        for process in processes {
            process.signal(Signal::STOP).with_context(|| format!("stop process {}", process.pid))?;
        }
        Ok(stopped)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        for process in self.0 {
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

    /// The same, with a line for each transaction in files of `log`.
    async fn logged(&self, how_long: Duration, log: &Path) -> anyhow::Result<()> {
        let seconds = how_long.as_secs().to_string();
        let prefix = format!("--log-prefix={}", log.join("transactions").display());
        let arguments = ["-n", "-c", CLIENTS, "-j", "2", "-T", &seconds, "-l", &prefix];
        self.pgbench(&arguments, how_long).await.map(drop)
    }

    async fn pgbench(&self, arguments: &[&str], how_long: Duration) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(["-h", &self.host.host, "-p", &self.host.port.to_string(), "-U", interrex_rig::USER]);
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
        let sliced = Sliced {
            pairs: vec![[990, 1000], [1010, 1000], [970, 1000]],
            lasted: [Duration::from_secs(3); 2],
            others_cpu_ms: [10, 12],
        };
        let report = Report::of(sliced, 1100.0);
        assert_eq!((report.ratio_permille, report.error_permille), (990, 12));
        assert_eq!((report.ratio_of_all_permille, report.seconds), (900, 6));
        assert!(report.lines()[4].starts_with("     0.990  the first by the second"), "{:?}", report.lines());
    }
}
