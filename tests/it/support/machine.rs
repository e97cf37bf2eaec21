//! One machine of a town: its directory, ports and node file, and everything that runs below that directory.
//!
//! `MACHINE/node.toml`, `MACHINE/node.log`, `MACHINE/data` (the node's own), `MACHINE/pg/data` (PostgreSQL's).

use super::cli::INTERREX;
use super::postgresql::as_postgres;
use super::processes::{Process, below};
use super::shared_memory::SharedMemory;
use super::tree::of_postgres;
use super::wait::{PATIENCE, eventually};
use interrex_ledger::HostSpec;
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One machine. Its processes are the town's to end.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    /// Port of the coordinator.
    pub(crate) port: u16,
    /// Port of PostgreSQL.
    pub(crate) postgres_port: u16,
    node: Option<Child>,
    shared_memory: SharedMemory,
}

impl Machine {
    pub(crate) fn new(town: &Path, name: &str) -> Self {
        let (port, postgres_port) = (super::free(), super::free());
        let dir = town.join(name);
        of_postgres(&dir.join("pg"), 0o755);
        Self {
            name: name.to_owned(),
            dir,
            port,
            postgres_port,
            node: None,
            shared_memory: SharedMemory::default(),
        }
    }

    /// `host:port` of its coordinator.
    pub(crate) fn coordinator(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where its PostgreSQL listens.
    pub(crate) fn host(&self) -> HostSpec {
        HostSpec { host: "127.0.0.1".to_owned(), port: self.postgres_port }
    }

    pub(crate) fn pgdata(&self) -> PathBuf {
        // Its parent is for the agent to make, as on a machine where somebody follows the README.
        self.dir.join("pg/clusters/data")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("node.toml")
    }

    /// Whether its node file names an instance.
    pub(crate) fn has_postgres(&self) -> bool {
        fs::read_to_string(self.file()).is_ok_and(|text| text.contains("[[instance]]"))
    }

    /// Whether its node file names a coordinator of its own.
    pub(crate) fn votes(&self) -> bool {
        fs::read_to_string(self.file()).is_ok_and(|text| text.contains("[coordinator]"))
    }

    /// What its node said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("node.log")).unwrap_or_default()
    }

    /// Statements of whoever runs PostgreSQL here, a superuser, in the database `postgres`.
    pub(crate) fn psql(&self, statements: &str) {
        let noted = fs::read_to_string(self.pgdata().join("postmaster.pid")).expect("PostgreSQL runs");
        let sockets = noted.lines().nth(4).expect("where its socket is");
        as_postgres("psql", |command| {
            let port = self.postgres_port.to_string();
            command
                .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-h", sockets, "-p", &port])
                .args(["-c", statements])
        });
    }

    /// Starts the node; what it says is added to its log.
    pub(crate) fn start(&mut self) {
        assert!(self.node.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(self.dir.join("node.log")).unwrap();
        let node = Command::new(INTERREX)
            .args(["node", "-c"])
            .arg(self.file())
            // What an operator's shell may hold is none of a node's business.
            .envs([("PGPASSWORD", "somebody-else-s"), ("PGSSLMODE", "require"), ("PGPORT", "1")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.node = Some(node);
    }

    /// Tells the node to end; [`Machine::stopped`] waits for it.
    pub(crate) fn stop(&self) {
        self.node().signal(Signal::TERM);
    }

    /// Waits until the node has ended in good order, and nothing of the machine is left.
    pub(crate) async fn stopped(&mut self) {
        let mut node = self.node.take().expect("a node that was started");
        let what = format!("the node of {} to end", self.name);
        let status = eventually(PATIENCE, &what, async || node.try_wait().unwrap(), || self.log()).await;
        assert!(status.success(), "the node of {} ended with {status}:\n{}", self.name, self.log());
        let what = format!("PostgreSQL of {} to be gone with its node", self.name);
        let none = async || below(&self.dir).is_empty().then_some(());
        eventually(PATIENCE, &what, none, || format!("{:#?}", below(&self.dir))).await;
    }

    /// Kills everything on the machine with -9, again and again until nothing is left: what is killed may just have
    /// had a child. Gives the number of processes killed.
    pub(crate) fn kill(&mut self) -> usize {
        let until = Instant::now() + Duration::from_secs(20);
        let mut killed = 0;
        loop {
            let all = below(&self.dir);
            if all.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "kill -9 does not end {all:#?}");
            if killed == 0 {
                self.note_shared_memory(&all);
            }
            all.iter().for_each(|process| process.signal(Signal::KILL));
            killed = killed.max(all.len());
            std::thread::yield_now();
        }
        self.reap();
        killed
    }

    /// Kills the node process alone with -9: agent and coordinator are gone, the guard and PostgreSQL stay.
    pub(crate) fn kill_node(&mut self) {
        self.node().signal(Signal::KILL);
        self.reap();
    }

    /// The node process.
    pub(crate) fn node(&self) -> Process {
        let pid = self.node.as_ref().expect("a node that was started").id();
        let all = below(&self.dir);
        let found = all.into_iter().find(|process| u32::try_from(process.pid) == Ok(pid));
        found.unwrap_or_else(|| panic!("the node of {} has ended by itself:\n{}", self.name, self.log()))
    }

    /// The postmaster, by `postmaster.pid`.
    pub(crate) fn postmaster(&self) -> Option<Process> {
        let text = fs::read_to_string(self.pgdata().join("postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        below(&self.dir).into_iter().find(|process| process.pid == pid)
    }

    /// PostgreSQL's processes with `title` in their names: `walsender`, `walreceiver`, ….
    pub(crate) fn backends(&self, title: &str) -> Vec<Process> {
        let here = below(&self.dir).into_iter();
        here.filter(|p| p.command.starts_with("postgres: ") && p.command.contains(title)).collect()
    }

    /// Whatever runs; at the town's end nothing does.
    pub(crate) fn clean(&mut self) {
        self.kill();
        self.shared_memory.note_pid_file(&self.pgdata().join("postmaster.pid"));
        self.shared_memory.remove();
    }

    fn note_shared_memory(&mut self, all: &[Process]) {
        self.shared_memory.note(all);
    }

    fn reap(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.wait().unwrap();
        }
    }
}
