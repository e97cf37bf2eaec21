//! A cluster on a few machines: made, started, watched until it is whole, and asked how it is.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use interrex_api::admin::EventsRequest;
use interrex_api::client::{Client, ClientOptions};
use interrex_cluster::event::Event;
use interrex_cluster::ids::ClusterName;
use interrex_cluster::status::ClusterStatus;
use interrex_ledger::{HostSpec, Login};

use crate::machine::Machine;
use crate::patience::Patience;
use crate::postgresql::Account;
use crate::progress::{Progress, missing};
use crate::site::Site;
use crate::traces::Traces;
use crate::voice::Voice;

/// The cluster's name, and its database's.
pub const CLUSTER: &str = "demo";
/// The application's role.
pub const USER: &str = "app";
/// A slow machine with a debug build needs a good part of it.
const COMING_UP: Duration = Duration::from_secs(120);

/// The machines and the means to ask them.
pub struct Cluster {
    /// Everything of it is below.
    pub dir: PathBuf,
    /// In the order of their sites.
    pub machines: Vec<Machine>,
    /// Asks the coordinators, as any operator does.
    pub client: Client,
    /// The application's.
    pub login: Login,
    /// What killed processes may leave.
    pub traces: Traces,
    /// `interrex`.
    pub(crate) program: PathBuf,
    name: ClusterName,
}

impl Cluster {
    /// Makes directories and files; starts nothing. `program` is `interrex`, its guard beside it.
    pub fn make(
        dir: &Path,
        program: &Path,
        sites: Vec<Site>,
        account: Option<Account>,
    ) -> anyhow::Result<Cluster> {
        let instances = sites.iter().filter(|site| site.duty.serves()).count();
        let machines: Vec<Machine> = sites.into_iter().map(|site| Machine::new(dir, program, site)).collect();
        let voters = || machines.iter().filter(|machine| machine.duty.votes());
        let members: Vec<_> = voters().map(|machine| (machine.name.clone(), machine.coordinator())).collect();
        let password = draw_password()?;
        write_password(&password_file(dir), &password)?;
        for (zone, machine) in (1..).zip(&machines) {
            let text = machine.node_text(zone, &members, instances, &password_file(dir))?;
            machine.make(&text, account)?;
        }
        let options = ClientOptions {
            call: Duration::from_secs(1),
            overall: Duration::from_secs(1),
            user_agent: "interrex-rig".to_owned(),
            ..ClientOptions::default()
        };
        let client = Client::new(voters().map(Machine::coordinator).collect(), options)?;
        let login = Login { user: USER.to_owned(), password: Some(password), dbname: CLUSTER.to_owned() };
        let name = CLUSTER.parse().context("name the cluster")?;
        let (dir, program) = (dir.to_owned(), program.to_owned());
        Ok(Cluster { dir, program, machines, client, login, traces: Traces::default(), name })
    }

    /// Starts every machine and tells how it comes along until the cluster is whole.
    ///
    /// # Errors
    /// A machine cannot be started, or the cluster is not whole in time.
    pub async fn up(&mut self, voice: &Voice) -> anyhow::Result<ClusterStatus> {
        for machine in &mut self.machines {
            machine.start()?;
        }
        voice.tell(&format!("{} nodes were started", self.machines.len()));
        let mut progress = Progress::default();
        let patience = Patience::new("the cluster to come up", COMING_UP);
        loop {
            if let Ok(coordinators) = self.client.list_coordinators().await {
                progress.note_coordinators(&coordinators);
            }
            let status = self.status().await?;
            if let Some(status) = &status {
                progress.note_cluster(status);
            }
            progress.news().iter().for_each(|line| voice.tell(line));
            match self.lacking_nothing(status) {
                Ok(status) => return Ok(status),
                Err(lacks) => patience.pause(&lacks).await?,
            }
        }
    }

    /// How it is; `None` when nobody can say so at the moment.
    ///
    /// # Errors
    /// A node ended that nobody killed.
    pub async fn status(&mut self) -> anyhow::Result<Option<ClusterStatus>> {
        for machine in &mut self.machines {
            if let Some(status) = machine.ended()? {
                let (name, words, log) = (&machine.name, machine.last_words(), machine.log());
                bail!(
                    "the node of {name} ended by itself ({status}): {words} (its log is {})",
                    log.display()
                );
            }
        }
        Ok(self.client.get_cluster(&self.name).await.ok())
    }

