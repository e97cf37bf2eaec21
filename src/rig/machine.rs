//! One machine's worth of a cluster: a directory with a node file, the node that runs it, and everything that this
//! node starts. Here a machine dies, all of it at once, and is started again.

use std::fs::{self, File, OpenOptions, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use interrex_ledger::HostSpec;
use rustix::process::Signal;
use tokio::process::Child;

use crate::phases::Moment;
use crate::postgresql::Account;
use crate::processes::{self, Process};
use crate::site::{Duty, Site};
use crate::traces::Traces;

/// How long a killed machine's processes may take to vanish.
const VANISHING: Duration = Duration::from_secs(10);

/// One machine.
pub struct Machine {
    /// Of the machine, and so of its instance.
    pub name: String,
    /// What runs on it.
    pub duty: Duty,
    site: Site,
    dir: PathBuf,
    program: PathBuf,
    node: Option<Child>,
}

/// Something died, and when: just before the first signal was sent.
#[derive(Debug, Clone)]
pub struct Killed {
    /// When.
    pub at: Moment,
    /// What was killed.
    pub pids: Vec<i32>,
}

impl Machine {
    /// Below a cluster's directory; `program` is `interrex`. Nothing is made yet.
    pub fn new(cluster: &Path, program: &Path, site: Site) -> Machine {
        let (name, dir) = (site.name.clone(), cluster.join(&site.name));
        Machine { name, duty: site.duty, site, dir, program: program.to_owned(), node: None }
    }

    /// Where its servers listen.
    pub fn address(&self) -> IpAddr {
        self.site.address
    }

    /// Where its coordinator is reached.
    pub fn coordinator(&self) -> String {
        self.site.coordinator()
    }

    /// Where its PostgreSQL is reached.
    pub fn host(&self) -> HostSpec {
        self.site.host()
    }

    /// Its node's log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("node.log")
    }

    /// Its PostgreSQL's log.
    pub fn server_log(&self) -> PathBuf {
        self.dir.join("data/instances").join(crate::cluster::CLUSTER).join("postgres.log")
    }

    fn node_file(&self) -> PathBuf {
        self.dir.join("node.toml")
    }

    /// The directory that PostgreSQL's user may write to, and in it the data directory of the cluster.
    pub fn pg(&self) -> PathBuf {
        self.dir.join("pg")
    }

    fn pgdata(&self) -> PathBuf {
        self.pg().join(crate::cluster::CLUSTER)
    }

    /// Makes its directories and its node file.
    pub fn make(&self, text: &str, account: Option<Account>) -> anyhow::Result<()> {
        let make = |dir: &Path| {
            let made =
                fs::create_dir(dir).and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755)));
            made.with_context(|| format!("make {}", dir.display()))
        };
        make(&self.dir)?;
        make(&self.pg())?;
        if let Some(account) = account {
            chown(self.pg(), Some(account.uid), Some(account.gid))
                .with_context(|| format!("give {} to PostgreSQL's user", self.pg().display()))?;
        }
        fs::write(self.node_file(), text).with_context(|| format!("write {}", self.node_file().display()))
    }

    /// Its node file: every coordinator's address, of so many instances, the application's password.
    pub fn node_text(
        &self,
        zone: usize,
        voters: &[(String, String)],
        instances: usize,
        password: &Path,
    ) -> anyhow::Result<String> {
        let (name, cluster) = (&self.name, crate::cluster::CLUSTER);
        let data_dir = quoted(&self.dir.join("data"))?;
        let mut text = format!("name = \"{name}\"\nzone = \"zone-{zone}\"\ndata_dir = {data_dir}\n");
        if !self.site.address.is_loopback() {
            // A network that nobody but this cluster is in.
            text += "tls = \"off\"\n";
        }
        let listed =
            |one: fn(&(String, String)) -> String| voters.iter().map(one).collect::<Vec<_>>().join(", ");
        if self.duty.votes() {
            let members = listed(|(name, address)| format!("{name} = \"{address}\""));
            let listen = self.coordinator();
            text += &format!("\n[coordinator]\nlisten = \"{listen}\"\nmembers = {{ {members} }}\n");
        } else {
            let addresses = listed(|(_, address)| format!("\"{address}\""));
            text += &format!("\n[agent]\ncoordinators = [{addresses}]\n");
        }
        if self.duty.serves() {
            let (host, pgdata) = (self.host(), quoted(&self.pgdata())?);
            text +=
                &format!("\n[[instance]]\ncluster = \"{cluster}\"\nlisten = \"{host}\"\npgdata = {pgdata}\n");
        }
        if self.duty.votes() {
            let (user, password) = (crate::cluster::USER, quoted(password)?);
            text += &format!(
                "\n[cluster.{cluster}]\ninstances = {instances}\nuser = \"{user}\"\npassword_file = {password}\n"
            );
        }
        Ok(text)
    }

    /// Starts its node. A process group of its own: the terminal's signals are for this process alone.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = self.log();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        let mut command = self.site.launcher.command(&self.program);
        command.arg("node").arg("-c").arg(self.node_file()).current_dir(&self.dir).process_group(0);
        command.stdin(Stdio::null()).stdout(clone(&log)?).stderr(log);
        self.node = Some(command.spawn().with_context(|| format!("start the node of {}", self.name))?);
        Ok(())
    }

    /// How its node ended, if it did without being told to.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(node) = &mut self.node else { return Ok(None) };
        node.try_wait().with_context(|| format!("look after the node of {}", self.name))
    }

    /// The last line of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").trim().to_owned()
    }

    /// Ends its node in good order, PostgreSQL included, as whoever restarts a machine does.
    ///
    /// # Errors
    /// It does not end within `at_most`, or not well.
    pub async fn stop(&mut self, at_most: Duration) -> anyhow::Result<()> {
        let Some(mut node) = self.node.take() else { bail!("no node of {} was started", self.name) };
        for process in self.programs("interrex")? {
            process.signal(Signal::TERM).with_context(|| format!("stop process {}", process.pid))?;
        }
        let ended = tokio::time::timeout(at_most, node.wait()).await;
        let ended = ended.map_err(|_| anyhow!("the node of {} does not end", self.name))?;
        let status = ended.with_context(|| format!("wait for the node of {}", self.name))?;
        ensure!(status.success(), "the node of {} ended with {status}: {}", self.name, self.last_words());
        Ok(())
    }

    /// Everything that runs on it.
    pub fn processes(&self) -> anyhow::Result<Vec<Process>> {
        processes::of(&self.dir, &processes::self_and_ancestors()).context("read /proc")
    }

    /// SIGKILL to everything that runs on it, until nothing does.
    pub async fn kill(&mut self, cluster: &Path, traces: &mut Traces) -> anyhow::Result<Killed> {
        let mut found = self.processes()?;
        note(traces, &found, cluster)?;
        let mut killed = Killed::begin();
        let until = std::time::Instant::now() + VANISHING;
        while !found.is_empty() {
            for process in &found {
                process.signal(Signal::KILL).with_context(|| format!("kill process {}", process.pid))?;
            }
            killed.pids.extend(found.iter().map(|process| process.pid));
            processes::wait_gone(&found, Duration::from_millis(200));
            ensure!(std::time::Instant::now() < until, "processes of {} do not die", self.name);
            found = self.processes()?;
        }
        killed.pids.sort_unstable();
        killed.pids.dedup();
        self.reap().await?;
        Ok(killed)
    }

    /// SIGKILL to its node, and to nothing else: agent and coordinator are gone, guard and PostgreSQL stay.
    pub async fn kill_node(&mut self, cluster: &Path, traces: &mut Traces) -> anyhow::Result<Killed> {
        let nodes = self.programs("interrex")?;
        note(traces, &self.processes()?, cluster)?;
        let killed = Killed::begin().strike(&nodes)?;
        self.reap().await?;
        Ok(killed)
    }

    /// SIGKILL to PostgreSQL with all its backends, and to nothing else. The postmaster first: of what it forked since
    /// it was looked at, only the guard is left to take care.
    pub fn kill_postgres(&self, cluster: &Path, traces: &mut Traces) -> anyhow::Result<Killed> {
        let postmaster = self.postmaster()?.pid;
        let mut all = self.programs("postgres")?;
        all.sort_by_key(|process| process.pid != postmaster);
        note(traces, &self.processes()?, cluster)?;
        Killed::begin().strike(&all)
    }

    /// SIGKILL to its postmaster, and to nothing else.
    pub fn kill_postmaster(&self, cluster: &Path, traces: &mut Traces) -> anyhow::Result<Killed> {
        let postmaster = self.postmaster()?;
        note(traces, &self.processes()?, cluster)?;
        Killed::begin().strike(&[postmaster])
    }

    /// SIGKILL to one process of its PostgreSQL, and to nothing else: the first that is `wanted`, which is `what`.
    pub fn kill_one(
        &self,
        cluster: &Path,
        traces: &mut Traces,
        what: &str,
        wanted: impl Fn(&Process) -> bool,
    ) -> anyhow::Result<Killed> {
        let found = self.programs("postgres")?.into_iter().find(wanted);
        let found = found.with_context(|| format!("PostgreSQL of {} has no {what}", self.name))?;
        note(traces, &self.processes()?, cluster)?;
        Killed::begin().strike(&[found])
    }

    /// SIGKILL to its guard, and to nothing else.
    pub fn kill_guard(&self, cluster: &Path, traces: &mut Traces) -> anyhow::Result<Killed> {
        let guards = self.programs("interrex-guard")?;
        ensure!(!guards.is_empty(), "no guard runs on {}", self.name);
        note(traces, &self.processes()?, cluster)?;
        Killed::begin().strike(&guards)
    }

    /// Its postmaster, as `postmaster.pid` names it.
    ///
    /// # Errors
    /// There is none.
    pub fn postmaster(&self) -> anyhow::Result<Process> {
        let path = self.pgdata().join("postmaster.pid");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let pid: Option<i32> = text.lines().next().and_then(|line| line.trim().parse().ok());
        let found = self.programs("postgres")?.into_iter().find(|process| Some(process.pid) == pid);
        found.with_context(|| {
            format!("{} names process {pid:?}, which is no postgres of {}", path.display(), self.name)
        })
    }

    /// What runs on it of one program, by its file's name.
    pub fn programs(&self, program: &str) -> anyhow::Result<Vec<Process>> {
        Ok(self.processes()?.into_iter().filter(|process| process.program() == program).collect())
    }

    async fn reap(&mut self) -> anyhow::Result<()> {
        if let Some(mut node) = self.node.take() {
            node.wait().await.context("reap the node")?;
        }
        Ok(())
    }
}

