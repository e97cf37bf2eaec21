//! An agent's line to one coordinator. An agent speaks to each of them separately: reports go to all, and whoever
//! leads answers with a lease.

use super::channel::{ClientOptions, channel};
use super::error::{ClientError, Failure, Tried};
use super::updates::GoalUpdates;
use crate::convert::{BadMessage, Wire};
use crate::pb::session_client::SessionClient as Generated;
use crate::session::{RegisterRequest, Registered, ReportRequest, Reported, WatchRequest};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// A line to one coordinator. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct SessionClient {
    address: String,
    options: ClientOptions,
    channel: Channel,
}

impl SessionClient {
    /// A line to the coordinator at `address` (`host:port`). Nothing is dialled yet. Call it within a tokio
    /// runtime.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(address: &str, options: ClientOptions) -> Result<Self, ClientError> {
        Ok(Self { address: address.to_owned(), channel: channel(address, &options)?, options })
    }

    /// Where it leads to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Presents the instance. Takes up to `options.overall`, because it may be passed on to the leader.
    ///
    /// # Errors
    /// [`crate::refused::Refused::NotLeader`] with the hint, or no answer.
    pub async fn register(&self, request: &RegisterRequest) -> Result<Registered, ClientError> {
        let deadline = self.options.overall;
        let message = self.options.request(request.to_pb(), deadline);
        let mut to = self.to();
        self.within(deadline, to.register(message), Registered::from_pb).await
    }

    /// Tells how the instance is. Takes up to `options.call`.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn report(&self, request: &ReportRequest) -> Result<Reported, ClientError> {
        let deadline = self.options.call;
        let message = self.options.request(request.to_pb(), deadline);
        let mut to = self.to();
        self.within(deadline, to.report(message), Reported::from_pb).await
    }

    /// Goals: the present one at once, the next ones as they come. Takes up to `options.call` to begin.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn watch(&self, request: &WatchRequest) -> Result<GoalUpdates, ClientError> {
        let message = self.options.lasting(request.to_pb());
        let mut to = self.to();
        let updates = |stream| Ok(GoalUpdates::new(self.address.clone(), stream));
        self.within(self.options.call, to.watch(message), updates).await
    }

    fn to(&self) -> Generated<Channel> {
        Generated::new(self.channel.clone())
    }

    async fn within<P, T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<Response<P>, Status>>,
        read: impl FnOnce(P) -> Result<T, BadMessage>,
    ) -> Result<T, ClientError> {
        let address = || self.address.clone();
        let failure = match tokio::time::timeout(deadline, call).await {
            Ok(Ok(answer)) => {
                return read(answer.into_inner())
                    .map_err(|bad| ClientError::BadReply { address: address(), bad });
            }
            Ok(Err(status)) => Failure::of(&status, deadline),
            Err(_) => Failure::timed_out(deadline),
        };
        Err(match failure {
            Failure::Refused(refused) => ClientError::Refused { address: address(), refused },
            Failure::Insecure(why) => {
                ClientError::Insecure { tried: vec![Tried { address: address(), why }] }
            }
            Failure::NotSent(why) | Failure::Unknown(why) => {
                ClientError::NoAnswer { tried: vec![Tried { address: address(), why }] }
            }
        })
    }
}
