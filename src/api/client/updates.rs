//! Goals as they come, from one coordinator.

use super::error::{ClientError, Failure, Tried};
use super::events::SILENCE;
use crate::convert::{Wire, set};
use crate::pb;
use crate::session::GoalUpdate;
use tokio::time::Instant;
use tonic::Streaming;

/// A coordinator's goals for one instance. When it breaks, nothing is known; watch anew, here or elsewhere.
#[derive(Debug)]
pub struct GoalUpdates {
    address: String,
    stream: Streaming<pb::WatchReply>,
    heard: Instant,
}

impl GoalUpdates {
    pub(super) fn new(address: String, stream: Streaming<pb::WatchReply>) -> Self {
        Self { address, stream, heard: Instant::now() }
    }

    /// The next update; `None` when the coordinator ended the stream in good order. Cancel safe.
    ///
    /// # Errors
    /// The stream broke, was silent for three seconds, or holds what this build cannot read.
    pub async fn next(&mut self) -> Result<Option<GoalUpdate>, ClientError> {
        use pb::watch_reply::Reply;
        let tried = |why| Tried { address: self.address.clone(), why };
        loop {
            let reply = match tokio::time::timeout_at(self.heard + SILENCE, self.stream.message()).await {
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(reply))) => reply,
                Ok(Err(status)) => {
                    return Err(match Failure::of(&status, SILENCE) {
                        Failure::Refused(refused) => {
                            ClientError::Refused { address: self.address.clone(), refused }
                        }
                        Failure::Insecure(why) => ClientError::Insecure { tried: vec![tried(why)] },
                        Failure::NotSent(why) | Failure::Unknown(why) => {
                            ClientError::NoAnswer { tried: vec![tried(why)] }
                        }
                    });
                }
                Err(_) => {
                    let why = Failure::timed_out_text(SILENCE);
                    return Err(ClientError::NoAnswer { tried: vec![tried(why)] });
                }
            };
            self.heard = Instant::now();
            let bad = |bad| ClientError::BadReply { address: self.address.clone(), bad };
            match set(reply.reply, "reply").map_err(bad)? {
                Reply::Alive(_) => {}
                Reply::Update(update) => {
                    return GoalUpdate::from_pb(update).map(Some).map_err(|e| bad(e.under("update")));
                }
            }
        }
    }
}
