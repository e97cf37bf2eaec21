//! Confirmed leadership: one round trip to a quorum serves everybody who was waiting when it began.
//!
//! A caller is answered by a round that *began after its call*; that is what makes the answer good for granting a
//! lease. Nothing is written to disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use super::machine::{Machine, MachineStore};
use super::types::{Peer, Types};

/// Why leadership is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfirmError {
    /// This member does not lead.
    #[error("this coordinator does not lead the group{}", super::leader_hint(.leader.as_ref()))]
    NotLeader {
        /// Who does, as far as known.
        leader: Option<Peer>,
    },
    /// No quorum answered in time.
    #[error("no quorum of coordinators answered in time")]
    NoQuorum,
    /// The node has stopped.
    #[error("this coordinator's raft has stopped: {0}")]
    Stopped(String),
}

type Answer = Result<u64, ConfirmError>;

/// The callers that wait for the next round.
#[derive(Default)]
pub(crate) struct Confirmations {
    waiting: Mutex<Vec<oneshot::Sender<Answer>>>,
    wake: Notify,
}

impl Confirmations {
    /// Waits for a round that begins after this call; the answer is the index applied by then.
    pub(crate) async fn confirm(&self, within: Duration) -> Answer {
        let (tx, rx) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(tx);
        self.wake.notify_one();
        match timeout(within, rx).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ConfirmError::Stopped("it was shut down".to_owned())),
            Err(_) => Err(ConfirmError::NoQuorum),
        }
    }

    /// Runs the rounds, until it is dropped.
    pub(crate) async fn run<M: Machine>(
        self: Arc<Self>,
        raft: openraft::Raft<Types, MachineStore<M>>,
        applied: watch::Receiver<u64>,
        bound: Duration,
    ) {
        loop {
            self.wake.notified().await;
            // Taken before the round begins: whoever comes later waits for the next.
            let callers = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if callers.iter().all(oneshot::Sender::is_closed) {
                continue;
            }
            let answer = match timeout(bound, raft.ensure_linearizable(ReadPolicy::ReadIndex)).await {
                Ok(Ok(_)) => Ok(*applied.borrow()),
                Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(f)))) => {
                    Err(ConfirmError::NotLeader { leader: f.leader_node })
                }
                Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => {
                    Err(ConfirmError::NoQuorum)
                }
                Ok(Err(RaftError::Fatal(e))) => Err(ConfirmError::Stopped(e.to_string())),
            };
            for caller in callers {
                // A caller whose deadline has passed is gone; that is its own affair.
                drop(caller.send(answer.clone()));
            }
        }
    }
}
