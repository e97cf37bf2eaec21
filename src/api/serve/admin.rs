//! The `Admin` service: what a coordinator has to answer to operators and their tools.

use super::alive::with_signs;
use super::{Answers, Caller};
use crate::admin::{
    ChangeProgress, ConnectionInfo, Coordinator, CoordinatorChange, CreateCluster, Created, EventsRequest,
    Explanation, FailoverReply, FailoverRequest, SetSpecReply, SetSpecRequest, SwitchoverRequest,
};
use crate::convert::ids::{maybe_name, name};
use crate::convert::{Wire, all, need};
use crate::pb;
use crate::pb::admin_server::AdminServer;
use crate::refused::Refused;
use interrex_cluster::command::Asking;
use interrex_cluster::event::Event;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName, MachineName};
use interrex_cluster::receipt::Kept;
use interrex_cluster::status::ClusterStatus;
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// Answers operators. Where a call says *leader*, others relay it once or refuse with [`Refused::NotLeader`].
#[tonic::async_trait]
pub trait AdminHandler: Send + Sync + 'static {
    /// Makes the record of a new cluster. Leader.
    async fn create_cluster(&self, caller: Caller, request: CreateCluster) -> Result<Created, Refused>;

    /// Every cluster, by name. Leader.
    async fn list_clusters(&self, caller: Caller) -> Result<Vec<ClusterStatus>, Refused>;

    /// One cluster. Leader.
    async fn get_cluster(&self, caller: Caller, cluster: ClusterName) -> Result<ClusterStatus, Refused>;

    /// How an application connects; with the password only when asked for. Leader.
    async fn connection_info(
        &self,
        caller: Caller,
        cluster: ClusterName,
        with_password: bool,
    ) -> Result<ConnectionInfo, Refused>;

    /// What happened, oldest first. Any coordinator; ends with the newest unless followed. Signs of life are added by
    /// the border.
    async fn events(&self, caller: Caller, request: EventsRequest) -> Result<Answers<Event>, Refused>;

    /// What the rules make of the cluster at this moment. Leader.
    async fn explain(&self, caller: Caller, cluster: ClusterName) -> Result<Explanation, Refused>;
    /// What copies held that nobody else had, when they were given up; the newest first.
    async fn receipts(&self, caller: Caller, cluster: ClusterName) -> Result<Vec<Kept>, Refused>;

    /// Changes the primary without its help, or says what that would do. Leader.
    async fn failover(&self, caller: Caller, request: FailoverRequest) -> Result<FailoverReply, Refused>;

    /// Changes the primary with its help, or says what that would do. Leader.
    async fn switchover(&self, caller: Caller, request: SwitchoverRequest) -> Result<FailoverReply, Refused>;

    /// Nothing automatic begins from now on, or does again; false when it was so already. Leader.
    async fn set_paused(&self, caller: Caller, cluster: ClusterName, paused: bool) -> Result<bool, Refused>;

    /// Changes what is wanted of the cluster, whole or not at all. Leader.
    async fn set_spec(&self, caller: Caller, request: SetSpecRequest) -> Result<SetSpecReply, Refused>;

    /// Asks something of one instance; the epoch that begins where a change of primary follows. Leader.
    async fn ask_instance(
        &self,
        caller: Caller,
        cluster: ClusterName,
        instance: InstanceName,
        what: Asking,
    ) -> Result<Option<Epoch>, Refused>;

    /// The coordinators, as this one knows them. Any coordinator.
    async fn list_coordinators(&self, caller: Caller) -> Result<Vec<Coordinator>, Refused>;

    /// Hands leadership to `to`, or to whichever is best; the machine that leads now. Leader.
    async fn transfer_leadership(
        &self,
        caller: Caller,
        to: Option<MachineName>,
    ) -> Result<MachineName, Refused>;

    /// Changes the group of coordinators, or tells how far that is. Leader.
    async fn change_coordinators(
        &self,
        caller: Caller,
        change: CoordinatorChange,
    ) -> Result<ChangeProgress, Refused>;
}

/// The service as tonic's server takes it.
pub type AdminService<H> = AdminServer<AdminBorder<H>>;

/// Puts a handler on the wire.
pub fn admin_service<H: AdminHandler>(handler: Arc<H>) -> AdminService<H> {
    AdminServer::new(AdminBorder { handler })
}

/// Turns messages into our types and back.
#[derive(Debug)]
pub struct AdminBorder<H> {
    handler: Arc<H>,
}

/// A cluster's name, as every request about one cluster carries it.
fn cluster(text: String) -> Result<ClusterName, Refused> {
    Ok(name(text, "name")?)
}

#[tonic::async_trait]
impl<H: AdminHandler> pb::admin_server::Admin for AdminBorder<H> {
    async fn create_cluster(
        &self,
        request: Request<pb::CreateClusterRequest>,
    ) -> Result<Response<pb::CreateClusterReply>, Status> {
        let caller = Caller::of(&request);
        let request = CreateCluster::from_pb(request.into_inner()).map_err(Refused::from)?;
        Ok(Response::new(self.handler.create_cluster(caller, request).await?.to_pb()))
    }

    async fn list_clusters(
        &self,
        request: Request<pb::ListClustersRequest>,
    ) -> Result<Response<pb::ListClustersReply>, Status> {
        let clusters = self.handler.list_clusters(Caller::of(&request)).await?;
        Ok(Response::new(pb::ListClustersReply { clusters: all(&clusters) }))
    }

