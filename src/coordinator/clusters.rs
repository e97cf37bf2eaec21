//! Clusters that a node file names: made once, at the first start that finds them missing.
//!
//! Later the record alone counts. A file that says something else by then is told so in the log, and changes nothing.

use crate::core::Core;
use crate::service::{create, relay::Relays};
use interrex_api::admin::CreateCluster;
use interrex_api::refused::Refused;
use interrex_cluster::ids::ClusterName;
use interrex_cluster::spec::Spec;
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
    let differences = differences(&wanted.spec, &spec);
    if !differences.is_empty() {
        let (name, differences) = (&wanted.name, differences.join(", "));
        tracing::warn!(
            cluster = %name,
            "[cluster.{name}] of the node file says something else than the cluster as it was created, which counts: \
             {differences}"
        );
    }
    true
}

/// What the file says otherwise than the record, a few words each.
fn differences(file: &Spec, record: &Spec) -> Vec<String> {
    let Spec { instances, acks, min_acks, when_alone, max_data_loss, on_crash, .. } = record;
    let pairs = [
        ("instances", file.instances.to_string(), instances.to_string()),
        ("acks", file.acks.to_string(), acks.to_string()),
        ("min_acks", file.min_acks.to_string(), min_acks.to_string()),
        ("when_alone", format!("{:?}", file.when_alone), format!("{when_alone:?}")),
        ("max_data_loss", file.max_data_loss.to_string(), max_data_loss.to_string()),
        ("on_crash", format!("{:?}", file.on_crash), format!("{on_crash:?}")),
    ];
    let differing = pairs.into_iter().filter(|(_, ours, theirs)| ours != theirs);
    differing.map(|(key, ours, theirs)| format!("{key} = {theirs}, not {ours}").to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_named() {
        let record = Spec::default();
        assert!(differences(&record, &record).is_empty());
        let file =
            Spec { instances: 5, when_alone: interrex_cluster::spec::WhenAlone::Block, ..Spec::default() };
        assert_eq!(differences(&file, &record), ["instances = 3, not 5", "when_alone = continue, not block"]);
    }
}
