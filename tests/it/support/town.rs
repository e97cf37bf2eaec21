//! Three machines and one cluster, [`CLUSTER`], with the application's role `app`.
//!
//! At most two towns stand at the same time in this process, whatever the number of test threads: a town on a small
//! machine must not be starved by its neighbours.

use super::cli::{Answer, run};
use super::machine::Machine;
use super::postgresql::bin_dir;
use super::processes::below;
use super::status::healthy;
use super::tree::temporary;
use super::wait::{PATIENCE, eventually};
use interrex_api::admin::EventsRequest;
use interrex_api::client::{Client, ClientOptions};
use interrex_authority::{Authority, Leaf};
use interrex_cluster::event::Event;
use interrex_cluster::ids::ClusterName;
use interrex_cluster::status::ClusterStatus;
use interrex_ledger::{HostSpec, Login};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The cluster of every town, and the name of its application's database.
pub(crate) const CLUSTER: &str = "demo";
pub(crate) const USER: &str = "app";
pub(crate) const PASSWORD: &str = "an-application-s-secret";

/// Set to anything, the logs of scenes that succeed are kept, too.
const KEEP: &str = "INTERREX_IT_KEEP";

static PLACES: Semaphore = Semaphore::const_new(2);

/// A town. Dropped, everything of it ends.
pub(crate) struct Town {
    pub(crate) machines: Vec<Machine>,
    pub(crate) client: Client,
    dir: Option<TempDir>,
    last: Arc<Mutex<Option<ClusterStatus>>>,
    _place: SemaphorePermit<'static>,
}

impl Town {
    /// Three machines with their node files, and nothing that runs.
    pub(crate) async fn planned() -> Self {
        Self::of(&["n1", "n2", "n3"]).await
    }

    /// Three machines whose cluster is healthy.
    pub(crate) async fn up() -> Self {
        let mut town = Self::planned().await;
        town.machines.iter_mut().for_each(Machine::start);
        town.healthy("a cluster from nothing").await;
        town
    }

    /// As many machines as there are names.
    pub(crate) async fn of(names: &[&str]) -> Self {
        Self::with(names, node_file).await
    }

    /// Three machines whose node files create no cluster: that is the operator's to say. The first few have an
    /// instance, the others vote only.
    pub(crate) async fn without_a_cluster(instances: usize) -> Self {
        let names = ["n1", "n2", "n3"];
        let has_one = |machine: &Machine| names[..instances].contains(&machine.name.as_str());
        Self::with(&names, |machine, all, _| match has_one(machine) {
            true => instance_file(machine, all),
            false => coordinator_file(machine, all),
        })
        .await
    }

    /// Machines that run a coordinator and nothing else.
    pub(crate) async fn of_coordinators(names: &[&str]) -> Self {
        Self::with(names, |machine, all, _| coordinator_file(machine, all)).await
    }

    /// Two machines with PostgreSQL, and a third that only votes; nothing runs.
    pub(crate) async fn of_two_and_a_vote() -> Self {
        Self::with(&["n1", "n2", "n3"], |machine, all, password| match machine.name.as_str() {
            "n3" => coordinator_file(machine, all),
            _ => node_file(machine, all, password).replace("instances = 3", "instances = 2"),
        })
        .await
    }

    /// Machines with PostgreSQL and an agent, and others, which are the coordinators; nothing runs.
    pub(crate) async fn of_agents_and_coordinators(agents: &[&str], coordinators: &[&str]) -> Self {
        let names: Vec<&str> = agents.iter().chain(coordinators).copied().collect();
        Self::with(&names, |machine, all, password| {
            let (with_agent, leads) = all.split_at(agents.len());
            match leads.iter().any(|one| one.name == machine.name) {
                true => coordinator_file(machine, leads) + &cluster_block(with_agent.len(), password),
                false => agent_file(machine, leads) + &instance_block(machine),
            }
        })
        .await
    }

