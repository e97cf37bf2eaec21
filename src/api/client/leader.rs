//! Finding the leader, and following it. A client asks whoever answered last; "not the leader" with a hint sends it
//! there, without one to the next address. When all were asked and some are alive, it asks again until its time is
//! up: an election takes about a second. When nobody is there at all, it says so at once.

use super::channel::{ClientOptions, channel};
use super::error::{ClientError, Failure, Tried};
use crate::pb::admin_client::AdminClient;
use crate::refused::Refused;
use crate::session::LeaderHint;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Between two rounds over the coordinators, while none of them leads.
pub(super) const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

/// Asks the coordinators, whichever of them leads. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    addresses: Arc<[String]>,
    options: Arc<ClientOptions>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Who answered last: most likely the leader.
    last: Option<String>,
    channels: BTreeMap<String, Channel>,
}

/// Whether a request may be sent again when its answer did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It asks, or doing it twice is doing it once.
    Freely,
    /// Only when it surely was not carried out.
    Never,
}

/// A round over the coordinators that brought no answer.
#[derive(Debug, Default)]
struct Round {
    tried: Vec<Tried>,
    /// Somebody was alive: another round may bring more.
    alive: bool,
    /// With somebody no TLS connection came about: then that is what has to be told.
    insecure: bool,
    /// Somebody is no member of the group, and so cannot help however long it is waited for.
    outside: bool,
    /// Somebody has no group yet, and waits for others than the one who asks.
    unformed: bool,
    /// Somebody was asked; where time was up before that, a round says nothing.
    asked: bool,
}

impl Round {
    /// Nobody was alive in it, and no other round would help: why, by what says most.
    fn in_vain(self) -> ClientError {
        let tried = self.tried;
        match () {
            () if self.insecure => ClientError::Insecure { tried },
            () if self.outside => ClientError::NotMember { tried },
            () if self.unformed => ClientError::NotFormed { tried },
            () => ClientError::NoAnswer { tried },
        }
    }
}

impl Client {
    /// A client of the group whose members listen at `coordinators` (`host:port` each; not all need be named). Nothing
    /// is dialled yet. Call it within a tokio runtime.
    ///
    /// # Errors
    /// No address, or one that is none.
    pub fn new(coordinators: Vec<String>, options: ClientOptions) -> Result<Self, ClientError> {
        if coordinators.is_empty() {
            return Err(ClientError::NoAddress);
        }
        let client =
            Self { addresses: coordinators.into(), options: Arc::new(options), known: Arc::default() };
        for address in client.addresses.iter() {
            client.channel(address)?;
        }
        Ok(client)
    }

    /// The addresses that it was given.
    pub fn coordinators(&self) -> &[String] {
        &self.addresses
    }

    /// Asks for one answer. The address that gave it is told along.
    pub(crate) async fn ask<P, R, F>(
        &self,
        repeat: Repeat,
        message: P,
        call: F,
    ) -> Result<(String, R), ClientError>
    where
        P: Clone,
        F: AsyncFn(AdminClient<Channel>, Request<P>) -> Result<Response<R>, Status>,
    {
        self.ask_with(repeat, |left| self.options.request(message.clone(), left), call).await
    }

    /// As [`Client::ask`], for a stream: the deadline holds for its beginning only.
    pub(crate) async fn open<P, R, F>(&self, message: P, call: F) -> Result<(String, R), ClientError>
    where
        P: Clone,
        F: AsyncFn(AdminClient<Channel>, Request<P>) -> Result<Response<R>, Status>,
    {
        self.ask_with(Repeat::Freely, |_| self.options.lasting(message.clone()), call).await
    }

    async fn ask_with<P, R, F>(
        &self,
        repeat: Repeat,
        request: impl Fn(Duration) -> Request<P>,
        call: F,
    ) -> Result<(String, R), ClientError>
    where
        F: AsyncFn(AdminClient<Channel>, Request<P>) -> Result<Response<R>, Status>,
    {
        let deadline = Instant::now() + self.options.overall;
        let mut tried_before = Vec::new();
        loop {
            let round = match self.round(repeat, deadline, &request, &call).await? {
                Ok(answer) => return Ok(answer),
                // Another round follows only on one in which somebody was alive; cut short, it does not unsay that.
                Err(round) if !tried_before.is_empty() && (!round.asked || Instant::now() >= deadline) => {
                    return Err(ClientError::NotNow { tried: tried_before });
                }
                Err(round) => round,
            };
            if !round.alive {
                return Err(round.in_vain());
            }
            if self.options.relayed || Instant::now() + BETWEEN_ROUNDS >= deadline {
                return Err(ClientError::NotNow { tried: round.tried });
            }
            tried_before = round.tried;
            tokio::time::sleep(BETWEEN_ROUNDS).await;
        }
    }

