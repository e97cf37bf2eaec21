//! Building an agent, and running each of its instances from the first look to the last.

use crate::at_home::knock_at_home;
use crate::beat::beat_forever;
use crate::config::{AgentConfig, InstanceConfig, Rooms};
use crate::ending::{stop_all, stop_in_good_order, write_what_a_stop_would};
use crate::handle::{Desk, Handle};
use crate::highest::{keep_highest, told_elsewhere};
use crate::identity;
use crate::instance::{Instance, Parts, lock};
use crate::keeper::keep_leases;
use crate::knock::knock_forever;
use crate::postgres::{self, Credentials, DataDir, Server};
use crate::process::{FindError, LeftoverError, Running, find, leftovers, stop_unguarded};
use crate::reconcile::reconcile;
use crate::server_log::keep_short;
use crate::session::{Ends, Lines};
use crate::state::{Owner, State, StateError};
use crate::switchboard::{Surroundings, Switchboard};
use crate::tend::tend;
use crate::tidy::tidy_forever;
use crate::told::Granted;
use interrex_api::client::{ClientError, ClientOptions, SessionClient};
use interrex_api::session::WatchRequest;
use interrex_cluster::command::Registration;
use interrex_cluster::goal::Goal;
use interrex_cluster::record::Secrets;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A PostgreSQL whose guard died gets this long to end.
const UNGUARDED_WITHIN: Duration = Duration::from_secs(10);
/// The last report, that PostgreSQL was stopped, gets this long to go out.
const LAST_WORD_WITHIN: Duration = Duration::from_millis(400);

/// Why an agent does not run, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is nothing to do.
    #[error("no instance is configured; write [[instance]] into the node file")]
    NoInstance,
    /// A coordinator's address.
    #[error(transparent)]
    Coordinator(#[from] ClientError),
    /// The agent's own files.
    #[error(transparent)]
    State(#[from] StateError),
    /// The agent's own directories.
    #[error("cannot make {}: {source}; correct its owner and mode, or make room", path.display())]
    Rooms {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The system gives no random number, by which this run of the agent is known.
    #[error("the system gave no random number: {0}; start the agent again")]
    Random(io::Error),
    /// PostgreSQL's programs or files.
    #[error("instance {instance}: {source}")]
    Postgres {
        /// Which instance.
        instance: String,
        /// What.
        source: postgres::Error,
    },
    /// A guard that cannot be talked to.
    #[error("instance {instance}: {source}")]
    Guard {
        /// Which instance.
        instance: String,
        /// What.
        source: FindError,
    },
    /// A PostgreSQL without a guard that could not be stopped, or must not be.
    #[error("instance {instance}: {why}")]
    Unguarded {
        /// Which instance.
        instance: String,
        /// Why.
        why: String,
    },
    /// A part of the agent ended that never ends: a bug.
    #[error(
        "instance {instance}: a part of the agent ended: {why}; restart it, PostgreSQL stays under its guard"
    )]
    Broken {
        /// Which instance.
        instance: String,
        /// What is known.
        why: String,
    },
}

/// An agent, ready to run.
#[derive(Debug)]
pub struct Agent {
    pub(crate) config: Arc<AgentConfig>,
    instances: Vec<InstanceConfig>,
    /// One for each instance.
    pub(crate) desks: Arc<[Arc<Desk>]>,
}

/// Puts an agent together.
#[derive(Debug)]
pub struct Builder {
    config: AgentConfig,
    instances: Vec<InstanceConfig>,
}

impl Builder {
    /// One more PostgreSQL server.
    #[must_use]
    pub fn instance(mut self, instance: InstanceConfig) -> Self {
        self.instances.push(instance);
        self
    }

    /// Several.
    #[must_use]
    pub fn instances(mut self, instances: impl IntoIterator<Item = InstanceConfig>) -> Self {
        self.instances.extend(instances);
        self
    }

    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// No instance, or an address that is none.
    pub fn build(self) -> Result<Agent, AgentError> {
        if self.instances.is_empty() {
            return Err(AgentError::NoInstance);
        }
        if self.config.coordinators.is_empty() {
            return Err(ClientError::NoAddress.into());
        }
        let desks = self.instances.iter().map(Desk::of).collect();
        Ok(Agent { config: Arc::new(self.config), instances: self.instances, desks })
    }
}

impl Agent {
    /// Begins to put an agent together.
    pub fn builder(config: AgentConfig) -> Builder {
        Builder { config, instances: Vec::new() }
    }

