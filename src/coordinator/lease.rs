//! Leases: leave for a primary to serve until an instant.
//!
//! A grant needs three things, in this order: the request came in; a quorum then confirmed that this coordinator leads
//! and everything committed by then was applied here; and the record *then* names the asking directory as primary of
//! exactly the epoch asked for. A deposed leader fails at the second, a deposed primary at the third. The instant of
//! the grant is noted under the same lock that reads the record, so that whoever begins a failover afterwards knows
//! which lease has to run out. An instance that is elected and not yet promoted gets one: it needs it to promote.

use crate::core::Core;
use interrex_api::session::LeaseGrant;
use interrex_cluster::ids::{ClusterName, DirectoryId, Epoch, InstanceName};
use interrex_cluster::record::Cluster;
use std::time::Duration;

/// For a quorum to confirm. An agent asks again with its next report.
const CONFIRMATION: Duration = Duration::from_secs(1);

/// Who asks, and for what.
pub(crate) struct Wish<'a> {
    pub(crate) cluster: &'a ClusterName,
    pub(crate) instance: &'a InstanceName,
    pub(crate) directory: &'a DirectoryId,
    pub(crate) epoch: Epoch,
}

/// Grants the lease, or does not: the reasons are all in the goals that the agent gets.
pub(crate) async fn grant(core: &Core, wish: &Wish<'_>) -> Option<LeaseGrant> {
    // Cheap refusals first: a quorum is not bothered for what cannot be granted anyway.
    let by_now =
        core.node.read(|records| records.cluster(wish.cluster).is_some_and(|record| due(record, wish)));
    if !by_now || core.reign().is_none() || core.untrusted(wish.cluster).is_some() {
        return None;
    }
    if let Err(why) = core.node.confirm_leadership(CONFIRMATION).await {
        tracing::debug!(cluster = %wish.cluster, instance = %wish.instance, "no lease granted: {why}");
        return None;
    }
    let mut reign = core.reign()?;
    let granted = core.node.read(|records| {
        let due = records.cluster(wish.cluster).is_some_and(|record| due(record, wish));
        if due {
            reign.granting(wish.cluster, core.now());
        }
        due
    });
    granted.then_some(LeaseGrant { epoch: wish.epoch, ttl: core.policy.lease })
}

/// Whether the record names the asker primary of the epoch asked for.
fn due(record: &Cluster, wish: &Wish<'_>) -> bool {
    let elected = record.primary.as_ref().is_some_and(|reign| reign.instance == *wish.instance);
    let registered =
        record.instances.get(wish.instance).is_some_and(|member| member.directory == *wish.directory);
    elected && registered && record.epoch == wish.epoch
}