    /// Asks each coordinator once, hints first. `Ok(Err(_))`: nobody could; outer errors are final.
    async fn round<P, R, F>(
        &self,
        repeat: Repeat,
        deadline: Instant,
        request: &impl Fn(Duration) -> Request<P>,
        call: &F,
    ) -> Result<Result<(String, R), Round>, ClientError>
    where
        F: AsyncFn(AdminClient<Channel>, Request<P>) -> Result<Response<R>, Status>,
    {
        let mut round = Round::default();
        let mut asked = BTreeSet::new();
        let mut queue = self.order();
        while let Some(address) = queue.pop_front() {
            if !asked.insert(address.clone()) {
                continue;
            }
            let left = self.options.call.min(deadline.saturating_duration_since(Instant::now()));
            let tried = |why: String| Tried { address: address.clone(), why };
            if left.is_zero() {
                round.tried.push(tried("not asked, time was up".to_owned()));
                continue;
            }
            // An address that a coordinator hinted at may be none: that is the hint's fault, not the caller's.
            let channel = match self.channel(&address) {
                Ok(channel) => channel,
                Err(bad) => {
                    round.tried.push(tried(bad.to_string()));
                    continue;
                }
            };
            round.asked = true;
            let answer = tokio::time::timeout(left, call(AdminClient::new(channel), request(left))).await;
            let failure = match answer {
                Ok(Ok(answer)) => {
                    self.known().last = Some(address.clone());
                    return Ok(Ok((address, answer.into_inner())));
                }
                Ok(Err(status)) => Failure::of(&status, left),
                Err(_) => Failure::timed_out(left),
            };
            self.forget(&address);
            match failure {
                Failure::Refused(refused @ (Refused::NotLeader(_) | Refused::Unavailable(_))) => {
                    round.alive = true;
                    round.tried.push(tried(refused.to_string()));
                    if let Refused::NotLeader(Some(hint)) = refused
                        && !self.options.relayed
                    {
                        queue.push_front(self.hinted(hint));
                    }
                }
                Failure::Refused(Refused::NotMember(why)) => {
                    round.outside = true;
                    round.tried.push(tried(why));
                }
                Failure::Refused(Refused::NotFormed(why)) => {
                    round.unformed = true;
                    round.tried.push(tried(why));
                }
                Failure::Refused(refused) => return Err(ClientError::Refused { address, refused }),
                Failure::NotSent(why) => round.tried.push(tried(why)),
                Failure::Insecure(why) => {
                    round.insecure = true;
                    round.tried.push(tried(why));
                }
                Failure::Unknown(why) if repeat == Repeat::Never => {
                    return Err(ClientError::OutcomeUnknown { tried: tried(why) });
                }
                Failure::Unknown(why) => round.tried.push(tried(why)),
            }
        }
        Ok(Err(round))
    }

    /// Where a hint leads: over TLS to the machine that it names, and to nobody else at its address.
    fn hinted(&self, hint: LeaderHint) -> String {
        match self.options.tls {
            Some(_) => format!("{}={}", hint.machine, hint.address),
            None => hint.address,
        }
    }

    /// Whom to ask first: whoever answered last, then the others as they were given.
    fn order(&self) -> VecDeque<String> {
        self.known().last.iter().chain(self.addresses.iter()).cloned().collect()
    }

    /// Whoever did not answer is not asked first again.
    fn forget(&self, address: &str) {
        let mut known = self.known();
        if known.last.as_deref() == Some(address) {
            known.last = None;
        }
    }

    fn channel(&self, address: &str) -> Result<Channel, ClientError> {
        let mut known = self.known();
        if let Some(channel) = known.channels.get(address) {
            return Ok(channel.clone());
        }
        let made = channel(address, &self.options)?;
        known.channels.insert(address.to_owned(), made.clone());
        Ok(made)
    }

    /// Nothing is ever left half done under this lock, so a poisoned one is as good as any.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
