//! Keeps leadership away from machines that host a primary, where another machine hosts none: so that one death rarely
//! costs both the primary and the coordinator that has to notice it.
//!
//! A nicety, so it is done only in peace: every cluster steady, this coordinator leading for a while, the other one
//! answering and following.

use crate::core::Core;
use interrex_cluster::ids::MachineName;
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

/// Everything is steady, and this machine hosts a primary.
fn calls_for_it(core: &Core) -> bool {
    let steady = core
        .node
        .read(|r| r.clusters().values().all(|c| matches!(c.operation, Operation::None | Operation::Gather)));
    steady && hosts_of_primaries(core).contains(core.machine.as_str())
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
