//! One instance, as the agent's parts share it: its durable memory, its process, what is known of both, and the
//! newest word of the coordinators. Knows how to ask whether a goal still binds, and how to remember before acting.

use crate::config::{AgentConfig, InstanceConfig, Rooms};
use crate::handle::Desk;
use crate::identity::{self, Identity};
use crate::keeper::Keeper;
use crate::knock::Door;
use crate::postgres::Server;
use crate::process::Running;
use crate::receipts::Receipts;
use crate::roster::Coordinators;
use crate::run::{Known, Run};
use crate::state::{State, StateError};
use crate::steps::StepError;
use crate::told::{Outgoing, Told};
use interrex_api::session::Welcome;
use interrex_cluster::ids::Stamp;
use interrex_cluster::instance::observed::Memory;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

/// One instance after its registration.
pub(crate) struct Instance {
    pub(crate) agent: Arc<AgentConfig>,
    /// Where whoever looks at the agent from the same process reads.
    pub(crate) desk: Arc<Desk>,
    pub(crate) coordinators: Arc<Coordinators>,
    pub(crate) config: InstanceConfig,
    pub(crate) rooms: Rooms,
    pub(crate) server: Server,
    pub(crate) welcome: Welcome,
    pub(crate) keeper: Keeper<Running>,
    /// Newest word of the coordinators.
    pub(crate) told: watch::Receiver<Told>,
    /// Newest word to them.
    pub(crate) report: watch::Sender<Option<Outgoing>>,
    /// The server's process, under its guard.
    pub(crate) process: watch::Sender<Option<Running>>,
    /// Asks the loop to look again at once.
    pub(crate) poke: Notify,
    /// Asks for a beat at once.
    pub(crate) beat_now: Notify,
    /// What the last knocks found.
    pub(crate) door: Door,
    /// The goal under which nothing that was moved aside is needed any more; absent: something may be.
    pub(crate) may_tidy: watch::Sender<Option<Stamp>>,
    /// Numbers looks, so that an older one never overwrites a newer one's report.
    pub(crate) looks: AtomicU64,
    /// What copies held that nobody else had. Locked while one is made.
    pub(crate) receipts: Arc<Mutex<Receipts>>,
    /// Held while identity and state are changed together: they are read before they are written.
    pub(crate) writing: tokio::sync::Mutex<()>,
    state: Arc<Mutex<State>>,
    run: Mutex<Run>,
    known: Mutex<Known>,
}

/// What an instance is made of.
pub(crate) struct Parts {
    pub(crate) agent: Arc<AgentConfig>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) coordinators: Arc<Coordinators>,
    pub(crate) config: InstanceConfig,
    pub(crate) rooms: Rooms,
    pub(crate) server: Server,
    pub(crate) welcome: Welcome,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) told: watch::Receiver<Told>,
    pub(crate) report: watch::Sender<Option<Outgoing>>,
    pub(crate) process: watch::Sender<Option<Running>>,
}

