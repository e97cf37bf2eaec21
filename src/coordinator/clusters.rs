//! Clusters that a node file names: made once, at the first start that finds them missing.
//!
//! Later the record alone counts. A file that says something else by then is told so in the log, and changes nothing.

use crate::core::Core;
use crate::service::{create, relay::Relays};
use interrex_api::admin::CreateCluster;
use interrex_api::refused::Refused;
use interrex_cluster::ids::ClusterName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Between two attempts while nobody leads.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes each of `wanted` that does not exist, by whichever coordinator leads, and ends when all do.
pub(crate) async fn found(core: Arc<Core>, relays: Arc<Relays>, wanted: Vec<CreateCluster>) {
    let mut missing: BTreeMap<ClusterName, CreateCluster> =
        wanted.into_iter().map(|cluster| (cluster.name.clone(), cluster)).collect();
    loop {
        missing.retain(|_, cluster| !settled(&core, cluster));
        let Some(cluster) = missing.values().next().cloned() else { return };
        match make(&core, &relays, &cluster).await {
            Ok(()) | Err(Refused::Exists(_)) => {}
            Err(why @ (Refused::Invalid(_) | Refused::Rejected(_))) => {
                tracing::error!(cluster = %cluster.name, "[cluster.{}] of the node file is not created: {why}", cluster.name);
                missing.remove(&cluster.name);
                continue;
            }
            Err(why) => tracing::debug!(cluster = %cluster.name, "not created yet: {why}"),
        }
        // It exists once it is applied here; a leader's answer may be ahead of that.
        tokio::time::sleep(PAUSE).await;
    }
}

async fn make(core: &Core, relays: &Relays, cluster: &CreateCluster) -> Result<(), Refused> {
    if core.reign().is_some() {
        return create::create(core, cluster.clone()).await.map(drop);
    }
    match core.leader().filter(|leader| leader.machine != core.machine) {
        Some(leader) => relays
            .to(&leader)?
            .create_cluster(cluster)
            .await
            .map(drop)
            .map_err(super::service::relay::refused),
        None => Err(Refused::NotLeader(None)),
    }
}

/// True once the record exists, whoever made it; says so when the file wants something else.
fn settled(core: &Core, wanted: &CreateCluster) -> bool {
    let Some(spec) = core.node.read(|r| r.cluster(&wanted.name).map(|record| record.spec.clone())) else {
        return false;
    };
    if spec != wanted.spec {
        tracing::warn!(
            cluster = %wanted.name,
            "[cluster.{}] of the node file differs from the cluster as it is, which counts: the file says {:?}, the \
             cluster has {spec:?}",
            wanted.name,
            wanted.spec
        );
    }
    true
}
