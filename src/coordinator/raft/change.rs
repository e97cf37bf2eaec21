//! What an operator wants of the group: one machine more, or one less. One wish at a time: it is judged ([`super::judge`])
//! and carried out ([`super::transition`]) in one turn in which nothing else changes the group, in the background, so
//! that it goes on when the one who asked is gone. Asking again tells how far it is, goes on where an earlier leader
//! ended, and does nothing where it is done.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::RaftNode;
use super::machine::Machine;
use super::members::MemberError;
use super::types::Peer;

/// One answer waits so long for the change to be done.
const AT_ONCE: Duration = Duration::from_millis(500);
/// How a change ended is kept so long for whoever asked for it and has not been told: a client asks again at once.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This machine votes; its coordinator runs there, with an empty directory.
    Add(Peer),
    /// This machine does not belong to the group any more. So it is, too, with one that never did.
    Remove(String),
}

impl std::fmt::Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add(peer) => write!(f, "adding {peer}"),
            Self::Remove(machine) => write!(f, "removing {machine}"),
        }
    }
}

/// How far a wish has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Under way, in words. It goes on by itself; asking again tells how far it is.
    Doing(String),
    /// It is so, whoever did it.
    Done {
        /// Who votes now.
        voters: Vec<String>,
        /// It was so before, and nothing was changed.
        already: bool,
    },
}

/// How far a change is.
#[derive(Debug, Clone)]
enum Stage {
    /// It waits for its turn, or for an answer that its judgement needs. Nothing has been written.
    Waits,
    /// It is carried out.
    CarriedOut,
    /// It is over: whether anything was changed, or why not.
    Ended { at: Instant, how: Result<bool, MemberError> },
}

/// A change that this leader carries out, or carried out last.
pub(crate) struct UnderWay {
    wish: Wish,
    stage: watch::Receiver<Stage>,
}

impl UnderWay {
    /// Whether it is what whoever asks for `wish` has to wait for, or has still to be told.
    fn counts_for(&self, wish: &Wish) -> bool {
        match &*self.stage.borrow() {
            Stage::Ended { at, .. } => self.wish == *wish && at.elapsed() < REMEMBERED,
            // Without an end, but its task is gone: with this node.
            Stage::Waits | Stage::CarriedOut => self.stage.has_changed().is_ok(),
        }
    }
}

impl<M: Machine> RaftNode<M> {
    /// Does what an operator wants of the group, or tells how far that is. A leader that is to leave hands leadership to
    /// one of the machines of `last` only where nobody else will do.
    ///
    /// # Errors
    /// See [`MemberError`]: `Refused` before anything was written, with the way out.
    pub async fn change_members(&self, wish: Wish, last: BTreeSet<String>) -> Result<Progress, MemberError> {
        self.leads()?;
        let stage = self.under_way_for(&wish, last)?;
        self.wait_for(&wish, stage).await
    }

    fn under_way(&self) -> MutexGuard<'_, Option<UnderWay>> {
        self.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The change to wait for: this very one where it is under way or has just ended, else one that begins here. Found
    /// and begun under one lock, so that of two wishes at once the second meets the first.
    fn under_way_for(
        &self,
        wish: &Wish,
        last: BTreeSet<String>,
    ) -> Result<watch::Receiver<Stage>, MemberError> {
        let mut slot = self.under_way();
        if let Some(change) = slot.as_ref().filter(|change| change.counts_for(wish)) {
            return match change.wish == *wish {
                true => Ok(change.stage.clone()),
                false => Err(MemberError::Refused(format!(
                    "{} is under way, and one change of the group is made at a time: wait until it is done; see: \
                     interrex coordinator list",
                    change.wish
                ))),
            };
        }
        let (tell, stage) = watch::channel(Stage::Waits);
        let (node, wanted) = (self.clone(), wish.clone());
        self.spawn(async move {
            let how = node.in_turn(&wanted, &last, &tell).await;
            if let Err(why) = &how {
                tracing::warn!("{wanted}: the group was not changed: {why}");
            }
            tell.send_replace(Stage::Ended { at: Instant::now(), how });
        });
        *slot = Some(UnderWay { wish: wish.clone(), stage: stage.clone() });
        Ok(stage)
    }

