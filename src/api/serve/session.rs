//! The `Session` service: what a coordinator has to answer to agents.

use super::alive::with_signs;
use super::{Answers, Caller};
use crate::convert::Wire;
use crate::pb;
use crate::pb::session_server::SessionServer;
use crate::refused::Refused;
use crate::session::{GoalUpdate, RegisterRequest, Registered, ReportRequest, Reported, WatchRequest};
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// Answers agents.
#[tonic::async_trait]
pub trait SessionHandler: Send + Sync + 'static {
    /// Linearizable; the leader alone answers, others relay once or refuse with [`Refused::NotLeader`].
    async fn register(&self, caller: Caller, request: RegisterRequest) -> Result<Registered, Refused>;

    /// Every coordinator takes reports; only the leader grants leases.
    async fn report(&self, caller: Caller, request: ReportRequest) -> Result<Reported, Refused>;

    /// The present goal at once, then each that differs. Signs of life are added by the border.
    async fn watch(&self, caller: Caller, request: WatchRequest) -> Result<Answers<GoalUpdate>, Refused>;
}

/// The service as tonic's server takes it.
pub type SessionService<H> = SessionServer<SessionBorder<H>>;

/// Puts a handler on the wire.
pub fn session_service<H: SessionHandler>(handler: Arc<H>) -> SessionService<H> {
    SessionServer::new(SessionBorder { handler })
}

/// Turns messages into our types and back.
#[derive(Debug)]
pub struct SessionBorder<H> {
    handler: Arc<H>,
}

#[tonic::async_trait]
impl<H: SessionHandler> pb::session_server::Session for SessionBorder<H> {
    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::RegisterReply>, Status> {
        let caller = Caller::of(&request);
        let request = RegisterRequest::from_pb(request.into_inner()).map_err(Refused::from)?;
        Ok(Response::new(self.handler.register(caller, request).await?.to_pb()))
    }

    async fn report(&self, request: Request<pb::ReportRequest>) -> Result<Response<pb::ReportReply>, Status> {
        let caller = Caller::of(&request);
        let request = ReportRequest::from_pb(request.into_inner()).map_err(Refused::from)?;
        Ok(Response::new(self.handler.report(caller, request).await?.to_pb()))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchReply, Status>> + Send>>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        use pb::watch_reply::{Alive, Reply};
        let caller = Caller::of(&request);
        let request = WatchRequest::from_pb(request.into_inner()).map_err(Refused::from)?;
        let updates = self.handler.watch(caller, request).await?;
        let replies = updates.map(|update| match update {
            Ok(update) => Ok(pb::WatchReply { reply: Some(Reply::Update(update.to_pb())) }),
            Err(refused) => Err(refused.into()),
        });
        let alive = || Ok(pb::WatchReply { reply: Some(Reply::Alive(Alive {})) });
        Ok(Response::new(Box::pin(with_signs(replies, alive))))
    }
}
