//! The operators' side. What is the leader's to answer is passed on to it once, so that any coordinator's address will
//! do.

use super::relay::{Answerer, Relays, refused};
use super::{belongs, create, events, failover, group, switchover, unchanged, wishes};
use crate::core::{Core, Look};
use crate::yielding::best_successor;
use interrex_api::admin::{
    ChangeProgress, ConnectionInfo, Coordinator, CoordinatorChange, CreateCluster, Created, EventsRequest,
    Explanation, FailoverReply, FailoverRequest, SetSpecReply, SetSpecRequest, SwitchoverRequest,
};
use interrex_api::refused::Refused;
use interrex_api::serve::{AdminHandler, Answers, Caller};
use interrex_cluster::command::Asking;
use interrex_cluster::event::Event;
use interrex_cluster::explain;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName, MachineName};
use interrex_cluster::receipt::Kept;
use interrex_cluster::record::{Address, Cluster};
use interrex_cluster::status::ClusterStatus;
use std::sync::Arc;

/// Answers operators.
pub(crate) struct Admin {
    pub(crate) core: Arc<Core>,
    pub(crate) relays: Arc<Relays>,
}

impl Admin {
    fn answerer(&self, caller: &Caller) -> Result<Answerer, Refused> {
        self.relays.answerer(&self.core, caller)
    }
}

#[tonic::async_trait]
impl AdminHandler for Admin {
    async fn create_cluster(&self, caller: Caller, request: CreateCluster) -> Result<Created, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => create::create(&self.core, request).await,
            Answerer::There(leader) => leader.create_cluster(&request).await.map_err(refused),
        }
    }

    async fn list_clusters(&self, caller: Caller) -> Result<Vec<ClusterStatus>, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => {
                let names: Vec<_> =
                    self.core.node.read(|records| records.clusters().keys().cloned().collect());
                names.iter().map(|name| Ok(status(&look(&self.core, name)?))).collect()
            }
            Answerer::There(leader) => leader.list_clusters().await.map_err(refused),
        }
    }

    async fn get_cluster(&self, caller: Caller, cluster: ClusterName) -> Result<ClusterStatus, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => Ok(status(&look(&self.core, &cluster)?)),
            Answerer::There(leader) => leader.get_cluster(&cluster).await.map_err(refused),
        }
    }

    async fn connection_info(
        &self,
        caller: Caller,
        cluster: ClusterName,
        with_password: bool,
    ) -> Result<ConnectionInfo, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => {
                let info = |record: &Cluster| connection_info(record, with_password);
                let found = self.core.node.read(|records| records.cluster(&cluster).map(info));
                found.ok_or_else(|| no_cluster(&cluster))
            }
            Answerer::There(leader) => leader.connection_info(&cluster, with_password).await.map_err(refused),
        }
    }

    /// Who follows hears from any coordinator as it learns. Who asks what has happened so far is to hear of all that was
    /// acknowledged by then, as the leader knows it; where there is none, what is known here.
    async fn events(&self, caller: Caller, request: EventsRequest) -> Result<Answers<Event>, Refused> {
        belongs(&self.core)?;
        if !request.follow
            && let Ok(Answerer::There(leader)) = self.answerer(&caller)
            && let Ok(told) = leader.events(request.clone()).await
        {
            return Ok(events::passed_on(told));
        }
        if self.core.node.members().is_empty() {
            return Err(group::forming(&self.core));
        }
        if let Some(name) = &request.cluster
            && self.core.node.read(|records| records.cluster(name).is_none())
        {
            // One that follows may only lag behind: the caller asks the next, and the leader knows.
            return Err(match self.core.reign() {
                Some(_) => no_cluster(name),
                None => Refused::Unavailable(format!("this coordinator does not know cluster {name} yet")),
            });
        }
        Ok(events::tell(self.core.clone(), request))
    }

    async fn explain(&self, caller: Caller, cluster: ClusterName) -> Result<Explanation, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => {
                let seen = look(&self.core, &cluster)?;
                Ok(Explanation { lines: explain::lines(&seen.decision), status: status(&seen) })
            }
            Answerer::There(leader) => leader.explain(&cluster).await.map_err(refused),
        }
    }

    async fn receipts(&self, caller: Caller, cluster: ClusterName) -> Result<Vec<Kept>, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => {
                let seen = look(&self.core, &cluster)?;
                Ok(seen.record.receipts.iter().rev().cloned().collect())
            }
            Answerer::There(leader) => leader.receipts(&cluster).await.map_err(refused),
        }
    }

    async fn failover(&self, caller: Caller, request: FailoverRequest) -> Result<FailoverReply, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => failover::failover(&self.core, request).await,
            Answerer::There(leader) => leader.failover(&request).await.map_err(refused),
        }
    }

    async fn switchover(&self, caller: Caller, request: SwitchoverRequest) -> Result<FailoverReply, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => switchover::switchover(&self.core, request).await,
            Answerer::There(leader) => leader.switchover(&request).await.map_err(refused),
        }
    }

    async fn set_paused(&self, caller: Caller, cluster: ClusterName, paused: bool) -> Result<bool, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => wishes::set_paused(&self.core, &cluster, paused).await,
            Answerer::There(leader) => leader.set_paused(&cluster, paused).await.map_err(refused),
        }
    }

    async fn set_spec(&self, caller: Caller, request: SetSpecRequest) -> Result<SetSpecReply, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => wishes::set(&self.core, request).await,
            Answerer::There(leader) => leader.set_spec(&request).await.map_err(refused),
        }
    }

    async fn ask_instance(
        &self,
        caller: Caller,
        cluster: ClusterName,
        instance: InstanceName,
        what: Asking,
    ) -> Result<Option<Epoch>, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => wishes::ask(&self.core, &cluster, instance, what).await,
            Answerer::There(leader) => leader.ask_instance(&cluster, &instance, what).await.map_err(refused),
        }
    }

    async fn list_coordinators(&self, caller: Caller) -> Result<Vec<Coordinator>, Refused> {
        // The leader knows whom it hears; without one, any member knows who belongs to the group.
        match self.answerer(&caller) {
            Ok(Answerer::There(leader)) => match leader.list_coordinators().await {
                Ok(told) => Ok(told),
                Err(_) => group::list(&self.core).await,
            },
            Err(apart @ (Refused::NotMember(_) | Refused::NotFormed(_))) => Err(apart),
            Ok(Answerer::Here) | Err(_) => group::list(&self.core).await,
        }
    }

    async fn change_coordinators(
        &self,
        caller: Caller,
        change: CoordinatorChange,
    ) -> Result<ChangeProgress, Refused> {
        match self.answerer(&caller)? {
            Answerer::Here => group::change(&self.core, change).await,
            Answerer::There(leader) => leader.change_coordinators(&change).await.map_err(refused),
        }
    }

    async fn transfer_leadership(
        &self,
        caller: Caller,
        to: Option<MachineName>,
    ) -> Result<MachineName, Refused> {
        let core = &*self.core;
        match (self.answerer(&caller)?, to) {
            (Answerer::There(leader), to) => leader.transfer_leadership(to.as_ref()).await.map_err(refused),
            (Answerer::Here, Some(to)) => {
                core.node.transfer_leader(to.as_str()).await.map_err(unchanged)?;
                Ok(to)
            }
            (Answerer::Here, None) => {
                let nobody =
                    || Refused::Rejected("no other coordinator answers and follows this one".to_owned());
                let to = best_successor(core, false).await.ok_or_else(nobody)?;
                core.node.transfer_leader(to.as_str()).await.map_err(unchanged)?;
                Ok(to)
            }
        }
    }
}

