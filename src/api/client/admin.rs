//! The calls of operators and their tools, in our own types.

use super::error::ClientError;
use super::events::EventStream;
use super::leader::{Client, Repeat};
use crate::admin::{
    ChangeProgress, ConnectionInfo, Coordinator, CoordinatorChange, CreateCluster, Created, EventsRequest,
    Explanation, FailoverReply, FailoverRequest, SetSpecReply, SetSpecRequest, SwitchoverRequest,
};
use crate::convert::ids::name;
use crate::convert::{BadMessage, Wire, each};
use crate::pb;
use interrex_cluster::command::Asking;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName, MachineName};
use interrex_cluster::receipt::Kept;
use interrex_cluster::status::ClusterStatus;

/// An answer that has to be readable.
fn read<T>((address, value): (String, Result<T, BadMessage>)) -> Result<T, ClientError> {
    value.map_err(|bad| ClientError::BadReply { address, bad })
}

/// A failover with its loss accepted is two entries of the coordinators' log: whoever died may have written the first only.
fn half_done(request: &FailoverRequest, error: ClientError) -> ClientError {
    match error {
        ClientError::OutcomeUnknown { mut tried } if request.accept_loss => {
            tried.why.push_str(
                " (if the failover was begun, its loss may not be accepted yet: as long as interrex show names no primary, \
                 the same command repeated completes it)",
            );
            ClientError::OutcomeUnknown { tried }
        }
        error => error,
    }
}

/// Errors of every call: [`ClientError`]. Calls marked *once* are never repeated when their outcome is unknown.
impl Client {
    /// Makes the record of a new cluster. Once.
    ///
    /// # Errors
    /// [`crate::refused::Refused::Exists`] when the name is taken.
    pub async fn create_cluster(&self, request: &CreateCluster) -> Result<Created, ClientError> {
        let call = async |mut to: Admin, request| to.create_cluster(request).await;
        let (address, reply) = self.ask(Repeat::Never, request.to_pb(), call).await?;
        read((address, Created::from_pb(reply)))
    }

    /// Every cluster, by name.
    ///
    /// # Errors
    /// Nobody answers, or nobody leads.
    pub async fn list_clusters(&self) -> Result<Vec<ClusterStatus>, ClientError> {
        let call = async |mut to: Admin, request| to.list_clusters(request).await;
        let (address, reply) = self.ask(Repeat::Freely, pb::ListClustersRequest {}, call).await?;
        read((address, each(reply.clusters, "clusters")))
    }

    /// One cluster.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotFound`] when there is none of that name.
    pub async fn get_cluster(&self, cluster: &ClusterName) -> Result<ClusterStatus, ClientError> {
        let call = async |mut to: Admin, request| to.get_cluster(request).await;
        let message = pb::GetClusterRequest { name: cluster.to_string() };
        let (address, reply) = self.ask(Repeat::Freely, message, call).await?;
        read((address, ClusterStatus::from_pb(reply)))
    }

    /// How an application connects; with the password only when asked for.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotFound`] when there is none of that name.
    pub async fn connection_info(
        &self,
        cluster: &ClusterName,
        with_password: bool,
    ) -> Result<ConnectionInfo, ClientError> {
        let call = async |mut to: Admin, request| to.connection_info(request).await;
        let message = pb::ConnectionInfoRequest { name: cluster.to_string(), with_password };
        let (address, reply) = self.ask(Repeat::Freely, message, call).await?;
        read((address, ConnectionInfo::from_pb(reply)))
    }

