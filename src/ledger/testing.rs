//! One real PostgreSQL server for a scene: initdb in a temporary directory, a free port, and gone with the value.
//! Run as root it drops to the user `postgres`, since the server refuses root.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::time::{Instant, sleep};

use crate::target::{HostSpec, Login};

#[path = "../../tests/shared/bin_dir.rs"]
mod bin_dir;

/// Long enough for anything a scene waits for; a scene that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    dir: tempfile::TempDir,
    port: u16,
    postmaster: Option<Child>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            let owner = user_id("postgres");
            chown(dir.path(), Some(owner.0), Some(owner.1)).unwrap();
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = dir.path().join("data");
        let done = as_postgres("initdb")
            .args(["--no-sync", "--no-instructions", "--auth=trust", "--username=postgres", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
        let mut server = Server { dir, port: free_port(), postmaster: None };
        server.resume().await;
        server
    }

    /// Starts it again on the same port, and waits until it answers.
    pub(crate) async fn resume(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let child = as_postgres("postgres")
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB"])
            .args(["-c", "unix_socket_directories=", "-p", &self.port.to_string(), "-D"])
            .arg(self.dir.path().join("data"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.postmaster = Some(child);
        let until = Instant::now() + PATIENCE;
        while self.try_connect().await.is_err() {
            assert!(Instant::now() < until, "postgres does not answer: {}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it so hard that nobody gets an answer.
    pub(crate) fn crash(&mut self) {
        if let Some(mut child) = self.postmaster.take() {
            let pid = Pid::from_child(&child);
            let _ = kill_process(pid, Signal::QUIT);
            let _ = child.wait();
        }
    }

    pub(crate) fn host(&self) -> HostSpec {
        HostSpec { host: "127.0.0.1".into(), port: self.port }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        self.try_connect().await.unwrap()
    }

    async fn try_connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&login().options(&self.host(), PATIENCE)).await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

pub(crate) fn login() -> Login {
    Login { user: "postgres".into(), password: None, dbname: "postgres".into() }
}

/// Runs one statement and gives its first column's text, row by row.
pub(crate) async fn sql(conn: &mut PgConnection, statement: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| row.try_get_unchecked::<String, _>(0).unwrap()).collect()
}

/// Waits until `condition` holds of what `look` sees.
pub(crate) async fn until<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    condition: impl Fn(&T) -> bool,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if condition(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn as_postgres(program: &str) -> Command {
    let program = bin_dir::bin_dir().join(program);
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    // The kernel ends the server should the test be killed before it can.
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program).current_dir("/").env("LC_ALL", "C");
    command
}

fn user_id(name: &str) -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line =
        passwd.lines().find(|line| line.starts_with(&format!("{name}:"))).expect("the user postgres exists");
    let field = |n| line.split(':').nth(n).and_then(|text| text.parse().ok()).expect("a numeric id");
    (field(2), field(3))
}