    /// Three machines that speak TLS, and the authority of their certificates; nothing runs. The town's own client is
    /// an operator with a certificate.
    pub(crate) async fn secured() -> (Self, Authority) {
        let authority = OnceCell::new();
        let names = ["n1", "n2", "n3"];
        let mut town = Self::with(&names, |machine, all, password| {
            let tls = machine.dir.with_file_name("tls");
            let authority = authority.get_or_init(|| Authority::new(&tls));
            let files = authority.sign(&machine.name, Leaf::of(&machine.name));
            let (cert, key) = files.own.expect("an own certificate");
            let [ca, cert, key] = [files.ca, cert, key].map(|path| path.display().to_string());
            let tls = format!("\n[tls]\nca = \"{ca}\"\ncert = \"{cert}\"\nkey = \"{key}\"\n");
            node_file(machine, all, password) + &tls
        })
        .await;
        let authority = authority.into_inner().expect("there are machines");
        let options = ClientOptions { tls: Some(authority.operator(Some("alice"))), ..patience() };
        let coordinators = town.machines.iter().map(|m| format!("{}={}", m.name, m.coordinator())).collect();
        town.client = Client::new(coordinators, options).unwrap();
        (town, authority)
    }

    async fn with(names: &[&str], file: impl Fn(&Machine, &[Machine], &Path) -> String) -> Self {
        let place = PLACES.acquire().await.expect("nobody closes the places");
        let dir = temporary();
        let machines: Vec<Machine> = names.iter().map(|name| Machine::new(dir.path(), name)).collect();
        let password = dir.path().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        for machine in &machines {
            fs::write(machine.file(), file(machine, &machines, &password)).unwrap();
        }
        let coordinators = machines.iter().map(Machine::coordinator).collect();
        let client = Client::new(coordinators, patience()).unwrap();
        Self { machines, client, dir: Some(dir), last: Arc::default(), _place: place }
    }

    pub(crate) fn machine(&mut self, name: &str) -> &mut Machine {
        let found = self.machines.iter_mut().find(|machine| machine.name == name);
        found.unwrap_or_else(|| panic!("no machine {name}"))
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_ref().expect("there until the town is dropped").path()
    }

    /// Every PostgreSQL of the town.
    pub(crate) fn hosts(&self) -> Vec<HostSpec> {
        self.machines.iter().filter(|machine| machine.has_postgres()).map(Machine::host).collect()
    }

    /// As whom an application connects.
    pub(crate) fn login(&self) -> Login {
        Login { user: USER.to_owned(), password: Some(PASSWORD.to_owned()), dbname: CLUSTER.to_owned() }
    }

    /// What the coordinators say now; nothing while none of them leads.
    pub(crate) async fn status(&self) -> Option<ClusterStatus> {
        let status = self.client.get_cluster(&name()).await.ok()?;
        *self.last.lock().unwrap() = Some(status.clone());
        Some(status)
    }

