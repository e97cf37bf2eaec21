//! The guard and its client on a real PostgreSQL: what it takes for 'gone' to be true.
//! Every scene has its own server in its own directory and leaves neither processes nor shared memory behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use interrex_agent::process::{
    Boottime, Cause, DeadlineError, Ended, FindError, Running, Sig, StartError, StartSpec, boottime_now,
    find, leftovers, start, stop_unguarded,
};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection, Row};

#[path = "shared/bin_dir.rs"]
mod bin_dir;

/// Far longer than anything takes; a scene that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const GUARD: &str = env!("CARGO_BIN_EXE_interrex-guard");

const SPINS: &str = "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$";
const COMMITS: &str = "DO $$ BEGIN LOOP INSERT INTO t VALUES (1); COMMIT; END LOOP; END $$";

#[tokio::test]
async fn past_its_deadline_a_server_with_a_spinning_backend_is_gone_within_200_ms() {
    deadline_passes(Path::new(GUARD).to_owned()).await;
}

#[tokio::test]
async fn past_its_deadline_a_server_is_gone_as_quickly_without_a_control_group() {
    let dir = tempfile::tempdir().unwrap();
    deadline_passes(without_cgroup(dir.path())).await;
}

async fn deadline_passes(guard_bin: PathBuf) {
    // Another process on the machine may take our time slice; a guard that is slow by itself is so each time.
    let mut late = Vec::new();
    for _ in 0..3 {
        let server = Server::new();
        let running = start(StartSpec { guard_bin: guard_bin.clone(), ..server.spec() }).await.unwrap();
        let backend = server.busy(SPINS).await;
        let deadline = boottime_now().plus(Duration::from_millis(150));
        running.set_deadline(7, Some(deadline)).await.unwrap();
        let exit = gone(&running).await;
        late.push(boottime_now().since(deadline));
        assert!(boottime_now() >= deadline);
        assert_eq!(exit, (Ended::Signal(9), Cause::Deadline { epoch: 7 }));
        assert!(!exists(backend) && !exists(running.postmaster()));
        assert_eq!(leftovers(&server.pgdata).unwrap(), []);
        if late.last().is_some_and(|late| *late < Duration::from_millis(200)) {
            eprintln!("gone {late:?} after the deadline");
            return;
        }
    }
    panic!("gone {late:?} after the deadline");
}

