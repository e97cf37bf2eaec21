//! `interrex node -c FILE`: reads the file, asks the machine, and runs the coordinator and the agent that it names.
//! Nothing is written before both were asked. SIGTERM and SIGINT end the node in order: PostgreSQL is stopped as a
//! standby, leadership is handed away. SIGHUP reads again what can be ([`crate::reload`]).

use crate::notify::Supervisor;
use crate::{Failed, apart, log, reload};
use interrex_agent::postgres::RunAs;
use interrex_agent::{Agent, AgentConfig, InstanceConfig, Written};
use interrex_api::admin::NewOwner;
use interrex_cluster::ids::DirectoryId;
use interrex_cluster::policy::Policy;
use interrex_cluster::record::Address;
use interrex_cluster::spec::{Spec, WhenAlone};
use interrex_config::{DataDir, Node, Place, Priority, World};
use interrex_coordinator::Coordinator;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Runs until told to end.
pub(crate) fn run(file: &Path, check_only: bool) -> Result<ExitCode, Failed> {
    let node = interrex_config::load(file).map_err(|e| Failed::new(2, e))?;
    let world = interrex_config::check(&node).map_err(|e| Failed::new(1, e))?;
    let guard = guard_program()?;
    let clusters = clusters(&node)?;
    data_of_other_clusters(&node)?;
    if check_only {
        // Said for people; a program reads the exit code.
        let _ = writeln!(std::io::stdout(), "{}: nothing stands in the way of this node", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let data_dir = interrex_config::open_data_dir(&node).map_err(|e| Failed::new(1, e))?;
    let log_format = node.log_format;
    log::install(log_format);
    if let Some(http) = node.http {
        tracing::warn!(%http, "key 'http' is read, but health and metrics are not served by this version");
    }
    let served = crate::runtime()?.block_on(serve(&node, &world, &data_dir, guard, clusters));
    served.map_err(|failed| failed.told_in(log_format))
}

/// Runs both parts; whichever ends first, by itself or by a signal, takes the other along.
async fn serve(
    node: &Node,
    world: &World,
    data_dir: &DataDir,
    guard: PathBuf,
    clusters: Vec<NewCluster>,
) -> Result<ExitCode, Failed> {
    // Heard before anything is begun: a signal that came too early would end the node as if it had been killed.
    let signals = Signals::hear()?;
    let supervisor = Supervisor::of_environment();
    let (end, ended) = watch::channel(false);
    let coordinator = match &node.coordinator {
        None => None,
        Some(config) => {
            let builder = coordinator(node, config, world, data_dir, clusters);
            Some(apart::begin(builder, wait_quietly(ended.clone())).await?)
        }
    };
    let agent = match &node.agent {
        Some(config) if !node.instances.is_empty() => {
            let agent = AgentConfig {
                machine: node.name.clone(),
                zone: node.zone.clone().unwrap_or_default(),
                data_dir: data_dir.path().to_owned(),
                directory: DirectoryId(data_dir.identity().to_owned()),
                coordinators: config.coordinators.iter().map(ToString::to_string).collect(),
                tls: world.tls.clone(),
                guard,
                policy: Policy::default(),
                written: Written { file: Some(node.file.clone()), coordinators_key: config.key },
            };
            let instances = node.instances.iter().zip(&world.places).map(|(one, place)| instance(one, place));
            Some(Agent::builder(agent).instances(instances).build().map_err(|e| Failed::new(1, e))?)
        }
        _ => None,
    };
    tracing::info!(machine = %node.name, version = env!("CARGO_PKG_VERSION"), "node is up");
    supervisor.ready();

    let coordinating = async {
        let Some(coordinator) = coordinator else { return wait(ended.clone()).await };
        let outcome = coordinator.ended().await;
        end.send_replace(true);
        outcome
    };
    let tending = async {
        let Some(agent) = agent else { return wait(ended.clone()).await };
        let outcome = agent.run(wait_quietly(ended.clone())).await;
        end.send_replace(true);
        outcome.map_err(|e| Failed::new(1, e))
    };
    let listening = async {
        signals.told_to_end(node, world, &supervisor, ended.clone()).await;
        supervisor.stopping();
        end.send_replace(true);
    };
    let (coordinated, tended, ()) = tokio::join!(coordinating, tending, listening);
    coordinated.and(tended)?;
    tracing::info!(machine = %node.name, "node has ended");
    Ok(ExitCode::SUCCESS)
}

/// The coordinator that the file names.
fn coordinator(
    node: &Node,
    config: &interrex_config::Coordinator,
    world: &World,
    data_dir: &DataDir,
    clusters: Vec<NewCluster>,
) -> interrex_coordinator::Builder {
    let members = config.members.iter().map(|(name, at)| (name.clone(), at.to_string())).collect();
    let mut builder = Coordinator::builder()
        .machine(node.name.clone())
        .listen(config.listen)
        .members(members)
        .join(config.join)
        .data_dir(data_dir.path())
        .yield_to_primary(config.yield_to_primary)
        .members_key(format!("key 'coordinator.members' of {}", node.file.display()));
    if let Some(tls) = &world.tls {
        builder = builder.tls(tls.clone());
    }
    if let Some(token) = &world.admin_token {
        builder = builder.admin_token(token.clone());
    }
    for NewCluster { name, spec, owner } in clusters {
        builder = builder.cluster(name, spec, owner);
    }
    builder
}

async fn wait_quietly(mut ended: watch::Receiver<bool>) {
    // The sender lives as long as the node.
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn wait(ended: watch::Receiver<bool>) -> Result<(), Failed> {
    wait_quietly(ended).await;
    Ok(())
}

/// The signals that a node hears.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn hear() -> Result<Self, Failed> {
        let hear = |kind| signal(kind).map_err(|e| Failed::new(1, format!("listen for signals: {e}")));
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
            hangup: hear(SignalKind::hangup())?,
        })
    }

    /// Ready on SIGTERM, on SIGINT, or once something else has ended the node. SIGHUP is answered meanwhile.
    async fn told_to_end(
        mut self,
        node: &Node,
        world: &World,
        supervisor: &Supervisor,
        ended: watch::Receiver<bool>,
    ) {
        let ended = wait_quietly(ended);
        tokio::pin!(ended);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return tracing::info!("told to end by SIGTERM"),
                _ = self.interrupt.recv() => return tracing::info!("told to end by SIGINT"),
                () = &mut ended => return,
                _ = self.hangup.recv() => {}
            }
            supervisor.reloading();
            reload::reload(node, world).await;
            supervisor.ready();
        }
    }
}