    async fn get_cluster(
        &self,
        request: Request<pb::GetClusterRequest>,
    ) -> Result<Response<pb::ClusterStatus>, Status> {
        let caller = Caller::of(&request);
        let name = cluster(request.into_inner().name)?;
        Ok(Response::new(self.handler.get_cluster(caller, name).await?.to_pb()))
    }

    async fn connection_info(
        &self,
        request: Request<pb::ConnectionInfoRequest>,
    ) -> Result<Response<pb::ConnectionInfoReply>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let name = cluster(request.name)?;
        Ok(Response::new(self.handler.connection_info(caller, name, request.with_password).await?.to_pb()))
    }

    type EventsStream = Pin<Box<dyn Stream<Item = Result<pb::EventsReply, Status>> + Send>>;

    async fn events(
        &self,
        request: Request<pb::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        use pb::events_reply::{Alive, Reply};
        let caller = Caller::of(&request);
        let request = EventsRequest::from_pb(request.into_inner()).map_err(Refused::from)?;
        let events = self.handler.events(caller, request).await?;
        let replies = events.map(|event| match event {
            Ok(event) => Ok(pb::EventsReply { reply: Some(Reply::Event(event.to_pb())) }),
            Err(refused) => Err(refused.into()),
        });
        let alive = || Ok(pb::EventsReply { reply: Some(Reply::Alive(Alive {})) });
        Ok(Response::new(Box::pin(with_signs(replies, alive))))
    }

    async fn explain(
        &self,
        request: Request<pb::ExplainRequest>,
    ) -> Result<Response<pb::ExplainReply>, Status> {
        let caller = Caller::of(&request);
        let name = cluster(request.into_inner().name)?;
        Ok(Response::new(self.handler.explain(caller, name).await?.to_pb()))
    }

    async fn list_receipts(
        &self,
        request: Request<pb::ListReceiptsRequest>,
    ) -> Result<Response<pb::ListReceiptsReply>, Status> {
        let caller = Caller::of(&request);
        let name = cluster(request.into_inner().name)?;
        let receipts = all(&self.handler.receipts(caller, name).await?);
        Ok(Response::new(pb::ListReceiptsReply { receipts }))
    }

    async fn failover(
        &self,
        request: Request<pb::FailoverRequest>,
    ) -> Result<Response<pb::FailoverReply>, Status> {
        let caller = Caller::of(&request);
        let request = FailoverRequest::from_pb(request.into_inner()).map_err(Refused::from)?;
        Ok(Response::new(self.handler.failover(caller, request).await?.to_pb()))
    }

    async fn switchover(
        &self,
        request: Request<pb::SwitchoverRequest>,
    ) -> Result<Response<pb::FailoverReply>, Status> {
        let caller = Caller::of(&request);
        let request = SwitchoverRequest::from_pb(request.into_inner()).map_err(Refused::from)?;
        Ok(Response::new(self.handler.switchover(caller, request).await?.to_pb()))
    }

    async fn set_paused(
        &self,
        request: Request<pb::SetPausedRequest>,
    ) -> Result<Response<pb::SetPausedReply>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let name = cluster(request.name)?;
        let changed = self.handler.set_paused(caller, name, request.paused).await?;
        Ok(Response::new(pb::SetPausedReply { changed }))
    }

    async fn set_spec(
        &self,
        request: Request<pb::SetSpecRequest>,
    ) -> Result<Response<pb::SetSpecReply>, Status> {
        let caller = Caller::of(&request);
        let request = SetSpecRequest::from_pb(request.into_inner()).map_err(Refused::from)?;
        let SetSpecReply { changed, proposed } = self.handler.set_spec(caller, request).await?;
        Ok(Response::new(pb::SetSpecReply { changed, proposed }))
    }

    async fn ask_instance(
        &self,
        request: Request<pb::AskInstanceRequest>,
    ) -> Result<Response<pb::AskInstanceReply>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let (cluster, instance) = (cluster(request.name)?, name(request.instance, "instance"));
        let what = need(request.ask, "ask").map_err(Refused::from)?;
        let instance = instance.map_err(Refused::from)?;
        let epoch = self.handler.ask_instance(caller, cluster, instance, what).await?;
        Ok(Response::new(pb::AskInstanceReply { epoch: epoch.map(|epoch| epoch.0) }))
    }

    async fn list_coordinators(
        &self,
        request: Request<pb::ListCoordinatorsRequest>,
    ) -> Result<Response<pb::ListCoordinatorsReply>, Status> {
        let coordinators = self.handler.list_coordinators(Caller::of(&request)).await?;
        Ok(Response::new(pb::ListCoordinatorsReply { coordinators: all(&coordinators) }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipReply>, Status> {
        let caller = Caller::of(&request);
        let to = maybe_name(request.into_inner().to, "to").map_err(Refused::from)?;
        let leader = self.handler.transfer_leadership(caller, to).await?;
        Ok(Response::new(pb::TransferLeadershipReply { leader: leader.to_string() }))
    }

    async fn change_coordinators(
        &self,
        request: Request<pb::ChangeCoordinatorsRequest>,
    ) -> Result<Response<pb::ChangeCoordinatorsReply>, Status> {
        let caller = Caller::of(&request);
        let change = CoordinatorChange::from_pb(request.into_inner()).map_err(Refused::from)?;
        Ok(Response::new(self.handler.change_coordinators(caller, change).await?.to_pb()))
    }
}