    /// A look at it from the same process, good before, during and after the run.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::of(self)
    }

    /// Runs until `shutdown`, then stops every PostgreSQL, as a standby. An instance that cannot go on is tried again
    /// and again; it never ends the others.
    ///
    /// # Errors
    /// What the configuration has wrong, before anything was begun; and at the end the first instance that could not
    /// be ended in good order, or had not been going on.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), AgentError> {
        let tls = self.config.tls.clone();
        for address in &self.config.coordinators {
            drop(SessionClient::new(
                address,
                ClientOptions { tls: tls.clone(), ..ClientOptions::default() },
            )?);
        }
        let around = Surroundings::of_the_machine(&self.config.data_dir);
        let written = self.config.coordinators.clone();
        let switchboard = Switchboard::begin(around, written, tls.clone(), self.config.policy.heartbeat)
            .map_err(AgentError::Random)?
            .written_in(self.config.written.clone());
        let (stop, stopping) = watch::channel(false);
        let mut instances = JoinSet::new();
        for (config, desk) in self.instances.into_iter().zip(&*self.desks) {
            let (agent, desk) = (self.config.clone(), desk.clone());
            instances.spawn(tend(agent, config, desk, switchboard.clone(), stopping.clone()));
        }
        let shutdown = async {
            shutdown.await;
            stop.send_replace(true);
            std::future::pending::<()>().await;
        };
        let ended = async {
            let mut outcome = Ok(());
            while let Some(ended) = instances.join_next().await {
                let ended = ended.unwrap_or_else(|panic| {
                    Err(AgentError::Broken { instance: "?".to_owned(), why: panic.to_string() })
                });
                outcome = outcome.and(ended);
            }
            outcome
        };
        let fresh = async {
            if let Some(tls) = tls {
                tls.keep_fresh().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = ended => ended,
            () = shutdown => Ok(()),
            () = fresh => Ok(()),
        }
    }
}

/// One instance, from the first look to the last.
pub(crate) async fn run_instance(
    agent: Arc<AgentConfig>,
    config: InstanceConfig,
    desk: Arc<Desk>,
    switchboard: Switchboard,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let name = format!("{} of {}", config.name, config.cluster);
    let rooms = Rooms::of(&agent, &config);
    rooms
        .make(config.run_as.as_ref())
        .map_err(|source| AgentError::Rooms { path: rooms.own.clone(), source })?;
    let owner = Owner {
        cluster: config.cluster.clone(),
        instance: config.name.clone(),
        directory: agent.directory.clone(),
    };
    let state = Arc::new(Mutex::new(State::open(&rooms.own, owner)?));
    let nobody = Credentials { superuser: String::new(), replication: String::new(), owner: None };
    let unregistered = Server::new(rooms.layout(&config), nobody);
    let (running, stranger) = match take_over(&name, &config, &rooms, &state).await? {
        Met::Nothing => (None, None),
        Met::Ours(running) => (Some(running), None),
        Met::Stranger(why) => (None, Some(why)),
    };
    let process = watch::Sender::new(running.clone());

    let (lines, Ends { report, told, granted }) = switchboard.lines(config.cluster.clone());
    desk.follow(&report);
    let lines = lines.noted_at(desk.clone());
    let registration = registration(&name, &agent, &config, &unregistered, &state).await?;
    // A directory that cannot be read is told in the reports; what it says is then not known.
    let obeyed = match identity::read(&config.pgdata) {
        Ok(found) => identity::surely_obeyed(found, lock(&state).memory()),
        Err(_) => None,
    };
    let welcome = tokio::select! {
        welcome = lines.register(registration, obeyed) => welcome,
        () = stopped(&mut stopping) => {
            // Never registered: what an earlier agent left running ends with this one, in good order.
            return stop_in_good_order(&name, &unregistered, running).await;
        }
    };
    // One that somebody else started is met again under a goal that is about it, or not at all.
    if let Some(why) = stranger.filter(|_| !matches!(welcome.goal.goal, Goal::Adopt { .. })) {
        return Err(AgentError::Unguarded { instance: name, why });
    }
    told_elsewhere(&state, &welcome)?;
    identity::obeyed_elsewhere(&state, &config.pgdata, welcome.cluster_id)?;
    let server = Server::new(rooms.layout(&config), credentials(&welcome.secrets));
    let instance = Arc::new(Instance::new(Parts {
        agent,
        desk,
        coordinators: switchboard.coordinators.clone(),
        config,
        rooms,
        server,
        welcome,
        state,
        told,
        report,
        process,
    }));
    if let Some(running) = &running
        && let Err(error) = instance.keeper.adopt(running).await
    {
        tracing::warn!(cluster = %instance.config.cluster, "the deadline of the running server cannot be told: {error}");
    }
    live(&name, instance, lines, granted, stopping).await
}