/// A lock that is held for a few lines and never across an await: whoever panicked in them left whole values.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Instance {
    pub(crate) fn new(parts: Parts) -> Self {
        let memory = lock(&parts.state).memory().clone();
        let mut known = Known::default();
        known.proofs.created = memory.created;
        known.proofs.rebuilt = memory.rebuilt;
        let receipts = Receipts::in_room(&parts.rooms.own);
        known.receipt = receipts.newest();
        // Of a server that an earlier agent left running nobody knows what its commits waited for: the checkpointer
        // is proved, too, before beats count (F7).
        let from_async = parts.process.borrow().is_some();
        // Nor will one ever answer that he started to be promoted at once, and did not promote.
        let answers_nobody = from_async && parts.server.answers_nobody();
        Self {
            keeper: Keeper::new(&parts.agent.policy),
            agent: parts.agent,
            desk: parts.desk,
            coordinators: parts.coordinators,
            config: parts.config,
            rooms: parts.rooms,
            server: parts.server,
            welcome: parts.welcome,
            told: parts.told,
            report: parts.report,
            process: parts.process,
            poke: Notify::new(),
            beat_now: Notify::new(),
            door: Door::default(),
            may_tidy: watch::Sender::new(None),
            looks: AtomicU64::new(0),
            receipts: Arc::new(Mutex::new(receipts)),
            writing: tokio::sync::Mutex::default(),
            state: parts.state,
            run: Mutex::new(Run { from_async, answers_nobody, ..Run::begun() }),
            known: Mutex::new(known),
        }
    }

    pub(crate) fn run(&self) -> MutexGuard<'_, Run> {
        lock(&self.run)
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    pub(crate) fn running(&self) -> Option<Running> {
        self.process.borrow().clone()
    }

    /// What stands on disk.
    pub(crate) fn memory(&self) -> Memory {
        lock(&self.state).memory().clone()
    }

    /// Changes the durable memory; returns once the change is on disk.
    pub(crate) async fn remember(
        &self,
        change: impl FnOnce(&mut Memory) + Send + 'static,
    ) -> Result<(), StateError> {
        let state = self.state.clone();
        let written = tokio::task::spawn_blocking(move || lock(&state).update(change)).await;
        // A cancelled runtime is the only way not to get an answer; nothing is acted on then.
        written.unwrap_or_else(|stopped| {
            let path = self.rooms.own.join("state");
            Err(StateError::Io { what: "replace", path, source: std::io::Error::other(stopped.to_string()) })
        })
    }

    /// Writes the goal's stamp down as obeyed: in the data directory first, then in the state (clause 8).
    pub(crate) async fn obey(&self, stamp: Stamp) -> Result<(), StateError> {
        if self.memory().obeyed >= stamp {
            return Ok(());
        }
        let _written_alone = self.writing.lock().await;
        let memory = self.memory();
        if memory.obeyed.epoch < stamp.epoch && memory.sentinel.is_none() {
            let agrees = |found: &Identity| found.is_of(self.welcome.cluster_id, memory.incarnation);
            // A directory that is behind what was obeyed already stays so: that is how it is found out.
            if let Some(found) = identity::read(&self.config.pgdata)?.filter(agrees)
                && found.epoch >= memory.obeyed.epoch
            {
                self.identify(Identity { epoch: found.epoch.max(stamp.epoch), ..found })?;
            }
        }
        self.remember(move |memory| memory.obeyed = memory.obeyed.max(stamp)).await
    }

    /// Gives the data directory its identity.
    pub(crate) fn identify(&self, identity: Identity) -> Result<(), StateError> {
        let owner = self.config.run_as.as_ref().map(|user| (user.uid, user.gid));
        identity::write(&self.config.pgdata, &self.config.cluster, identity, owner)
    }

    /// Asked at the point of effect, and again after everything that took long: does `stamp` still bind?
    pub(crate) fn still(&self, stamp: Stamp) -> Result<(), StepError> {
        let newest = self.told.borrow().goal.as_ref().map(|goal| goal.stamp);
        let obeyed = lock(&self.state).memory().obeyed;
        match newest {
            Some(newest) if newest == stamp && obeyed <= stamp => Ok(()),
            _ => Err(StepError::Overtaken { goal: stamp }),
        }
    }

    /// Tells what was proved, at once: the next look may take a while.
    pub(crate) fn tell_proofs(&self) {
        let proofs = self.known().proofs.clone();
        self.report.send_if_modified(|outgoing| match outgoing {
            Some(outgoing) if outgoing.report.proofs != proofs => {
                outgoing.report.proofs = proofs;
                outgoing.report.obeyed = lock(&self.state).memory().obeyed;
                true
            }
            Some(_) | None => false,
        });
    }

    /// Tells what is being done, at once.
    pub(crate) fn doing(&self, what: Option<String>) {
        self.known().doing.clone_from(&what);
        self.report.send_if_modified(|outgoing| match outgoing {
            Some(outgoing) if outgoing.report.doing != what => {
                outgoing.report.doing = what;
                true
            }
            Some(_) | None => false,
        });
    }
}