#[tokio::test]
async fn a_killed_postmaster_counts_as_gone_only_with_its_committing_backend() {
    let dir = tempfile::tempdir().unwrap();
    for guard_bin in [Path::new(GUARD).to_owned(), without_cgroup(dir.path())] {
        let server = Server::new();
        let running = start(StartSpec { guard_bin, ..server.spec() }).await.unwrap();
        let backend = server.busy(COMMITS).await;
        let killed = boottime_now();
        kill(running.postmaster(), Signal::KILL);
        let exit = gone(&running).await;
        eprintln!("postmaster killed: all gone after {:?}", boottime_now().since(killed));
        assert_eq!(exit, (Ended::Signal(9), Cause::Itself));
        assert!(!exists(backend));
        assert!(server.pgdata.join("postmaster.pid").exists(), "postmaster.pid is not ours to delete");
        // The way is free for the next one, at once.
        let running = server.start().await;
        server.connect().await;
        let _ = running.fence(PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_comes_back_takes_over_the_same_postmaster_and_renews_its_lease() {
    let server = Server::new();
    assert!(find(&server.socket).await.unwrap().is_none());
    let running = server.start().await;
    let (postmaster, guard) = (running.postmaster(), running.guard());
    let soon = boottime_now().plus(Duration::from_millis(400));
    running.set_deadline(3, Some(soon)).await.unwrap();
    drop(running);

    let found = find(&server.socket).await.unwrap().expect("the guard lives");
    assert_eq!((found.postmaster(), found.guard(), found.epoch_when_met()), (postmaster, guard, 3));
    assert_eq!(found.deadline().await.unwrap(), (3, Some(soon)));
    let later = boottime_now().plus(Duration::from_secs(60));
    found.set_deadline(3, Some(later)).await.unwrap();
    tokio::time::sleep(soon.since(boottime_now()) + Duration::from_millis(50)).await;
    server.connect().await;
    assert_eq!(found.deadline().await.unwrap(), (3, Some(later)));
    eprintln!("guard: PSS {} KiB", pss_kib(guard));
    assert!(pss_kib(guard) <= 2048);
    let _ = found.fence(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_deadline_of_an_older_epoch_is_refused_and_changes_nothing() {
    let server = Server::new();
    let running = server.start().await;
    let far = Some(boottime_now().plus(Duration::from_secs(60)));
    running.set_deadline(8, far).await.unwrap();
    for old in [None, Some(Boottime::from_ns(1)), far] {
        let refused = running.set_deadline(7, old).await;
        assert_eq!(refused, Err(DeadlineError::StaleEpoch { seen: 8, asked: 7 }));
    }
    assert_eq!(running.deadline().await.unwrap(), (8, far));
    running.set_deadline(9, None).await.unwrap();
    assert_eq!(running.deadline().await.unwrap(), (9, None));
    let _ = running.fence(PATIENCE).await.unwrap();
    assert_eq!(running.set_deadline(10, far).await, Err(DeadlineError::Ended));
}

#[tokio::test]
async fn a_fence_ends_a_server_whose_processes_are_all_stopped() {
    let server = Server::new();
    let running = server.start().await;
    let backend = server.busy(SPINS).await;
    for process in leftovers(&server.pgdata).unwrap() {
        kill(process.pid, Signal::STOP);
    }
    let gone = running.fence(PATIENCE).await.unwrap();
    assert_eq!((gone.exit.ended, gone.exit.cause), (Ended::Signal(9), Cause::Fence));
    assert!(!exists(backend));
    assert!(find(&server.socket).await.unwrap().is_none());
    assert!(!server.socket.exists());
}

#[tokio::test]
async fn a_fence_ends_a_server_whose_guard_is_stopped() {
    let server = Server::new();
    let running = server.start().await;
    let backend = server.busy(COMMITS).await;
    kill(running.guard(), Signal::STOP);
    assert!(
        matches!(find(&server.socket).await, Err(FindError::NoAnswer { guard: Some(pid), .. }) if pid == running.guard())
    );
    let gone = running.fence(PATIENCE).await.unwrap();
    assert_eq!((gone.exit.ended, gone.exit.cause), (Ended::Unseen, Cause::GuardLost));
    assert!(!exists(backend));
    assert_eq!(leftovers(&server.pgdata).unwrap(), []);
}

#[tokio::test]
async fn a_killed_guard_takes_postgres_along_and_the_agent_sees_it() {
    let server = Server::new();
    for stop_the_postmaster in [false, true] {
        let running = server.start().await;
        let backend = server.busy(SPINS).await;
        if stop_the_postmaster {
            kill(running.postmaster(), Signal::STOP); // it heeds no parent-death signal
        }
        let killed = boottime_now();
        kill(running.guard(), Signal::KILL);
        assert_eq!(gone(&running).await, (Ended::Unseen, Cause::GuardLost));
        eprintln!("guard killed: all gone after {:?}", boottime_now().since(killed));
        assert!(!exists_undead(backend) && leftovers(&server.pgdata).unwrap().is_empty());
    }
    assert!(!server.socket.exists(), "the agent that saw it cleared the traces");
}

#[tokio::test]
async fn a_guard_killed_while_no_agent_looks_leaves_a_socket_that_stands_in_nobodys_way() {
    let server = Server::new();
    let running = server.start().await;
    let guard = running.guard();
    let mut looks = running.exited();
    drop(running);
    assert!(looks.changed().await.is_err(), "nobody looks any more; who saw it die would clear its traces");
    kill(guard, Signal::KILL);
    until(|| leftovers(&server.pgdata).unwrap().is_empty()).await;
    assert!(server.socket.exists() && find(&server.socket).await.unwrap().is_none());
    let _ = server.start().await.fence(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_guard_told_to_end_shuts_postgres_down_cleanly() {
    let server = Server::new();
    let running = server.start().await;
    let open = server.connect().await;
    kill(running.guard(), Signal::TERM);
    assert_eq!(gone(&running).await, (Ended::Code(0), Cause::Itself));
    assert!(!server.socket.exists() && !server.pgdata.join("postmaster.pid").exists());
    assert!(running.signal(Sig::Reload).is_err(), "no signal reaches a stranger");
    until(|| !exists(running.guard())).await; // the log is its very last act
    let log = fs::read_to_string(&server.log).unwrap();
    assert!(log.contains("ended with exit code 0 (epoch 0); nothing of it is left"), "{log}");
    drop(open);
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_in_one_line_and_leaves_no_socket() {
    let server = Server::new();
    let refused = |changed: StartSpec| async {
        match start(changed).await {
            Err(StartError::Refused { line }) => line,
            other => panic!("{other:?}"),
        }
    };
    let line = refused(StartSpec { program: "/nowhere/postgres".into(), ..server.spec() }).await;
    assert_eq!(
        line,
        "interrex-guard: cannot execute /nowhere/postgres: No such file or directory (os error 2)"
    );
    let line = refused(StartSpec { args: vec!["-D".into(), "/nowhere".into()], ..server.spec() }).await;
    assert!(
        line.starts_with("interrex-guard: cannot look at data directory /nowhere: No such file"),
        "{line}"
    );
    let line = refused(StartSpec { log: "/nowhere/log".into(), ..server.spec() }).await;
    assert!(line.starts_with("interrex-guard: cannot open log /nowhere/log: No such file"), "{line}");
    assert!(!server.socket.exists());

    let running = server.start().await;
    let line = refused(server.spec()).await;
    assert!(line.starts_with("interrex-guard: another guard serves "), "{line}");
    let _ = running.fence(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_server_that_refuses_its_settings_is_gone_and_its_log_says_why() {
    let server = Server::new();
    let mut spec = server.spec();
    spec.args.extend(["-c", "max_connections=never"].map(Into::into));
    let exit = match start(spec).await {
        Err(StartError::Exited { exit, .. }) => (exit.ended, exit.cause),
        Ok(running) => gone(&running).await, // it had not come to its settings yet
        Err(other) => panic!("{other}"),
    };
    assert_eq!(exit, (Ended::Code(1), Cause::Itself));
    assert!(fs::read_to_string(&server.log).unwrap().contains("max_connections"));
}

#[tokio::test]
async fn a_server_without_a_guard_is_found_and_stopped_and_so_are_orphaned_backends() {
    let server = Server::new();
    assert_eq!(stop_unguarded(&server.pgdata, PATIENCE).await.unwrap(), 0);
    server.start_unguarded();
    let found = leftovers(&server.pgdata).unwrap();
    assert_eq!(found.iter().filter(|process| process.postmaster).count(), 1);
    assert!(stop_unguarded(&server.pgdata, PATIENCE).await.unwrap() > 1);
    assert!(!server.pgdata.join("postmaster.pid").exists(), "it was a fast shutdown");

    server.start_unguarded();
    let backend = server.busy(SPINS).await;
    let postmaster =
        leftovers(&server.pgdata).unwrap().into_iter().find(|process| process.postmaster).unwrap();
    kill(postmaster.pid, Signal::KILL);
    assert!(stop_unguarded(&server.pgdata, PATIENCE).await.unwrap() >= 1);
    assert!(!exists_undead(backend) && leftovers(&server.pgdata).unwrap().is_empty());
}

/// A PostgreSQL's directory, socket and log.
struct Server {
    dir: tempfile::TempDir,
    pgdata: PathBuf,
    socket: PathBuf,
    log: PathBuf,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        own(dir.path());
        let pgdata = dir.path().join("data");
        run(Command::new("cp").arg("-a").arg(template()).arg(&pgdata));
        let (socket, log) = (dir.path().join("guard.sock"), dir.path().join("postgres.log"));
        Self { dir, pgdata, socket, log }
    }

    fn spec(&self) -> StartSpec {
        StartSpec {
            guard_bin: GUARD.into(),
            socket: self.socket.clone(),
            run_as: postgres_user(),
            log: self.log.clone(),
            program: bindir().join("postgres"),
            args: vec!["-D".into(), self.pgdata.clone().into(), "-k".into(), self.dir.path().into()],
        }
    }

    async fn start(&self) -> Running {
        start(self.spec()).await.unwrap()
    }

    /// As a person would, or an init script.
    fn start_unguarded(&self) {
        let mut command = Command::new(bindir().join("pg_ctl"));
        command.arg("-D").arg(&self.pgdata).arg("-l").arg(self.dir.path().join("by_hand.log"));
        command.args(["-w", "-o"]).arg(format!("-k {}", self.dir.path().display())).arg("start");
        run(as_postgres(&mut command));
    }

    /// Once the server lets anybody in.
    async fn connect(&self) -> PgConnection {
        let options = sqlx::postgres::PgConnectOptions::new()
            .socket(self.dir.path())
            .username("postgres")
            .database("postgres");
        let attempts = async {
            loop {
                match PgConnection::connect_with(&options).await {
                    Ok(connection) => return connection,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, attempts).await.expect("the server lets a client in")
    }

    /// A backend that is busy with `statement` and will not look up. Returns its process id.
    async fn busy(&self, statement: &'static str) -> u32 {
        let mut connection = self.connect().await;
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS t (n int)").execute(&mut connection).await.unwrap();
        let row = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
        tokio::spawn(async move { sqlx::raw_sql(statement).execute(&mut connection).await.map(|_| ()) });
        let mut watcher = self.connect().await;
        let working = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'";
        while sqlx::query(working).fetch_one(&mut watcher).await.unwrap().get::<i64, _>(0) == 0 {}
        u32::try_from(row.get::<i32, _>(0)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whatever a failed scene left: the guard ends by itself when nobody is below it any more.
        while let Ok([first, rest @ ..]) = leftovers(&self.pgdata).as_deref() {
            for process in [first].into_iter().chain(rest) {
                kill(process.pid, Signal::KILL);
            }
        }
        // A killed postmaster leaves its shared memory segment to the next one; here comes no next one.
        let pid_file = fs::read_to_string(self.pgdata.join("postmaster.pid")).unwrap_or_default();
        if let Some(id) = pid_file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["-m", id]).output();
        }
    }
}

async fn gone(running: &Running) -> (Ended, Cause) {
    let gone = tokio::time::timeout(PATIENCE, running.gone()).await.expect("postgres ends");
    let exit = gone.expect("the end can be told").exit;
    (exit.ended, exit.cause)
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the condition comes true");
}

/// Process ids of the scenes are not reused within one: they are handed out in a long circle.
fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Without a guard, a dead process may wait for init to take note of it.
fn exists_undead(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

fn pss_kib(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A guard that takes the way of machines on which no control group may be made.
fn without_cgroup(dir: &Path) -> PathBuf {
    let script = dir.join("guard-without-cgroup");
    fs::write(&script, format!("#!/bin/sh\nexec {GUARD} --no-cgroup \"$@\"\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// A data directory made once per run of this program and copied for every scene.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let version = Command::new(bindir().join("postgres")).arg("--version").output().unwrap().stdout;
        let version: String =
            String::from_utf8_lossy(&version).chars().filter(char::is_ascii_alphanumeric).collect();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guard-{version}"));
        if kept.exists() {
            return kept;
        }
        let dir = tempfile::tempdir().unwrap();
        own(dir.path());
        let made = dir.path().join("data");
        let mut initdb = Command::new(bindir().join("initdb"));
        initdb.arg("-D").arg(&made).args(["-U", "postgres", "-A", "trust", "--no-sync", "--locale=C"]);
        run(as_postgres(initdb.arg("--wal-segsize=1")));
        // Copying is what the scenes spend most time with, so it gets as small as a server can be.
        let shrink = "echo \"UPDATE pg_database SET datistemplate = false; DROP DATABASE template0; \
                      DROP DATABASE template1;\" | tr ';' '\\n' | \"$0\" --single -D \"$1\" postgres";
        let mut sh = Command::new("sh");
        run(as_postgres(sh.args(["-c", shrink]).arg(bindir().join("postgres")).arg(&made)));
        let mut settings = fs::read_to_string(made.join("postgresql.conf")).unwrap();
        settings += "listen_addresses = ''\nfsync = off\nshared_buffers = 16MB\nmax_connections = 20\n\
                     dynamic_shared_memory_type = mmap\n";
        fs::write(made.join("postgresql.conf"), settings).unwrap();
        let staged = kept.with_extension(std::process::id().to_string());
        run(Command::new("cp").arg("-a").arg(&made).arg(&staged));
        // Two runs at once both made one: the first stays.
        if fs::rename(&staged, &kept).is_err() {
            let _ = fs::remove_dir_all(&staged);
        }
        kept
    })
}

fn bindir() -> &'static Path {
    static BINDIR: OnceLock<PathBuf> = OnceLock::new();
    BINDIR.get_or_init(bin_dir::bin_dir)
}

/// PostgreSQL refuses to run as root, so root's tests take the user `postgres`.
fn postgres_user() -> Option<(u32, u32)> {
    let id = |option: &str| {
        let told = Command::new("id").args([option, "postgres"]).output().ok()?;
        String::from_utf8(told.stdout).ok()?.trim().parse().ok()
    };
    let root = rustix::process::geteuid().is_root();
    root.then(|| (id("-u").expect("a user postgres"), id("-g").expect("a group postgres")))
}

fn own(path: &Path) {
    if let Some((uid, gid)) = postgres_user() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn as_postgres(command: &mut Command) -> &mut Command {
    if let Some((uid, gid)) = postgres_user() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/")
}

fn run(command: &mut Command) {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
