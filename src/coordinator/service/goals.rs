//! What an instance has to be, as a stream: the present goal at once, then each that differs, out of the state applied
//! here. Any coordinator of the group tells it: an old goal is refused by its stamp, so that one that lags does no harm.
//!
//! Of the group is who leads it, or was called by its leader a moment ago. One that starts applies its log before it
//! hears from anybody, and the log may be that of a group which an operator has made anew since without it
//! ([`crate::raft::recover`]): goals of the same stamps as the new ones, and others. Where a majority of that group starts
//! with its old logs, it has a leader again: so each update names its group, and agents know which one they left.

use crate::core::Core;
use crate::raft::Leadership;
use futures::stream;
use interrex_api::serve::Answers;
use interrex_api::session::{GoalUpdate, PrimaryPlace, WatchRequest};
use interrex_cluster::goal::goal;
use interrex_cluster::ids::InstanceName;
use interrex_cluster::record::{Address, Cluster};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

struct Following {
    core: Arc<Core>,
    request: WatchRequest,
    applied: watch::Receiver<u64>,
    leadership: watch::Receiver<Leadership>,
    called: watch::Receiver<Option<Instant>>,
    told: Option<(u64, GoalUpdate)>,
}

/// Follows the goals of one instance until the coordinator ends.
pub(crate) fn follow(core: Arc<Core>, request: WatchRequest) -> Answers<GoalUpdate> {
    let node = &core.node;
    let (applied, leadership, called) = (node.applied(), node.leadership(), node.called());
    let following = Following { applied, leadership, called, core, request, told: None };
    Box::pin(stream::unfold(following, |mut following| async move {
        let update = following.next().await?;
        Some((Ok(update), following))
    }))
}

impl Following {
    /// The next update that differs; `None` when the coordinator ends.
    async fn next(&mut self) -> Option<GoalUpdate> {
        loop {
            self.applied.mark_unchanged();
            self.leadership.mark_unchanged();
            self.called.mark_unchanged();
            let belongs = self.core.node.belongs();
            if belongs && let Some(update) = self.news() {
                return Some(update);
            }
            tokio::select! {
                changed = self.applied.changed() => changed.ok()?,
                changed = self.leadership.changed() => changed.ok()?,
                changed = self.called.changed(), if !belongs => changed.ok()?,
                () = self.core.ended() => return None,
            }
        }
    }

    fn news(&mut self) -> Option<GoalUpdate> {
        let told = self.told.as_ref();
        let (version, update) = self.core.node.read(|records| {
            let version = records.version(&self.request.cluster);
            if told.is_some_and(|(known, _)| *known == version) {
                return None;
            }
            let update = update(records.cluster(&self.request.cluster), &self.request);
            Some((version, GoalUpdate { group: self.core.group(), ..update }))
        })?;
        let new = told.is_none_or(|(_, known)| *known != update);
        self.told = Some((version, update.clone()));
        new.then_some(update)
    }
}

/// What the record says to one instance. A directory that is not the registered one is told nothing to be.
fn update(record: Option<&Cluster>, request: &WatchRequest) -> GoalUpdate {
    let Some(record) = record else {
        return GoalUpdate { goal: None, peers: BTreeMap::new(), primary: None, whole: false, group: None };
    };
    let member = record.instances.get(&request.instance);
    let registered = member.is_some_and(|member| member.directory == request.directory);
    GoalUpdate {
        goal: goal(record, &request.instance).filter(|_| registered),
        peers: peers(record),
        primary: record.primary.as_ref().and_then(|reign| {
            let address = record.instances.get(&reign.instance)?.address.clone();
            Some(PrimaryPlace { instance: reign.instance.clone(), epoch: record.epoch, address })
        }),
        whole: registered && record.is_whole(),
        group: None,
    }
}

/// Every member with its PostgreSQL's address.
pub(crate) fn peers(record: &Cluster) -> BTreeMap<InstanceName, Address> {
    record.instances.iter().map(|(name, member)| (name.clone(), member.address.clone())).collect()
}