    /// What happened, oldest first; goes on as it happens with `follow`, across changes of the leader.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn events(&self, request: EventsRequest) -> Result<EventStream, ClientError> {
        EventStream::open(self.clone(), request).await
    }

    /// What the rules make of the cluster at this moment, in words.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotFound`] when there is none of that name.
    pub async fn explain(&self, cluster: &ClusterName) -> Result<Explanation, ClientError> {
        let call = async |mut to: Admin, request| to.explain(request).await;
        let message = pb::ExplainRequest { name: cluster.to_string() };
        let (address, reply) = self.ask(Repeat::Freely, message, call).await?;
        read((address, Explanation::from_pb(reply)))
    }

    /// What copies held that nobody else had, when they were given up; the newest first.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotFound`] when there is no cluster of that name.
    pub async fn receipts(&self, cluster: &ClusterName) -> Result<Vec<Kept>, ClientError> {
        let call = async |mut to: Admin, request| to.list_receipts(request).await;
        let message = pb::ListReceiptsRequest { name: cluster.to_string() };
        let (address, reply) = self.ask(Repeat::Freely, message, call).await?;
        read((address, each(reply.receipts, "receipts")))
    }

    /// Changes the primary without its help, or says what that would do. Once, unless it is a dry run.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotFound`], or [`ClientError::OutcomeUnknown`].
    pub async fn failover(&self, request: &FailoverRequest) -> Result<FailoverReply, ClientError> {
        let repeat = if request.dry_run { Repeat::Freely } else { Repeat::Never };
        let call = async |mut to: Admin, request| to.failover(request).await;
        let asked = self.ask(repeat, request.to_pb(), call).await;
        let (address, reply) = asked.map_err(|error| half_done(request, error))?;
        read((address, FailoverReply::from_pb(reply)))
    }

    /// Changes the primary with its help, or says what that would do. Once, unless it is a dry run. Answered once the
    /// preparation began.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotFound`], or [`ClientError::OutcomeUnknown`].
    pub async fn switchover(&self, request: &SwitchoverRequest) -> Result<FailoverReply, ClientError> {
        let repeat = if request.dry_run { Repeat::Freely } else { Repeat::Never };
        let call = async |mut to: Admin, request| to.switchover(request).await;
        let (address, reply) = self.ask(repeat, request.to_pb(), call).await?;
        read((address, FailoverReply::from_pb(reply)))
    }

    /// Nothing automatic begins from now on, or does again; false when it was so already.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotFound`] when there is no cluster of that name.
    pub async fn set_paused(&self, cluster: &ClusterName, paused: bool) -> Result<bool, ClientError> {
        let call = async |mut to: Admin, request| to.set_paused(request).await;
        let message = pb::SetPausedRequest { name: cluster.to_string(), paused };
        let (_, reply) = self.ask(Repeat::Freely, message, call).await?;
        Ok(reply.changed)
    }

    /// Changes what is wanted of the cluster, whole or not at all. Once. Parameters of PostgreSQL are judged first: then
    /// an event `set` or `set-refused` follows.
    ///
    /// # Errors
    /// [`crate::refused::Refused::Invalid`] with the key and why, or [`ClientError::OutcomeUnknown`].
    pub async fn set_spec(&self, request: &SetSpecRequest) -> Result<SetSpecReply, ClientError> {
        let call = async |mut to: Admin, request| to.set_spec(request).await;
        let (_, reply) = self.ask(Repeat::Never, request.to_pb(), call).await?;
        Ok(SetSpecReply { changed: reply.changed, proposed: reply.proposed })
    }

    /// Asks something of one instance; the epoch that begins where a change of primary follows. Once.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotFound`], or why it cannot be done.
    pub async fn ask_instance(
        &self,
        cluster: &ClusterName,
        instance: &InstanceName,
        what: Asking,
    ) -> Result<Option<Epoch>, ClientError> {
        let call = async |mut to: Admin, request| to.ask_instance(request).await;
        let (name, instance, ask) = (cluster.to_string(), instance.to_string(), Some(what.to_pb()));
        let message = pb::AskInstanceRequest { name, instance, ask };
        let (_, reply) = self.ask(Repeat::Never, message, call).await?;
        Ok(reply.epoch.map(Epoch))
    }

    /// The coordinators, as the answering one knows them.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn list_coordinators(&self) -> Result<Vec<Coordinator>, ClientError> {
        let call = async |mut to: Admin, request| to.list_coordinators(request).await;
        let (address, reply) = self.ask(Repeat::Freely, pb::ListCoordinatorsRequest {}, call).await?;
        read((address, each(reply.coordinators, "coordinators")))
    }

    /// Hands the coordinators' leadership to `to`, or to whichever is best; the machine that leads now. Once.
    ///
    /// # Errors
    /// [`crate::refused::Refused::Rejected`] for a machine that is no voter, or nobody leads.
    pub async fn transfer_leadership(&self, to: Option<&MachineName>) -> Result<MachineName, ClientError> {
        let call = async |mut to: Admin, request| to.transfer_leadership(request).await;
        let message = pb::TransferLeadershipRequest { to: to.map(ToString::to_string) };
        let (address, reply) = self.ask(Repeat::Never, message, call).await?;
        read((address, name(reply.leader, "leader")))
    }

    /// Changes the group of coordinators, or tells how far that is: to be asked again until it is done.
    ///
    /// # Errors
    /// [`crate::refused::Refused::Rejected`] with the way out, before anything was changed.
    pub async fn change_coordinators(
        &self,
        change: &CoordinatorChange,
    ) -> Result<ChangeProgress, ClientError> {
        let call = async |mut to: Admin, request| to.change_coordinators(request).await;
        let (address, reply) = self.ask(Repeat::Freely, change.to_pb(), call).await?;
        read((address, ChangeProgress::from_pb(reply)))
    }
}

type Admin = pb::admin_client::AdminClient<tonic::transport::Channel>;
