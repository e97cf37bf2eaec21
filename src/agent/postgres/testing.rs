//! What scenes need: layouts in temporary directories, and real servers that end with their test.

use super::layout::{Credentials, Layout, RunAs};
use super::server::Server;
use super::{Clients, Role, Settings, SyncText, Upstream};
use interrex_cluster::ids::Epoch;
use interrex_cluster::record::Address;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

#[path = "../../../tests/shared/bin_dir.rs"]
mod bin_dir;

/// Long enough for a loaded machine; no scene waits for it to pass.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// An empty data directory and its neighbours, owned by whoever runs the test.
pub(super) fn bare_layout() -> (TempDir, Layout) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let at = |name: &str| dir.path().join(name);
    for name in ["data/pg_wal", "private"] {
        fs::create_dir_all(at(name)).expect("it is our own directory");
    }
    let layout = layout(&at("data"), &at("private"), at("bin"), None, 1);
    (dir, layout)
}

fn layout(pgdata: &Path, private: &Path, bin_dir: PathBuf, run_as: Option<RunAs>, port: u16) -> Layout {
    Layout {
        bin_dir,
        pgdata: pgdata.to_owned(),
        socket_dir: private.to_owned(),
        listen: Address { host: "127.0.0.1".to_owned(), port },
        run_as,
        log: pgdata.with_file_name("postgres.log"),
        private_dir: private.to_owned(),
        archive_command: None,
        restore_command: None,
        aside: pgdata.with_file_name("aside"),
    }
}

/// A handle with passwords that need care when quoted.
pub(super) fn server(layout: Layout) -> Server {
    let owner = Some(("app".to_owned(), "it's".to_owned()));
    Server::new(
        layout,
        Credentials { superuser: "su\\p'er".to_owned(), replication: "re:pl".to_owned(), owner },
    )
}

/// A directory of instances. Everything in it ends with the scene.
pub(super) struct House {
    dir: TempDir,
}

impl House {
    pub(super) fn new() -> Self {
        let dir = roomy_memory().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
        let dir = dir.expect("a temporary directory can be made");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path(), open).expect("it is our own directory");
        Self { dir }
    }

    /// An instance without data.
    pub(super) fn node(&self, name: &str) -> Node {
        let home = self.dir.path().join(name);
        fs::create_dir_all(&home).expect("the name is new");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port();
        let layout = layout(&home.join("data"), &home.join("run"), bin_dir::bin_dir(), run_as(), port);
        Node { server: server(layout), child: None }
    }

    /// A primary of epoch 2 whose roles are made and whose clients are in.
    pub(super) async fn primary(&self, name: &str) -> Node {
        let mut node = self.node(name);
        node.initdb().await.expect("initdb works");
        node.start().await;
        node.promoted(2, SyncText { k: 0, names: Vec::new() }).await;
        node.ensure_roles(&"orders".parse().expect("it is a name")).await.expect("roles are made");
        node.write_hba(Clients::In).await.expect("hba is written");
        node.reload().await.expect("it reloads");
        node
    }

    /// A streaming standby of `primary`, cloned through its own slot.
    pub(super) async fn standby(&self, name: &str, primary: &Node) -> Node {
        let mut node = self.node(name);
        let upstream = primary.as_upstream(name);
        primary.ensure_slots(&slots_with(primary, &upstream).await).await.expect("slots are made");
        let system = primary.control_data().await.expect("it has a pg_control").system;
        let mut seen = 0;
        let incarnation = interrex_cluster::ids::Incarnation(1);
        Server::clone_from(&node, &upstream, incarnation, system, |p| seen = seen.max(p.done))
            .await
            .expect("the clone works");
        assert!(seen > 0, "progress was told");
        node.write_settings(&Settings { role: Role::Standby { upstream } })
            .await
            .expect("settings are written");
        node.start().await;
        node.streams().await;
        node
    }
}

async fn slots_with(primary: &Node, upstream: &Upstream) -> Vec<String> {
    let rows = primary.ask("select slot_name from pg_replication_slots", LONG).await.expect("it answers");
    rows.into_iter().filter_map(|row| row.into_iter().next()?).chain(upstream.slot.clone()).collect()
}