/// The guard lies beside the program itself.
fn guard_program() -> Result<PathBuf, Failed> {
    let own =
        std::env::current_exe().map_err(|e| Failed::new(1, format!("find this program's own path: {e}")))?;
    let guard = own.with_file_name("interrex-guard");
    match guard.is_file() {
        true => Ok(guard),
        false => Err(Failed::new(
            1,
            format!(
                "{}: not found; interrex-guard has to lie beside interrex: install both",
                guard.display()
            ),
        )),
    }
}

/// A directory that Interrex made for one cluster is not served in another one.
fn data_of_other_clusters(node: &Node) -> Result<(), Failed> {
    let file = node.file.display();
    let strange = node.instances.iter().filter_map(|one| {
        let why = interrex_agent::of_another_cluster(&one.pgdata, &one.cluster)?;
        Some(format!("{file}: key 'instance.pgdata': {why}"))
    });
    let lines: Vec<String> = strange.collect();
    if lines.is_empty() { Ok(()) } else { Err(Failed::new(1, lines.join("\n"))) }
}

/// A cluster that the node file wants.
struct NewCluster {
    name: interrex_config::ClusterName,
    spec: Spec,
    owner: Option<NewOwner>,
}

/// The clusters of the file, with the passwords that it points to.
fn clusters(node: &Node) -> Result<Vec<NewCluster>, Failed> {
    let one = |(name, wanted): (&interrex_config::ClusterName, &interrex_config::Cluster)| {
        let owner = match &wanted.login {
            None => None,
            Some(login) => {
                let text = std::fs::read_to_string(&login.password_file).map_err(|e| {
                    let (file, path) = (node.file.display(), login.password_file.display());
                    Failed::new(1, format!("{file}: key 'cluster.{name}.password_file': {path}: {e}"))
                })?;
                let password = text.lines().next().unwrap_or_default().to_owned();
                Some(NewOwner { name: login.user.clone(), password: Some(password) })
            }
        };
        let instances = u32::from(wanted.instances);
        let when_alone = match wanted.when_alone {
            Some(interrex_config::WhenAlone::Block) => WhenAlone::Block,
            _ => WhenAlone::Continue,
        };
        let spec = Spec::of_new(instances, wanted.acks.map(u32::from), None, when_alone);
        Ok(NewCluster { name: name.clone(), spec, owner })
    };
    node.clusters.iter().map(one).collect()
}

fn instance(one: &interrex_config::Instance, place: &Place) -> InstanceConfig {
    InstanceConfig {
        cluster: one.cluster.clone(),
        name: one.name.clone(),
        listen: Address { host: one.listen.ip().to_string(), port: one.listen.port() },
        advertise: Address { host: one.advertise.host().to_owned(), port: one.advertise.port() },
        pgdata: one.pgdata.clone(),
        bin_dir: place.bin_dir.clone(),
        run_as: place.run_as.as_ref().map(|user| RunAs {
            uid: user.uid,
            gid: user.gid,
            name: user.name.clone(),
        }),
        priority: match one.priority {
            Priority::Tier(tier) => Some(tier),
            Priority::Never => None,
        },
        archive_command: one.archive_command.clone(),
        restore_command: one.restore_command.clone(),
    }
}