/// Until the agent is to end; also when its owner is gone.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Everything after registration.
async fn live(
    name: &str,
    instance: Arc<Instance>,
    lines: Lines,
    granted: mpsc::Receiver<Granted>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let watch = WatchRequest {
        cluster: instance.config.cluster.clone(),
        instance: instance.config.name.clone(),
        directory: instance.agent.directory.clone(),
    };
    let mut talk = JoinSet::new();
    talk.spawn(lines.keep(watch));
    let mut leases = JoinSet::new();
    leases.spawn(keep_leases(instance.clone(), granted));
    let mut parts = JoinSet::new();
    parts.spawn(knock_forever(instance.clone(), instance.told.clone()));
    parts.spawn(knock_at_home(instance.clone()));
    parts.spawn(beat_forever(instance.clone()));
    parts.spawn(tidy_forever(instance.clone()));
    parts.spawn(keep_short(instance.clone()));
    parts.spawn(keep_highest(instance.clone()));
    let looped = instance.clone();
    let told = instance.told.clone();
    parts.spawn(async move { match reconcile(looped, told).await {} });
    let broken = |ended: Option<Result<(), tokio::task::JoinError>>| {
        let why = match ended {
            Some(Err(panic)) => panic.to_string(),
            Some(Ok(())) | None => "without a word".to_owned(),
        };
        Err(AgentError::Broken { instance: name.to_owned(), why })
    };
    let told_to_end = async {
        stopped(&mut stopping).await;
        write_what_a_stop_would(&instance).await;
    };
    tokio::select! {
        ended = parts.join_next() => return broken(ended),
        ended = leases.join_next() => return broken(ended),
        ended = talk.join_next() => return broken(ended),
        () = told_to_end => {}
    }
    parts.shutdown().await;
    let stopped = stop_all(name, &instance).await;
    leases.shutdown().await;
    if stopped.is_ok() {
        // So that nobody has to find out by silence.
        instance.forget_process(Some("the agent was shut down".to_owned())).await;
        let goal = instance.told.borrow().goal.clone();
        instance.look(goal.as_ref().map(|goal| &goal.goal)).await;
        sleep(LAST_WORD_WITHIN).await;
    }
    talk.shutdown().await;
    stopped
}

/// What runs already on a data directory.
enum Met {
    Nothing,
    /// Under its guard.
    Ours(Running),
    /// Started by somebody else on a directory that is not ours; with the way out.
    Stranger(String),
}

/// What runs already: a server under its guard goes on untouched; one whose guard died is stopped; one that somebody else
/// started on a directory of his own is left alone.
async fn take_over(
    name: &str,
    config: &InstanceConfig,
    rooms: &Rooms,
    state: &Mutex<State>,
) -> Result<Met, AgentError> {
    match find(&rooms.guard_socket()).await {
        Ok(Some(running)) => {
            let postmaster = running.postmaster();
            tracing::info!(cluster = %config.cluster, postmaster, "PostgreSQL was found running under its guard");
            return Ok(Met::Ours(running));
        }
        Ok(None) => {}
        Err(FindError::NoAnswer { guard: Some(guard), .. }) => {
            tracing::warn!(cluster = %config.cluster, guard, "the guard does not answer and is killed, PostgreSQL with it");
            if let Some(guard) = i32::try_from(guard).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(guard, rustix::process::Signal::KILL);
            }
        }
        Err(source) => return Err(AgentError::Guard { instance: name.to_owned(), source }),
    }
    let unguarded = |why: String| AgentError::Unguarded { instance: name.to_owned(), why };
    if !config.pgdata.exists() {
        return Ok(Met::Nothing);
    }
    let failed = |error: LeftoverError| unguarded(error.to_string());
    if leftovers(&config.pgdata).map_err(failed)?.is_empty() {
        return Ok(Met::Nothing);
    }
    let ours = lock(state).memory().sentinel.is_some() || identity::read(&config.pgdata)?.is_some();
    if !ours {
        return Ok(Met::Stranger(format!(
            "a PostgreSQL that Interrex did not start runs in {}; stop it first",
            config.pgdata.display()
        )));
    }
    let count = stop_unguarded(&config.pgdata, UNGUARDED_WITHIN).await.map_err(failed)?;
    tracing::warn!(cluster = %config.cluster, processes = count, "PostgreSQL ran without a guard and was stopped");
    Ok(Met::Nothing)
}

async fn registration(
    name: &str,
    agent: &AgentConfig,
    config: &InstanceConfig,
    server: &Server,
    state: &Mutex<State>,
) -> Result<Registration, AgentError> {
    let failed = |source| AgentError::Postgres { instance: name.to_owned(), source };
    let memory = lock(state).memory().clone();
    // What was made for this very cluster is told by its proof; half a copy has no identity to tell.
    let silent = memory.created.is_some() || memory.sentinel.is_some();
    let system = match server.has_data().await {
        Ok(DataDir::Postgres { .. }) if !silent => server.control_data().await.map(|data| Some(data.system)),
        Ok(_) => Ok(None),
        Err(error) => Err(error),
    };
    // A directory that cannot be read is touched under no goal, and only a member's words reach the operator.
    let system = system.unwrap_or_else(|error| {
        tracing::warn!(cluster = %config.cluster, "whose data {} holds cannot be told: {error}", config.pgdata.display());
        None
    });
    Ok(Registration {
        instance: config.name.clone(),
        machine: agent.machine.clone(),
        zone: agent.zone.clone(),
        directory: agent.directory.clone(),
        address: config.advertise.clone(),
        priority: config.priority,
        major: server.version().await.map_err(failed)?,
        system,
        replaces: None,
    })
}

fn credentials(secrets: &Secrets) -> Credentials {
    Credentials {
        superuser: secrets.superuser.clone(),
        replication: secrets.replication.clone(),
        owner: secrets.owner.clone(),
    }
}