/// An instance with its process. Dropped, the process ends.
pub(super) struct Node {
    server: Server,
    child: Option<Child>,
}

impl std::ops::Deref for Node {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Node {
    /// Starts the server and waits until it answers.
    pub(super) async fn start(&mut self) {
        let (program, args) = self.start_args();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.layout().log)
            .expect("a log can be made");
        let mut command = Command::new(program);
        command.args(args).env_clear().env("LC_ALL", "C").current_dir(&self.layout().pgdata);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        if let Some(user) = &self.layout().run_as {
            command.gid(user.gid).uid(user.uid);
        }
        self.child = Some(command.spawn().expect("postgres can be run"));
        let until = Instant::now() + LONG;
        while let Err(not_yet) = self.in_recovery().await {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none() && Instant::now() < until, "{not_yet}: {}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// From now on the handle knows these passwords.
    pub(super) fn known_by(&mut self, credentials: Credentials) {
        self.server = Server::new(self.layout().clone(), credentials);
    }

    /// What the server wrote to its log.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.layout().log).unwrap_or_default()
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut child) = self.child.take() {
            // A process that is gone already needs no signal.
            let _gone = kill_process(Pid::from_child(&child), signal);
            child.wait().expect("it is our child");
        }
    }

    /// A fast shutdown.
    pub(super) fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// An end without a checkpoint.
    pub(super) fn crash(&mut self) {
        self.end(Signal::QUIT);
    }

    /// Puts the rule in place and promotes.
    pub(super) async fn promoted(&self, epoch: u32, sync: SyncText) {
        self.write_settings(&Settings { role: Role::Primary { sync } }).await.expect("settings are written");
        self.reload().await.expect("it reloads");
        self.promote(Epoch(epoch), LONG).await.expect("the promotion works");
    }

    pub(super) async fn follow(&self, upstream: Upstream) {
        self.write_settings(&Settings { role: Role::Standby { upstream } })
            .await
            .expect("settings are written");
        self.reload().await.expect("it reloads");
    }

    pub(super) fn as_upstream(&self, name: &str) -> Upstream {
        Upstream {
            address: self.layout().listen.clone(),
            name: format!("ix_{name}_2_1"),
            slot: Some(format!("ix_{name}")),
        }
    }

    /// Waits until it streams.
    pub(super) async fn streams(&self) {
        self.until("select count(*)::text from pg_stat_wal_receiver where status = 'streaming'", "1").await;
    }

    /// Waits until a query gives `wanted`.
    pub(super) async fn until(&self, sql: &str, wanted: &str) {
        let until = Instant::now() + LONG;
        loop {
            let found = self.ask(sql, LONG).await;
            if matches!(&found, Ok(rows) if rows.first().and_then(|r| r.first()?.as_deref()) == Some(wanted))
            {
                return;
            }
            assert!(Instant::now() < until, "{sql}: {found:?}, not {wanted}: {}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The only value of a query.
    pub(super) async fn value(&self, sql: &str) -> String {
        let rows = self.ask(sql, LONG).await.expect("it answers");
        rows[0][0].clone().unwrap_or_else(|| "NULL".to_owned())
    }

    /// Runs statements that wait for no standby.
    pub(super) async fn locally(&self, statements: &[&str]) {
        let mut session = self.connect(LONG).await.expect("it lets us in");
        for sql in ["set synchronous_commit = local"].iter().chain(statements) {
            session.run(sql, LONG).await.expect(sql);
        }
        session.close().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end(Signal::QUIT);
    }
}

/// A file system in memory with room for the scenes: they ask nothing of a disk, and it would be the slowest of them.
fn roomy_memory() -> Option<&'static Path> {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).ok()?;
    (room.f_bavail * room.f_frsize > 6 << 30).then_some(memory)
}

/// PostgreSQL refuses root.
fn run_as() -> Option<RunAs> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("it can be read");
    let user: Vec<&str> = users
        .lines()
        .map(|l| l.split(':').collect::<Vec<_>>())
        .find(|f| f[0] == "postgres")
        .expect("there is one");
    let number = |i: usize| user[i].parse().expect("it is a number");
    Some(RunAs { uid: number(2), gid: number(3), name: "postgres".to_owned() })
}
