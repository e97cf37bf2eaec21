//! Until the cluster's parameters have reached its PostgreSQL servers: only then can they say what waits for a restart.

use crate::{CtlError, Session};
use interrex_cluster::ids::ClusterName;
use interrex_cluster::status::{ClusterStatus, InstanceStatus};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Whoever speaks has read them in less than a second as a rule.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// An agent that has said nothing for so long is not waited for.
const SILENT_AFTER: u64 = 3_000;
/// Between looks: no event tells of it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Its agent does.
pub(crate) fn speaks(instance: &InstanceStatus) -> bool {
    instance.report_age_ms.is_some_and(|age| age < SILENT_AFTER)
}

/// Waits until every instance whose agent speaks has read the parameters. Gives the cluster as it is then, and who has not
/// read them, with what its server does. A copy that is still being made has them from its first start.
///
/// # Errors
/// Nobody answers.
pub(crate) async fn read_everywhere(
    session: &Session<'_>,
    cluster: &ClusterName,
) -> Result<(ClusterStatus, Vec<String>), CtlError> {
    let since = Instant::now();
    loop {
        let status = session.client.get_cluster(cluster).await?;
        let late: Vec<&InstanceStatus> =
            status.instances.iter().filter(|one| one.role != "joining" && !one.parameters_read).collect();
        if !late.iter().any(|one| speaks(one)) || since.elapsed() >= READ_WITHIN {
            let late = late.iter().map(|one| format!("{} ({})", one.name, one.server)).collect();
            return Ok((status, late));
        }
        sleep(LOOK_AGAIN).await;
    }
}
