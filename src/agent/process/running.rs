//! A PostgreSQL under guard, as its agent holds it. Dropping every [`Running`] lets go of it, no more: guard and
//! PostgreSQL go on until their deadline.
//!
//! One task attends to each: it carries requests to the guard and learns the end. The guard's last word is the end. If
//! the socket closes without one, the guard was killed: the parent-death signal has sent SIGQUIT to the postmaster,
//! which a stopped or hung one would not heed, nor a backend whose postmaster died first. So after a moment everything
//! that works in the data directory is killed, and the end is announced when a search finds nobody.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use interrex_guard::wire::{Answer, DataDir, Refusal, Request, Status};
use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};

use super::exit::{Cause, Ended, Exit};
use super::leftovers::{kill_all, processes_of};
use super::link::Link;
use super::pidfd::Process;
use super::time::Boottime;

/// A guard answers at once; one that has not after this long hangs or is starved.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// What an immediate shutdown by parent-death signal may take before it is cut short. Nothing is lost by cutting: both
/// end in recovery.
const QUIT_WITHIN: Duration = Duration::from_secs(1);

/// A PostgreSQL under guard. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Running {
    postmaster: Arc<Process>,
    guard: Arc<Process>,
    data_dir: DataDir,
    started: Boottime,
    epoch: u32,
    asks: mpsc::Sender<Ask>,
    exited: watch::Receiver<Option<Exit>>,
}

#[derive(Debug)]
struct Ask {
    request: Request,
    reply: oneshot::Sender<Answer>,
}

/// Proof that a PostgreSQL is gone, backends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Gone {
    /// How it ended.
    pub exit: Exit,
}

/// What the postmaster is told by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sig {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGINT: fast shutdown. Waits for every connected walsender to flush the shutdown checkpoint (F29).
    Fast,
    /// SIGQUIT: immediate shutdown; recovery at the next start.
    Immediate,
}

/// Why a deadline was not set. The former one holds, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeadlineError {
    /// Somebody set a deadline for a newer epoch: this agent's lease is history.
    #[error("the guard has seen epoch {seen}, newer than {asked}")]
    StaleEpoch {
        /// The newest epoch the guard has seen.
        seen: u32,
        /// The epoch asked for.
        asked: u32,
    },
    /// PostgreSQL is gone or being killed; see [`Running::exited`].
    #[error("postgres has ended or is being killed")]
    Ended,
    /// No answer; the guard hangs, and the new deadline may or may not hold.
    #[error("the guard did not answer within {} ms", ANSWER_WITHIN.as_millis())]
    NoAnswer,
    /// The guard could not or would not: an older version, or the kernel refused its timer.
    #[error("the guard refused to set the deadline; end and start it anew with postgres")]
    Refused,
}

/// Why it cannot be said that PostgreSQL is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceError {
    /// Killed, and something is still there.
    #[error(
        "processes {pids:?} outlive SIGKILL for {} ms: they wait in the kernel, usually for a disk that does not \
         answer", patience.as_millis()
    )]
    StillThere {
        /// Who is left; empty when this could not be looked up.
        pids: Vec<u32>,
        /// How long was waited.
        patience: Duration,
    },
}

impl Running {
    /// Takes the socket over into a task of its own.
    pub(super) fn attend(
        link: Link,
        socket: PathBuf,
        guard: Process,
        postmaster: Process,
        status: &Status,
    ) -> Self {
        let (asks, asked) = mpsc::channel(16);
        let (tell, exited) = watch::channel(None);
        let (guard, postmaster) = (Arc::new(guard), Arc::new(postmaster));
        let attendant =
            Attendant { link, socket, asked, postmaster: postmaster.clone(), data_dir: status.data_dir };
        tokio::spawn(attendant.attend(tell));
        Running {
            postmaster,
            guard,
            data_dir: status.data_dir,
            started: Boottime::from_ns(status.started_ns),
            epoch: status.epoch,
            asks,
            exited,
        }
    }

    /// The postmaster's process id.
    pub fn postmaster(&self) -> u32 {
        self.postmaster.pid
    }

    /// The guard's process id.
    pub fn guard(&self) -> u32 {
        self.guard.pid
    }

    /// When the postmaster was forked.
    pub fn started(&self) -> Boottime {
        self.started
    }

    /// The newest epoch that a deadline had been set for when this guard was met; 0: none.
    pub fn epoch_when_met(&self) -> u32 {
        self.epoch
    }

    /// From now on PostgreSQL is killed at `deadline` (at once when it is past); `None`: it needs no lease. Sets
    /// nothing for an epoch older than one the guard has seen.
    pub async fn set_deadline(&self, epoch: u32, deadline: Option<Boottime>) -> Result<(), DeadlineError> {
        let request = Request::SetDeadline { epoch, deadline_ns: deadline.map(Boottime::as_ns) };
        match self.ask(request).await? {
            Answer::Status(_) => Ok(()),
            Answer::Refused(Refusal::StaleEpoch { seen }) => {
                Err(DeadlineError::StaleEpoch { seen, asked: epoch })
            }
            Answer::Refused(Refusal::Ending) | Answer::Exited(_) => Err(DeadlineError::Ended),
            Answer::Refused(Refusal::NotUnderstood | Refusal::NotArmed) => Err(DeadlineError::Refused),
        }
    }

