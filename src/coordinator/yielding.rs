//! Keeps leadership away from machines that host a primary, where another machine hosts none: so that one death rarely
//! costs both the primary and the coordinator that has to notice it.
//!
//! A nicety, so it is done only in peace: every cluster steady and without a critical problem, this coordinator leading for a
//! while, the other one answering and following. What lasts is known to the leader alone: a new one would begin to count anew,
//! and a primary that is cut off from its standbys would be replaced that much later.

use crate::core::Core;
use interrex_cluster::decide::Decision;
use interrex_cluster::ids::{ClusterName, MachineName};
use interrex_cluster::problem::Severity;
use interrex_cluster::record::Operation;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// A leader stays at least so long: others get to know it, and it hears everybody.
const SETTLED: Duration = Duration::from_secs(3);
/// One coordinator hands leadership away at most this often.
const PEACE: Duration = Duration::from_secs(10);

/// Hands leadership away where that is better, until the coordinator ends.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if core.led_for().is_none_or(|led| led < SETTLED) || !calls_for_it(&core) {
            continue;
        }
        if let Some(to) = best_successor(&core, true).await {
            tracing::info!(machine = %to, "a primary runs on this machine: leadership goes to one that hosts none");
            if let Err(why) = core.node.transfer_leader(to.as_str()).await {
                tracing::info!(machine = %to, "leadership stays here: {why}");
            }
            tokio::time::sleep(PEACE).await;
        }
    }
}

/// This machine hosts a primary, and all clusters are in peace.
fn calls_for_it(core: &Core) -> bool {
    let clusters: Vec<ClusterName> = core.node.read(|records| records.clusters().keys().cloned().collect());
    let in_peace =
        |cluster| core.look(cluster).is_some_and(|look| in_peace(&look.record.operation, &look.decision));
    hosts_of_primaries(core).contains(core.machine.as_str()) && clusters.iter().all(in_peace)
}

/// Nothing is under way, nor about to be.
fn in_peace(operation: &Operation, decision: &Decision) -> bool {
    let steady = matches!(operation, Operation::None | Operation::Gather);
    steady && decision.problems.iter().all(|problem| problem.kind.severity() != Severity::Critical)
}

/// Machines on which an elected primary runs, named as the group names its members.
pub(crate) fn hosts_of_primaries(core: &Core) -> BTreeSet<String> {
    core.node.read(|records| {
        let host = |cluster: &interrex_cluster::record::Cluster| {
            Some(cluster.instances.get(&cluster.primary.as_ref()?.instance)?.machine.to_string())
        };
        records.clusters().values().filter_map(host).collect()
    })
}

/// The machine to hand leadership to: one whose voter answers and follows this coordinator, those without a primary
/// first. `strictly`: only those.
pub(crate) async fn best_successor(core: &Core, strictly: bool) -> Option<MachineName> {
    let hosts = hosts_of_primaries(core);
    let heir = core.node.heir(&hosts).await?.machine;
    if strictly && hosts.contains(&heir) { None } else { heir.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::problem::{Problem, ProblemKind};

    #[test]
    fn leadership_stays_while_something_critical_lasts_and_a_warning_does_not_hold_it() {
        let with = |kind| {
            let problems = vec![Problem { kind, evidence: Vec::new() }];
            in_peace(&Operation::None, &Decision { problems, ..Decision::default() })
        };
        assert!(in_peace(&Operation::None, &Decision::default()));
        assert!(with(ProblemKind::StandbyAway { instance: "n2".parse().unwrap() }));
        assert!(!with(ProblemKind::Alone), "whoever leads next would wait anew for a standby to come back");
        assert!(!in_peace(&Operation::Bootstrap { on: "n1".parse().unwrap() }, &Decision::default()));
    }
}