    /// Waits until `holds` of the status; `what` says in a sentence what is waited for.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&ClusterStatus) -> bool) -> ClusterStatus {
        self.eventually(what, async || self.status().await.filter(|status| holds(status))).await
    }

    /// Waits until the cluster is healthy.
    pub(crate) async fn healthy(&self, what: &str) -> ClusterStatus {
        self.until(&format!("{what} is healthy"), healthy).await
    }

    /// Waits until there is something to see; on failure tells what was last known and where the logs lie.
    pub(crate) async fn eventually<T>(&self, what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
        eventually(PATIENCE, what, look, || self.last_words()).await
    }

    fn last_words(&self) -> String {
        let logs = self.dir().display();
        match &*self.last.lock().unwrap() {
            Some(status) => {
                let status = serde_json::to_string(status).expect("a status is plain values");
                format!("the last status was {status}\nlogs: {logs}/n*/node.log")
            }
            None => format!("no coordinator ever answered\nlogs: {logs}/n*/node.log"),
        }
    }

    /// All that was told of the cluster so far, oldest first.
    pub(crate) async fn events(&self) -> Vec<Event> {
        self.events_of(&name()).await
    }

    /// All that was told of a cluster that is not the town's first.
    pub(crate) async fn events_of(&self, cluster: &ClusterName) -> Vec<Event> {
        let told = async || {
            let request = EventsRequest { cluster: Some(cluster.clone()), ..EventsRequest::default() };
            let mut stream = self.client.events(request).await.ok()?;
            let mut events = Vec::new();
            while let Some(event) = stream.next().await.ok()? {
                events.push(event);
            }
            Some(events)
        };
        self.eventually("the events to be told", told).await
    }

    /// Events of one kind, in an epoch or later.
    pub(crate) async fn told(&self, kind: &str, since_epoch: u32) -> Vec<String> {
        let events = self.events().await.into_iter();
        events.filter(|e| e.kind == kind && e.epoch.0 >= since_epoch).map(|e| e.text).collect()
    }

    /// Sees to it that another machine's coordinator leads than `machine`'s, and says which.
    pub(crate) async fn lead_elsewhere_than(&self, machine: &str) -> String {
        let elsewhere = self.machines.iter().find(|m| m.name != machine).expect("a machine beside it");
        let elsewhere = elsewhere.name.parse().expect("a name");
        let leader = async || {
            let leader = self.leader().await;
            if leader == machine {
                // Refused while leadership is on its way already: then the next look finds it elsewhere.
                let _ = self.client.transfer_leadership(Some(&elsewhere)).await;
                return None;
            }
            Some(leader)
        };
        self.eventually(&format!("leadership to leave {machine}"), leader).await
    }

    /// One machine more, with a coordinator alone that is to join the others' group; it runs.
    pub(crate) fn join(&mut self, name: &str) {
        let mut machine = Machine::new(self.dir(), name);
        let all = self.machines.iter().chain([&machine]);
        fs::write(machine.file(), coordinator_file(&machine, all) + "join = true\n").unwrap();
        machine.start();
        self.machines.push(machine);
    }

    /// One machine more, with an agent and PostgreSQL for the cluster, and no coordinator; it runs.
    pub(crate) fn bring(&mut self, name: &str) {
        let mut machine = Machine::new(self.dir(), name);
        let coordinators = self.machines.iter().filter(|one| one.votes());
        let text = agent_file(&machine, coordinators) + &instance_block(&machine);
        fs::write(machine.file(), text).unwrap();
        machine.start();
        self.machines.push(machine);
    }

    /// Waits until so many vote, and the leader hears each of them.
    pub(crate) async fn voters(&self, what: &str, count: usize) {
        self.eventually(what, async || {
            let members = self.client.list_coordinators().await.ok()?;
            let heard =
                members.iter().filter(|m| m.voter && (m.leader || m.heard_ms.is_some_and(|ms| ms < 1_500)));
            (heard.count() == count && members.len() == count).then_some(())
        })
        .await;
    }

    /// Runs `interrex` again and again until it says something else than `not_yet`.
    pub(crate) async fn ctl_until(&self, args: &[&str], not_yet: impl Fn(&Answer) -> bool) -> Answer {
        let what = format!("interrex {} to say something else", args.join(" "));
        self.eventually(&what, async || Some(self.ctl(args).await).filter(|answer| !not_yet(answer))).await
    }

    /// The machine whose coordinator leads.
    pub(crate) async fn leader(&self) -> String {
        let leader = async || {
            let members = self.client.list_coordinators().await.ok()?;
            members.into_iter().find(|member| member.leader).map(|member| member.machine.to_string())
        };
        self.eventually("a coordinator to lead", leader).await
    }

    /// Runs `interrex` against this town's coordinators.
    pub(crate) async fn ctl(&self, args: &[&str]) -> Answer {
        let coordinators = self.machines.iter().map(Machine::coordinator).collect::<Vec<_>>().join(",");
        run(args.iter().copied().chain(["--coordinators", coordinators.as_str()])).await
    }

    /// A connection of the application to one machine's PostgreSQL.
    pub(crate) async fn connect(&self, machine: &str) -> Result<PgConnection, sqlx::Error> {
        let port = self.machines.iter().find(|m| m.name == machine).map(|m| m.postgres_port);
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port.unwrap_or_else(|| panic!("no machine {machine}")))
            .username(USER)
            .password(PASSWORD)
            .database(CLUSTER)
            .ssl_mode(PgSslMode::Disable)
            .statement_cache_capacity(0);
        options.disable_statement_logging().connect().await
    }

    /// One statement on one machine; the first column of each row, as text.
    pub(crate) async fn sql(&self, machine: &str, statement: &str) -> Result<Vec<String>, sqlx::Error> {
        let mut connection = self.connect(machine).await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_all(&mut connection).await?;
        rows.iter().map(|row| row.try_get_unchecked::<String, _>(0)).collect()
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.machines.iter_mut().for_each(Machine::clean);
        let Some(dir) = self.dir.take() else { return };
        if std::thread::panicking() || std::env::var_os(KEEP).is_some() {
            let kept = dir.keep();
            // The copies are large, and the logs tell the story.
            self.machines.iter().for_each(|machine| drop(fs::remove_dir_all(machine.dir.join("pg"))));
            eprintln!(
                "the logs of this scene are kept: {0}/n*/node.log, {0}/n*/data/instances/*/postgres.log",
                kept.display()
            );
            return;
        }
        let left = below(dir.path());
        assert!(left.is_empty(), "still there: {left:#?}");
        let path: PathBuf = dir.path().to_owned();
        dir.close().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }
}