    /// The deadline and its epoch as the guard holds them now.
    pub async fn deadline(&self) -> Result<(u32, Option<Boottime>), DeadlineError> {
        match self.ask(Request::Status).await? {
            Answer::Status(status) => Ok((status.epoch, status.deadline_ns.map(Boottime::from_ns))),
            Answer::Exited(_) => Err(DeadlineError::Ended),
            Answer::Refused(_) => Err(DeadlineError::Refused),
        }
    }

    /// Kills PostgreSQL with everything below it and returns when nothing is left. A guard that does not answer is
    /// killed too (the data directory is then searched). An error means: not proven gone.
    pub async fn fence(&self, patience: Duration) -> Result<Gone, FenceError> {
        let until = tokio::time::Instant::now() + patience;
        let answered = tokio::time::timeout(patience / 2, self.ask(Request::Fence)).await;
        if !matches!(answered, Ok(Ok(_) | Err(DeadlineError::Ended))) {
            let _ = self.guard.signal(Signal::KILL);
        }
        match tokio::time::timeout_at(until, self.gone()).await {
            Ok(Some(gone)) => Ok(gone),
            Ok(None) | Err(_) => {
                let found = processes_of(self.data_dir).unwrap_or_default();
                Err(FenceError::StillThere { pids: found.iter().map(|p| p.pid).collect(), patience })
            }
        }
    }

    /// Signals the postmaster, and never a stranger: an ended one is an error.
    pub fn signal(&self, sig: Sig) -> io::Result<()> {
        self.postmaster.signal(match sig {
            Sig::Reload => Signal::HUP,
            Sig::Fast => Signal::INT,
            Sig::Immediate => Signal::QUIT,
        })
    }

    /// Holds the end once nothing is left. Closed without a value: it cannot be told (the log says why).
    pub fn exited(&self) -> watch::Receiver<Option<Exit>> {
        self.exited.clone()
    }

    /// Waits for the end; `None` when it cannot be told.
    pub async fn gone(&self) -> Option<Gone> {
        let mut exited = self.exited.clone();
        let exit = *exited.wait_for(Option::is_some).await.ok()?;
        exit.map(|exit| Gone { exit })
    }

    async fn ask(&self, request: Request) -> Result<Answer, DeadlineError> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.asks.send(Ask { request, reply }).await.map_err(|_| DeadlineError::Ended)?;
            answer.await.map_err(|_| DeadlineError::Ended)
        };
        tokio::time::timeout(ANSWER_WITHIN, exchange).await.unwrap_or(Err(DeadlineError::NoAnswer))
    }
}

/// The task's own part.
struct Attendant {
    link: Link,
    socket: PathBuf,
    asked: mpsc::Receiver<Ask>,
    postmaster: Arc<Process>,
    data_dir: DataDir,
}

impl Attendant {
    async fn attend(mut self, tell: watch::Sender<Option<Exit>>) {
        let mut waiting = BTreeMap::new();
        let mut next_id = 3u32; // 1 and 2 were used to meet
        let told = loop {
            tokio::select! {
                ask = self.asked.recv() => {
                    let Some(Ask { request, reply }) = ask else { return };
                    // Should it fail, the guard is gone, and receiving will say so.
                    if self.link.send(next_id, &request).await.is_ok() {
                        waiting.insert(next_id, reply);
                    }
                    next_id = next_id.wrapping_add(1).max(3);
                }
                heard = self.link.receive() => match heard {
                    Ok(Some((_, Answer::Exited(exited)))) => break Some(Exit::told(exited)),
                    Ok(Some((id, answer))) => {
                        if let Some(reply) = waiting.remove(&id) {
                            let _ = reply.send(answer); // whoever asked may have given up
                        }
                    }
                    Ok(None) | Err(_) => break None,
                }
            }
        };
        drop(waiting);
        self.asked.close();
        while self.asked.try_recv().is_ok() {}
        let exit = match told {
            Some(exit) => Some(exit),
            None => self.finish_off().await,
        };
        if let Some(exit) = exit {
            tell.send_replace(Some(exit));
        }
    }

    /// The guard was killed.
    async fn finish_off(&self) -> Option<Exit> {
        let postmaster = self.postmaster.pid;
        tracing::warn!(postmaster, "the guard of postgres is gone without a word; postgres is being ended");
        let _ = tokio::time::timeout(QUIT_WITHIN, self.postmaster.gone()).await;
        let _ = self.postmaster.signal(Signal::KILL);
        match kill_all(self.data_dir).await {
            Ok(()) => {
                let _ = self.postmaster.gone().await;
                interrex_guard::clear_traces(&self.socket);
                Some(Exit { ended: Ended::Unseen, cause: Cause::GuardLost })
            }
            Err(error) => {
                tracing::error!(
                    postmaster,
                    "cannot tell whether a backend is left: {error}; fence this machine before promoting another"
                );
                None
            }
        }
    }
}