impl Killed {
    /// Now, and nothing yet.
    fn begin() -> Killed {
        Killed { at: Moment::now(), pids: Vec::new() }
    }

    /// SIGKILL to these, and waits until they are gone.
    fn strike(mut self, doomed: &[Process]) -> anyhow::Result<Killed> {
        for process in doomed {
            process.signal(Signal::KILL).with_context(|| format!("kill process {}", process.pid))?;
        }
        self.pids.extend(doomed.iter().map(|process| process.pid));
        ensure!(processes::wait_gone(doomed, VANISHING), "processes {:?} do not die", self.pids);
        Ok(self)
    }
}

/// On disk before anything dies: whoever sweeps has to know even if this process is killed next.
fn note(traces: &mut Traces, processes: &[Process], cluster: &Path) -> anyhow::Result<()> {
    traces.note(processes);
    traces.save(cluster).with_context(|| format!("write to {}", cluster.display()))
}

fn clone(log: &File) -> anyhow::Result<File> {
    log.try_clone().context("share the node's log")
}

/// A path as a TOML string. JSON's escapes are a part of TOML's.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text =
        path.to_str().with_context(|| format!("{} is not UTF-8; name another directory", path.display()))?;
    Ok(serde_json::to_string(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::program;
    use crate::site::Launcher;

    fn machine(cluster: &Path, name: &str, duty: Duty, address: [u8; 4]) -> Machine {
        let (name, address) = (name.to_owned(), address.into());
        let site = Site {
            name,
            duty,
            address,
            coordinator_port: 15001,
            postgres_port: 15002,
            launcher: Launcher::default(),
        };
        Machine::new(cluster, Path::new("interrex"), site)
    }

    fn n1(cluster: &Path) -> Machine {
        machine(cluster, "n1", Duty::Both, [127, 0, 0, 1])
    }

    #[test]
    fn outside_loopback_a_node_file_says_that_its_network_is_trusted() {
        let voters = [("n1".to_owned(), "10.0.0.1:15001".to_owned())];
        let file = |address| {
            let machine = machine(Path::new("/d"), "n1", Duty::Both, address);
            machine.node_text(1, &voters, 1, Path::new("/p")).unwrap()
        };
        assert!(file([10, 0, 0, 1]).contains("tls = \"off\"\n\n[coordinator]\nlisten = \"10.0.0.1:15001\""));
        assert!(!file([127, 0, 0, 1]).contains("tls"));
    }

    #[test]
    fn a_node_file_names_everything_that_a_machine_needs() {
        let machine = machine(Path::new("/tmp/de\"mo"), "n2", Duty::Both, [127, 0, 0, 1]);
        let voters = [("n2".to_owned(), "127.0.0.1:15001".to_owned())];
        let text = machine.node_text(2, &voters, 3, Path::new("/tmp/password")).unwrap();
        let expected = r#"name = "n2"
zone = "zone-2"
data_dir = "/tmp/de\"mo/n2/data"

[coordinator]
listen = "127.0.0.1:15001"
members = { n2 = "127.0.0.1:15001" }

[[instance]]
cluster = "demo"
listen = "127.0.0.1:15002"
pgdata = "/tmp/de\"mo/n2/pg/demo"

[cluster.demo]
instances = 3
user = "app"
password_file = "/tmp/password"
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn a_machine_names_only_what_runs_on_it() {
        let text = |duty| {
            let machine = machine(Path::new("/demo"), "n4", duty, [127, 0, 0, 1]);
            let voters = [("n1".to_owned(), "127.0.0.1:1".to_owned())];
            machine.node_text(4, &voters, 3, Path::new("/password")).unwrap()
        };
        let sections = |duty| {
            text(duty).lines().filter(|line| line.starts_with('[')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(sections(Duty::Coordinator), ["[coordinator]", "[cluster.demo]"]);
        assert_eq!(sections(Duty::Instance), ["[agent]", "[[instance]]"]);
        assert!(text(Duty::Instance).contains("coordinators = [\"127.0.0.1:1\"]"));
    }

    #[test]
    fn the_last_words_of_a_node_are_its_last_line() {
        let demo = tempfile::tempdir().unwrap();
        let machine = n1(demo.path());
        assert_eq!(machine.last_words(), "nothing");
        fs::create_dir(demo.path().join("n1")).unwrap();
        fs::write(machine.log(), "one\nkey 'data_dir': full\n\n").unwrap();
        assert_eq!(machine.last_words(), "key 'data_dir': full");
    }

    #[test]
    fn a_machine_s_directories_let_postgresql_s_user_pass() {
        let demo = tempfile::tempdir().unwrap();
        let machine = n1(demo.path());
        machine.make("", None).unwrap();
        for dir in ["n1", "n1/pg"] {
            assert_eq!(fs::metadata(demo.path().join(dir)).unwrap().permissions().mode() & 0o055, 0o055);
        }
        assert!(machine.node_file().is_file());
    }

    #[tokio::test]
    async fn a_killed_machine_has_no_process_left_and_tells_what_died() {
        let demo = tempfile::tempdir().unwrap();
        let mut machine = n1(demo.path());
        fs::create_dir(demo.path().join("n1")).unwrap();
        let mut node = program(demo.path(), "interrex", &machine.dir, "sleep 60; :");
        let pid = i32::try_from(node.id()).unwrap();
        let patience = crate::patience::Patience::new("the program to run", Duration::from_secs(10));
        while machine.processes().unwrap().len() < 2 {
            patience.pause("").await.unwrap();
        }
        let killed = machine.kill(demo.path(), &mut Traces::default()).await.unwrap();
        assert!(killed.pids.contains(&pid) && killed.pids.len() == 2, "{killed:?}");
        assert!(machine.processes().unwrap().is_empty());
        node.wait().unwrap();
        assert!(machine.ended().unwrap().is_none(), "a machine that was killed did not end by itself");
    }

    #[tokio::test]
    async fn a_node_that_was_never_started_is_not_stopped() {
        let demo = tempfile::tempdir().unwrap();
        let error = n1(demo.path()).stop(Duration::ZERO).await.unwrap_err();
        assert_eq!(error.to_string(), "no node of n1 was started");
    }

    #[test]
    fn a_postmaster_is_killed_only_when_it_is_one() {
        let demo = tempfile::tempdir().unwrap();
        let machine = n1(demo.path());
        fs::create_dir_all(machine.pgdata()).unwrap();
        let mut traces = Traces::default();
        let error = machine.kill_postmaster(demo.path(), &mut traces).unwrap_err();
        assert!(format!("{error:#}").contains("postmaster.pid"), "{error:#}");
        let error = machine.kill_one(demo.path(), &mut traces, "checkpointer", |_| true).unwrap_err();
        assert_eq!(error.to_string(), "PostgreSQL of n1 has no checkpointer");
        // Our own number: alive, and no postgres of this machine.
        fs::write(machine.pgdata().join("postmaster.pid"), format!("{}\n", std::process::id())).unwrap();
        let error = machine.kill_postmaster(demo.path(), &mut traces).unwrap_err();
        assert!(format!("{error:#}").contains("which is no postgres of n1"), "{error:#}");
    }
}