fn patience() -> ClientOptions {
    ClientOptions { call: Duration::from_secs(1), overall: Duration::from_secs(2), ..Default::default() }
}

fn name() -> ClusterName {
    CLUSTER.parse().expect("a name")
}

fn coordinator_file<'m>(machine: &Machine, all: impl IntoIterator<Item = &'m Machine>) -> String {
    let members: Vec<String> =
        all.into_iter().map(|m| format!("{} = \"{}\"", m.name, m.coordinator())).collect();
    format!(
        r#"name = "{name}"
zone = "zone-of-{name}"
data_dir = "{dir}/data"

[coordinator]
listen = "{listen}"
members = {{ {members} }}
"#,
        name = machine.name,
        dir = machine.dir.display(),
        listen = machine.coordinator(),
        members = members.join(", "),
    )
}

fn agent_file<'m>(machine: &Machine, coordinators: impl IntoIterator<Item = &'m Machine>) -> String {
    let coordinators: Vec<String> =
        coordinators.into_iter().map(|m| format!("\"{}\"", m.coordinator())).collect();
    format!(
        r#"name = "{name}"
zone = "zone-of-{name}"
data_dir = "{dir}/data"

[agent]
coordinators = [{coordinators}]
"#,
        name = machine.name,
        dir = machine.dir.display(),
        coordinators = coordinators.join(", "),
    )
}

fn instance_block(machine: &Machine) -> String {
    format!(
        r#"
[[instance]]
cluster = "{CLUSTER}"
listen = "{postgres}"
bin_dir = "{bin_dir}"
pgdata = "{pgdata}"
"#,
        postgres = machine.host(),
        bin_dir = bin_dir().display(),
        pgdata = machine.pgdata().display(),
    )
}

fn cluster_block(instances: usize, password: &Path) -> String {
    format!(
        r#"
[cluster.{CLUSTER}]
instances = {instances}
user = "{USER}"
password_file = "{password}"
"#,
        password = password.display(),
    )
}

fn instance_file(machine: &Machine, all: &[Machine]) -> String {
    coordinator_file(machine, all) + &instance_block(machine)
}

fn node_file(machine: &Machine, all: &[Machine], password: &Path) -> String {
    instance_file(machine, all) + &cluster_block(all.len(), password)
}