    /// Waits until it lacks nothing.
    ///
    /// # Errors
    /// It still lacks something after `at_most`, or a node ended by itself.
    pub async fn whole(&mut self, at_most: Duration) -> anyhow::Result<ClusterStatus> {
        let patience = Patience::new("all instances to stream", at_most);
        loop {
            let status = self.status().await?;
            match self.lacking_nothing(status) {
                Ok(status) => return Ok(status),
                Err(lacks) => patience.pause(&lacks).await?,
            }
        }
    }

    /// The status of a whole cluster, or what it still lacks.
    fn lacking_nothing(&self, status: Option<ClusterStatus>) -> Result<ClusterStatus, String> {
        let status = status.ok_or_else(|| "no coordinator leads".to_owned())?;
        match missing(&status, self.hosts().len()) {
            Some(lacks) => Err(lacks),
            None => Ok(status),
        }
    }

    /// Nothing automatic begins from here on.
    ///
    /// # Errors
    /// No coordinator took the request.
    pub async fn pause(&self) -> anyhow::Result<()> {
        self.client.set_paused(&self.name, true).await.context("pause the cluster")?;
        Ok(())
    }

    /// Everything that happened so far, oldest first.
    ///
    /// # Errors
    /// No coordinator leads.
    pub async fn events(&self) -> anyhow::Result<Vec<Event>> {
        let request = EventsRequest { cluster: Some(self.name.clone()), after: 0, follow: false };
        let mut stream = self.client.events(request).await?;
        let mut events = Vec::new();
        while let Some(event) = stream.next().await? {
            events.push(event);
        }
        Ok(events)
    }

    /// The machine of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn machine(&mut self, name: &str) -> anyhow::Result<&mut Machine> {
        self.doomed(name).map(|(machine, ..)| machine)
    }

    /// The machine of that name, the cluster's directory, and what has to be noted before anything on it dies.
    ///
    /// # Errors
    /// There is none.
    pub fn doomed(&mut self, name: &str) -> anyhow::Result<(&mut Machine, &Path, &mut Traces)> {
        let found = self.machines.iter_mut().find(|machine| machine.name == name);
        let machine = found.ok_or_else(|| anyhow!("there is no machine {name} in this cluster"))?;
        Ok((machine, &self.dir, &mut self.traces))
    }

    /// Where the application's password is.
    pub fn password_file(&self) -> PathBuf {
        password_file(&self.dir)
    }

    /// Every PostgreSQL.
    pub fn hosts(&self) -> Vec<HostSpec> {
        self.machines.iter().filter(|machine| machine.duty.serves()).map(Machine::host).collect()
    }

    /// How an application connects. The password is hexadecimal and needs no escape.
    pub fn connection_string(&self) -> String {
        let hosts = self.hosts().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let password = self.login.password.as_deref().unwrap_or_default();
        format!("postgresql://{USER}:{password}@{hosts}/{CLUSTER}?target_session_attrs=read-write")
    }

    /// The coordinators, as the operator's commands take them.
    pub fn coordinators(&self) -> String {
        let voters = self.machines.iter().filter(|machine| machine.duty.votes());
        voters.map(Machine::coordinator).collect::<Vec<_>>().join(",")
    }
}

fn password_file(dir: &Path) -> PathBuf {
    dir.join("password")
}

/// The kernel draws it.
fn draw_password() -> anyhow::Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").context("draw a password")?;
    Ok(uuid.trim().replace('-', ""))
}

fn write_password(path: &Path, password: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{password}"));
    written.with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Duty, Launcher};

    #[test]
    fn three_machines_are_made_that_know_each_other_and_nothing_runs() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _here = runtime.enter();
        let site = |number: u16| Site {
            name: format!("n{number}"),
            duty: Duty::Both,
            address: [127, 0, 0, 1].into(),
            coordinator_port: 15_000 + number,
            postgres_port: 16_000 + number,
            launcher: Launcher::default(),
        };
        let sites = (1..=3).map(site).collect();
        let mut cluster = Cluster::make(dir.path(), Path::new("interrex"), sites, None).unwrap();
        for name in ["n1", "n2", "n3"] {
            let text = fs::read_to_string(dir.path().join(name).join("node.toml")).unwrap();
            assert!(cluster.machines.iter().all(|machine| text.contains(&machine.coordinator())), "{text}");
            assert_eq!(cluster.machine(name).unwrap().name, name);
        }
        assert!(cluster.machine("n4").is_err());
        let mode = fs::metadata(cluster.password_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let password = fs::read_to_string(cluster.password_file()).unwrap();
        assert_eq!(cluster.login.password.as_deref(), Some(password.trim()));
        assert!(
            cluster
                .connection_string()
                .starts_with(&format!("postgresql://app:{}@127.0.0.1:", password.trim()))
        );
    }
}