/// A look at a cluster, or why there is none.
pub(super) fn look(core: &Core, cluster: &ClusterName) -> Result<Look, Refused> {
    match core.look(cluster) {
        Some(look) => Ok(look),
        None if core.node.read(|records| records.cluster(cluster).is_none()) => Err(no_cluster(cluster)),
        None => Err(Refused::NotLeader(core.leader())),
    }
}

fn status(look: &Look) -> ClusterStatus {
    explain::status(&look.view(), &look.decision)
}

fn no_cluster(name: &ClusterName) -> Refused {
    Refused::NotFound(format!("there is no cluster {name}; see: interrex list"))
}

/// There is no such instance.
pub(super) fn no_instance(cluster: &ClusterName, instance: &InstanceName) -> Refused {
    Refused::NotFound(format!(
        "{instance} is not an instance of cluster {cluster}; see: interrex show {cluster}"
    ))
}

/// The open primary first, then the others by name.
fn connection_info(record: &Cluster, with_password: bool) -> ConnectionInfo {
    let open = record.primary.as_ref().filter(|reign| reign.open).map(|reign| &reign.instance);
    let mut hosts: Vec<(InstanceName, Address)> =
        record.instances.iter().map(|(name, member)| (name.clone(), member.address.clone())).collect();
    hosts.sort_by_key(|(name, _)| (Some(name) != open, name.clone()));
    let owner = record.secrets.owner.as_ref();
    ConnectionInfo {
        primary_first: open.is_some(),
        hosts,
        user: owner.map(|(user, _)| user.clone()),
        password: owner.filter(|_| with_password).map(|(_, password)| password.clone()),
    }
}
