//! The story, as a stream that survives the coordinator that tells it: every coordinator tells the same, so another
//! one goes on where the broken one stopped.

use super::error::{ClientError, Failure, Tried};
use super::leader::{BETWEEN_ROUNDS, Client};
use crate::admin::EventsRequest;
use crate::convert::{Wire, set};
use crate::pb;
use crate::refused::Refused;
use interrex_cluster::event::Event;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;

/// A stream that gave no sign of life for so long is dead: three of them were missed.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// Events, oldest first.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    request: EventsRequest,
    address: String,
    stream: Streaming<pb::EventsReply>,
    heard: Instant,
    /// Events of the newest entry that were handed out, and of how many of them a new stream repeats.
    given: u64,
    skip: u64,
    /// The newest entry of which events were handed out.
    newest: u64,
}

impl EventStream {
    pub(super) async fn open(client: Client, request: EventsRequest) -> Result<Self, ClientError> {
        let (address, stream) = begin(&client, &request).await?;
        let newest = request.after;
        Ok(Self { client, request, address, stream, heard: Instant::now(), given: 0, skip: 0, newest })
    }

    /// The next event; `None` after the newest one, which never comes with `follow`. Cancel safe but for the moment
    /// in which another coordinator is looked for.
    ///
    /// # Errors
    /// The stream broke and nobody goes on with it, or it holds what this build cannot read.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            let why = match tokio::time::timeout_at(self.heard + SILENCE, self.stream.message()).await {
                Ok(Ok(None)) if !self.request.follow => return Ok(None),
                Ok(Ok(None)) => "the coordinator that told it has stopped".to_owned(),
                Ok(Ok(Some(reply))) => {
                    self.heard = Instant::now();
                    match self.read(reply)? {
                        Some(event) => return Ok(Some(event)),
                        None => continue,
                    }
                }
                Ok(Err(status)) => match Failure::of(&status, SILENCE) {
                    Failure::Refused(
                        refused @ (Refused::NotLeader(_) | Refused::Unavailable(_) | Refused::NotMember(_)),
                    ) => refused.to_string(),
                    Failure::Refused(refused) => {
                        return Err(ClientError::Refused { address: self.address.clone(), refused });
                    }
                    Failure::Insecure(why) | Failure::NotSent(why) | Failure::Unknown(why) => why,
                },
                Err(_) => Failure::timed_out_text(SILENCE),
            };
            self.resume(why).await?;
        }
    }

    /// An event to hand out, if that is what it is and it was not handed out before.
    fn read(&mut self, reply: pb::EventsReply) -> Result<Option<Event>, ClientError> {
        use pb::events_reply::Reply;
        let event = set(reply.reply, "reply").and_then(|reply| match reply {
            Reply::Alive(_) => Ok(None),
            Reply::Event(event) => Event::from_pb(event).map(Some).map_err(|bad| bad.under("event")),
        });
        let event = event.map_err(|bad| ClientError::BadReply { address: self.address.clone(), bad })?;
        let Some(event) = event else { return Ok(None) };
        if event.index == self.newest && self.skip > 0 {
            self.skip -= 1;
            return Ok(None);
        }
        self.given = if event.index == self.newest { self.given + 1 } else { 1 };
        self.newest = event.index;
        Ok(Some(event))
    }

    /// Goes on with whoever answers: the newest entry is told again, and what was handed out of it is skipped.
    async fn resume(&mut self, why: String) -> Result<(), ClientError> {
        // A stream that breaks as soon as it is opened must not be opened without end.
        tokio::time::sleep(BETWEEN_ROUNDS).await;
        let again = self.given > 0;
        let after = if again { self.newest.saturating_sub(1) } else { self.newest };
        let request = EventsRequest { after, ..self.request.clone() };
        let begun = begin(&self.client, &request).await;
        let (address, stream) = begun.map_err(|error| match error {
            ClientError::NoAnswer { mut tried } => {
                tried.insert(0, Tried { address: self.address.clone(), why });
                ClientError::NoAnswer { tried }
            }
            other => other,
        })?;
        (self.address, self.stream) = (address, stream);
        (self.heard, self.skip) = (Instant::now(), if again { self.given } else { 0 });
        Ok(())
    }
}

async fn begin(
    client: &Client,
    request: &EventsRequest,
) -> Result<(String, Streaming<pb::EventsReply>), ClientError> {
    let call = async |mut to: pb::admin_client::AdminClient<_>, request| to.events(request).await;
    client.open(request.to_pb(), call).await
}