    /// Judges a wish and carries it out, while nothing else changes the group; false when there was nothing to do.
    async fn in_turn(
        &self,
        wish: &Wish,
        last: &BTreeSet<String>,
        tell: &watch::Sender<Stage>,
    ) -> Result<bool, MemberError> {
        let turn = self.inner.changes.lock().await;
        self.leads()?;
        let begins = || {
            tracing::info!("an operator changes the group: {wish}");
            tell.send_replace(Stage::CarriedOut);
        };
        match wish {
            Wish::Add(peer) => {
                let Some(raft_id) = self.may_add(peer).await? else { return Ok(false) };
                begins();
                self.admit(&turn, peer, raft_id).await?;
            }
            Wish::Remove(machine) => {
                if !self.may_remove(machine, last).await? {
                    return Ok(false);
                }
                begins();
                self.dismiss(&turn, machine).await?;
            }
        }
        Ok(true)
    }

    async fn wait_for(
        &self,
        wish: &Wish,
        mut stage: watch::Receiver<Stage>,
    ) -> Result<Progress, MemberError> {
        let ended = stage.wait_for(|stage| matches!(stage, Stage::Ended { .. }));
        let how = match timeout(AT_ONCE, ended).await {
            Err(_) => None,
            Ok(Ok(ended)) => match &*ended {
                Stage::Ended { how, .. } => Some(how.clone()),
                Stage::Waits | Stage::CarriedOut => None,
            },
            Ok(Err(_)) => Some(Err(MemberError::Stopped("it was shut down".to_owned()))),
        };
        let Some(how) = how else {
            let stage = stage.borrow().clone();
            return Ok(Progress::Doing(self.in_words(wish, &stage)));
        };
        // Told. Whoever asks once more has it judged as things are then; another's change may be under way by now.
        let mut slot = self.under_way();
        if slot.as_ref().is_some_and(|change| change.stage.same_channel(&stage)) {
            *slot = None;
        }
        let voters = self.members().into_iter().filter(|member| member.voter);
        how.map(|changed| Progress::Done {
            voters: voters.map(|member| member.machine).collect(),
            already: !changed,
        })
    }

    /// How far a change is, in words.
    fn in_words(&self, wish: &Wish, stage: &Stage) -> String {
        if matches!(stage, Stage::Waits) {
            return format!("{wish}: waiting to hear whether that may be done");
        }
        let Wish::Add(peer) = wish else { return format!("{wish}: waiting for a quorum to take it") };
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let newest = metrics.last_log_index.unwrap_or_default();
        let held = self.ids_of(&peer.machine).into_iter().next_back().and_then(|id| {
            let held = metrics.replication.as_ref()?.get(&id)?.as_ref()?;
            Some(held.index())
        });
        match held {
            Some(held) if held < newest => format!("{wish}: it has {held} of {newest} entries"),
            Some(_) => format!("{wish}: it has all {newest} entries and is to vote"),
            None => format!("{wish}: it is to learn {newest} entries"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_kept_for_those_who_asked_for_as_long_as_it_is_young() {
        let (own, another) = (Wish::Remove("n1".to_owned()), Wish::Remove("n2".to_owned()));
        let ended = |ago: Duration| {
            let at = Instant::now().checked_sub(ago).expect("a clock that runs for a while");
            let (_, stage) = watch::channel(Stage::Ended { at, how: Ok(true) });
            UnderWay { wish: own.clone(), stage }
        };
        let young = ended(REMEMBERED / 2);
        assert!(young.counts_for(&own) && !young.counts_for(&another));
        assert!(!ended(REMEMBERED).counts_for(&own));
        // However long it takes: only its end makes way for another.
        let (going_on, stage) = watch::channel(Stage::CarriedOut);
        let change = UnderWay { wish: own.clone(), stage };
        assert!(change.counts_for(&own) && change.counts_for(&another));
        drop(going_on);
        assert!(!change.counts_for(&another), "its task is gone");
    }
}
