//! The only caller of `decide` that acts: while this coordinator leads, one loop for each cluster turns what is known
//! into entries of the log. It decides nothing itself.
//!
//! A loop looks, proposes what was decided, and looks again at once while that changed something, so that the steps of
//! a failover wait for no tick. Otherwise it sleeps until a report says something new, the record changes, or a tick:
//! short while something is under way or suspicious, else long. Changes are logged once, never ticks.

use crate::core::{Core, Look, NotDone};
use interrex_cluster::explain::{self, without_figures};
use interrex_cluster::ids::ClusterName;
use interrex_cluster::problem::Severity;
use interrex_cluster::record::Operation;
use interrex_rt::Task;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks while something is under way or suspicious.
const BRISK: Duration = Duration::from_millis(50);
/// Between two looks in a steady cluster.
const CALM: Duration = Duration::from_millis(250);

/// What was logged of a cluster, so that nothing is logged twice: problems and waits that hold, failures of the last
/// look.
#[derive(Default)]
struct Told {
    holds: BTreeSet<String>,
    failed: BTreeSet<String>,
}

/// Drives every cluster whenever this coordinator leads, until it ends.
pub(crate) async fn run(core: Arc<Core>) {
    let mut leadership = core.node.leadership();
    let mut applied = core.node.applied();
    let mut driven: BTreeMap<ClusterName, Task> = BTreeMap::new();
    loop {
        let mine = leadership.borrow_and_update().mine;
        if mine {
            let names: Vec<ClusterName> =
                core.node.read(|records| records.clusters().keys().cloned().collect());
            for name in names {
                driven.entry(name.clone()).or_insert_with(|| {
                    let core = core.clone();
                    core.clone().spawner.spawn(Box::pin(async move { drive(&core, &name).await }))
                });
            }
        } else {
            // Ends them where they are; a proposal under way is of unknown outcome, as after a crash.
            driven.clear();
        }
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}

/// One cluster, as long as this coordinator leads.
async fn drive(core: &Core, cluster: &ClusterName) {
    let news = core.reports.news(cluster);
    let mut applied = core.node.applied();
    let mut told = Told::default();
    loop {
        applied.mark_unchanged();
        let version = core.node.read(|records| records.version(cluster));
        let Some(look) = core.look(cluster) else {
            // Leadership is gone, or gone and back: `run` knows, and ends this loop if it has to end.
            tokio::time::sleep(BRISK).await;
            continue;
        };
        tell(cluster, &look, &mut told);
        if act(core, cluster, &look, &mut told).await {
            continue;
        }
        let changed = async {
            while applied.changed().await.is_ok() {
                if core.node.read(|records| records.version(cluster)) != version {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            () = news.notified() => {}
            () = changed => {}
            () = tokio::time::sleep(if suspicious(core, &look) { BRISK } else { CALM }) => {}
        }
    }
}

/// Proposes what was decided, one after the other; true when something changed, so that the rest is decided anew.
async fn act(core: &Core, cluster: &ClusterName, look: &Look, told: &mut Told) -> bool {
    let mut changed = false;
    let mut failed = BTreeSet::new();
    for command in &look.decision.commands {
        match core.propose(cluster, command.clone()).await {
            Ok(story) => changed |= !story.is_empty(),
            Err(NotDone::NotLeader(_)) => return false,
            Err(why) => {
                let line = format!("{command}: {why}");
                let key = without_figures(&line);
                if !told.failed.contains(&key) {
                    tracing::warn!(%cluster, "not done: {line}");
                }
                failed.insert(key);
                break;
            }
        }
    }
    told.failed = failed;
    changed
}

/// A failover under way, something critical, or a primary that is late with its reports.
fn suspicious(core: &Core, look: &Look) -> bool {
    let late = |reign: &interrex_cluster::record::Reign| {
        look.view().silence(&reign.instance) >= 2 * core.policy.heartbeat
    };
    matches!(
        look.record.operation,
        Operation::Failover(_) | Operation::Switchover(_) | Operation::Bootstrap { .. } | Operation::Adopt(_)
    ) || look.decision.problems.iter().any(|problem| problem.kind.severity() == Severity::Critical)
        || look.record.primary.as_ref().is_some_and(late)
}

/// Logs what is new since the last look, and what is over.
fn tell(cluster: &ClusterName, look: &Look, told: &mut Told) {
    // Commands are told by what they did; `nothing to do` is no news.
    let mut decision = look.decision.clone();
    decision.commands.clear();
    let lines = explain::lines(&decision);
    let sentences = lines.iter().filter(|line| line.starts_with("problem") || line.starts_with("wait"));
    let now: BTreeMap<String, &String> = sentences.map(|line| (without_figures(line), line)).collect();
    let epoch = look.record.epoch;
    for (_, line) in now.iter().filter(|(key, _)| !told.holds.contains(*key)) {
        let evidence = evidence(&lines, line);
        if line.starts_with("problem") {
            tracing::warn!(%cluster, %epoch, "{line}{evidence}");
        } else {
            tracing::info!(%cluster, %epoch, "{line}");
        }
    }
    for gone in told.holds.iter().filter(|key| key.starts_with("problem") && !now.contains_key(*key)) {
        tracing::info!(%cluster, %epoch, "over: {gone}");
    }
    told.holds = now.into_keys().collect();
}

/// The evidence of a problem, in one line with it.
fn evidence(lines: &[String], problem: &String) -> String {
    let after = lines.iter().skip_while(|line| *line != problem).skip(1);
    let evidence: Vec<&str> =
        after.take_while(|line| line.starts_with("  ")).map(|line| line.trim()).collect();
    if evidence.is_empty() { String::new() } else { format!(": {}", evidence.join("; ")) }
}
