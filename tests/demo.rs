//! `interrex demo` as a person and as a program run it, on real PostgreSQL; and that nothing of it is left behind,
//! however it ends. Each scene has a temporary directory of its own, by which everything that belongs to it is known.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

/// Far longer than anything takes, on a busy machine with a debug build.
const PATIENCE: Duration = Duration::from_secs(180);
/// `nobody`, on every Debian and Ubuntu.
const NOBODY: u32 = 65534;
/// A demo is three machines' worth of work: one at a time is enough.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn a_killed_primary_s_machine_costs_no_acknowledged_write_and_the_report_says_so() {
    kills_the_primary_s_machine(&Scene::new());
}

#[test]
fn an_ordinary_user_is_promised_the_same() {
    let Some(scene) = Scene::of_an_ordinary_user() else { return };
    kills_the_primary_s_machine(&scene);
}

/// A whole script, from nothing to a clean end.
fn kills_the_primary_s_machine(scene: &Scene) {
    let arguments = ["--script", "kill-primary", "--raft-leader", "with-primary", "--output", "json"];
    let mut demo = scene.start(&arguments);
    let left = scene.watch_until_it_ends(&mut demo);
    let output = demo.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["lost"], 0, "{report}");
    assert!(report["acked"].as_u64().unwrap() >= 200, "{report}");
    assert!(
        report["pids_killed"].as_array().unwrap().len() >= 4,
        "node, guard, postmaster and backends: {report}"
    );
    assert_eq!(report["raft_leader_killed"], true, "{report}");
    for number in ["unknown", "rejoined_ms"] {
        assert!(report[number].is_u64(), "{number}: {report}");
    }
    let outage = report["outage_ms"].as_u64().unwrap();
    let parts = ["detect_ms", "seal_ms", "elect_ms", "promote_ms"];
    let before_it_opened: u64 = parts.iter().filter_map(|part| report["phases"][part].as_u64()).sum();
    assert!(outage > 0 && outage + 50 >= before_it_opened, "writes stood still before it was open: {report}");
    assert_ne!(report["old_primary"], report["new_primary"], "{report}");
    assert!(report["timelines"].as_object().unwrap().values().all(|t| *t == report["epoch"]), "{report}");
    for phase in ["detect_ms", "seal_ms", "elect_ms", "promote_ms", "first_commit_ms"] {
        assert!(report["phases"][phase].is_u64(), "{phase}: {report}");
    }
    scene.nothing_is_left(&left);
}

#[test]
fn a_killed_postmaster_s_story_is_told_to_people_and_a_named_directory_is_kept() {
    let scene = Scene::new();
    let kept = scene.dir.join("kept");
    let mut demo = scene.start(&["--script", "kill-postmaster", "--keep", kept.to_str().unwrap()]);
    let left = scene.watch_until_it_ends(&mut demo);
    let output = demo.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {told}{}", output.status, String::from_utf8_lossy(&output.stderr));
    for line in
        ["three healthy instances", "writes stood still for", "  detect ", " 0 lost,", "streams again"]
    {
        assert!(told.contains(line), "no '{line}' in: {told}");
    }
    for file in ["ledger", "ledger.log", "n1/node.log", "n3/pg/demo/PG_VERSION"] {
        assert!(kept.join(file).is_file(), "{file}");
    }
    let again = scene.start(&["--keep", kept.to_str().unwrap()]).wait_with_output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty; name an empty directory"));
    fs::remove_dir_all(&kept).unwrap();
    scene.nothing_is_left(&left);
}

#[test]
fn an_interrupt_while_the_cluster_comes_up_leaves_nothing() {
    let scene = Scene::new();
    let mut demo = scene.start(&[]);
    let left = scene.up_to_a_first_postgresql();
    signal(&demo, Signal::INT);
    assert_eq!(ends(&mut demo).code(), Some(130));
    scene.nothing_is_left(&left);
}

#[test]
fn ctrl_c_at_a_terminal_leaves_nothing() {
    let scene = Scene::new();
    let mut demo = scene.start(&[]);
    let (_keys, mut told) = menu(&mut demo);
    hear(&mut told, "q quit");
    let left = scene.look();
    // To all that the demo started and did not take out of its group.
    kill_process_group(Pid::from_child(&demo), Signal::INT).unwrap();
    assert_eq!(ends(&mut demo).code(), Some(130));
    scene.nothing_is_left(&left);
}

#[test]
fn a_demo_that_is_told_to_end_together_with_all_that_it_started_leaves_nothing() {
    let scene = Scene::new();
    let mut demo = scene.start(&[]);
    let (_keys, mut told) = menu(&mut demo);
    hear(&mut told, "q quit");
    let left = scene.look();
    // As a service manager does to a control group: the sweeper, nodes and writer hear it too, and so does PostgreSQL.
    let others: Vec<u32> =
        scene.sweepers().into_iter().chain(scene.processes().into_iter().map(|(pid, _)| pid)).collect();
    signal(&demo, Signal::TERM);
    others.iter().for_each(|pid| send(*pid, Signal::TERM));
    assert_eq!(ends(&mut demo).code(), Some(130));
    scene.nothing_is_left(&left);
}

#[test]
fn an_interrupt_of_a_script_for_programs_leaves_nothing_and_says_nothing_on_standard_output() {
    let scene = Scene::new();
    let mut demo = scene.start(&["--script", "kill-primary", "--output", "json"]);
    let mut told = BufReader::new(demo.stderr.take().unwrap());
    hear(&mut told, "were killed");
    let left = scene.look();
    signal(&demo, Signal::INT);
    hear(&mut told, "interrupted; clearing away");
    let output = demo.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(130), &b""[..]));
    scene.nothing_is_left(&left);
}

#[test]
fn a_demo_that_is_killed_at_its_first_steps_leaves_nothing() {
    let scene = Scene::new();
    let steps: [(&str, &dyn Fn() -> bool); 2] =
        [("its sweeper", &|| scene.is_swept()), ("its directory", &|| !scene.is_empty())];
    for (what, taken) in steps.into_iter().cycle().take(6) {
        let mut demo = scene.start(&[]);
        // As soon as it can be seen: a pause would miss the moment.
        let deadline = Instant::now() + PATIENCE;
        while !taken() {
            assert!(Instant::now() < deadline, "waited for {what} in vain");
        }
        signal(&demo, Signal::KILL);
        demo.wait().unwrap();
        scene.is_cleared();
    }
}

#[test]
fn a_demo_that_is_killed_while_the_cluster_comes_up_leaves_nothing() {
    let scene = Scene::new();
    let demo = scene.start(&[]);
    let left = scene.up_to_a_first_postgresql();
    scene.is_cleared_of(demo, &left);
}

#[test]
fn a_demo_that_is_killed_at_its_menu_leaves_nothing() {
    let scene = Scene::new();
    let mut demo = scene.start(&[]);
    let (_keys, mut told) = menu(&mut demo);
    hear(&mut told, "q quit");
    let left = scene.look();
    scene.is_cleared_of(demo, &left);
}

#[test]
fn an_acknowledged_row_that_is_gone_is_a_loss_and_no_success() {
    let scene = Scene::new();
    let mut demo = scene.start(&[]);
    let (mut keys, mut told) = menu(&mut demo);
    let connect = hear(&mut told, "connect ");
    let connect = connect.split_whitespace().nth(1).unwrap();
    hear(&mut told, "q quit");
    until("a first row to take away", || sql(connect, "delete from ledger where id = 1") == "DELETE 1");
    writeln!(keys, "q").unwrap();
    hear(&mut told, ", 1 lost");
    assert_eq!(ends(&mut demo).code(), Some(1));
}

#[test]
fn without_postgresql_one_line_says_what_to_install_and_nothing_is_made() {
    let scene = Scene::new();
    let hidden = "mount -t tmpfs tmpfs /usr/lib/postgresql && exec \"$0\" demo";
    let mut demo = Command::new("/usr/bin/unshare");
    demo.args(["--mount", "/bin/sh", "-c", hidden, env!("CARGO_BIN_EXE_interrex")]);
    let output = demo.env("TMPDIR", &scene.dir).env("PATH", "/usr/bin:/bin").output();
    let Some(output) = output.ok().filter(|output| output.status.code() != Some(32)) else {
        eprintln!("skipped: only root can hide a directory, and not in every container");
        return;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    let line = "interrex: PostgreSQL's server programs are not on this machine; install them (Debian, Ubuntu: \
                apt-get install postgresql)\n";
    assert_eq!((output.status.code(), &*told, &*output.stdout), (Some(1), line, &b""[..]));
    assert!(scene.is_empty());
}

#[test]
fn a_demo_that_is_killed_in_the_middle_of_a_failover_leaves_nothing() {
    kills_the_demo_in_a_failover(&Scene::new());
}

#[test]
fn nor_does_an_ordinary_user_s() {
    let Some(scene) = Scene::of_an_ordinary_user() else { return };
    kills_the_demo_in_a_failover(&scene);
}

fn kills_the_demo_in_a_failover(scene: &Scene) {
    let mut demo = scene.start(&[]);
    let (mut keys, mut told) = menu(&mut demo);
    hear(&mut told, "q quit");
    writeln!(keys, "3").unwrap();
    hear(&mut told, "leads the coordinators");
    writeln!(keys, "1").unwrap();
    let mut left = scene.look();
    hear(&mut told, "were killed");
    left.join(scene.look());
    scene.is_cleared_of(demo, &left);
}

#[test]
fn a_directory_that_cannot_be_made_is_named_and_nothing_is_left() {
    let Some(scene) = Scene::of_an_ordinary_user() else { return };
    chown(&scene.dir, Some(0), Some(0)).unwrap();
    let output = scene.start(&[]).wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let begin = format!("interrex: make the directory {}/interrex-demo-", scene.dir.display());
    assert!(told.starts_with(&begin) && told.contains("Permission denied"), "{told}");
    assert_eq!((output.status.code(), told.lines().count(), scene.is_empty()), (Some(1), 1, true), "{told}");
    assert!(!scene.is_swept(), "its sweeper is there");
}

#[test]
fn json_is_for_scripts() {
    let scene = Scene::new();
    let output = scene.start(&["--output", "json"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--output json needs --script"));
    assert!(scene.is_empty());
}

/// A demo's surroundings.
struct Scene {
    dir: PathBuf,
    /// Where a user other than this process's has the programs, and who that is.
    lent: Option<(tempfile::TempDir, u32)>,
    _alone: MutexGuard<'static, ()>,
    /// Last, so that it goes last.
    _dir: tempfile::TempDir,
}

/// What a demo holds beside its directory and processes.
#[derive(Debug, Default)]
struct Held {
    ports: BTreeSet<u16>,
    segments: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
    /// Whom its PostgreSQL belongs to.
    users: BTreeSet<u32>,
}

impl Held {
    fn join(&mut self, other: Held) {
        self.ports.extend(other.ports);
        self.segments.extend(other.segments);
        self.files.extend(other.files);
        self.users.extend(other.users);
    }
}

impl Scene {
    fn new() -> Scene {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::Builder::new().prefix("ix").tempdir().unwrap();
        // PostgreSQL's user has to pass.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Scene { dir: fs::canonicalize(dir.path()).unwrap(), lent: None, _alone: alone, _dir: dir }
    }

    /// The same for somebody who is not root; nobody where this process is not root, and every scene is such a one.
    fn of_an_ordinary_user() -> Option<Scene> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: this is an ordinary user, and so are all other scenes");
            return None;
        }
        let mut scene = Scene::new();
        chown(&scene.dir, Some(NOBODY), Some(NOBODY)).unwrap();
        // Where cargo puts them may be out of another user's reach.
        let programs = tempfile::Builder::new().prefix("ixp").tempdir().unwrap();
        fs::set_permissions(programs.path(), Permissions::from_mode(0o755)).unwrap();
        for program in [env!("CARGO_BIN_EXE_interrex"), env!("CARGO_BIN_EXE_interrex-guard")] {
            let name = Path::new(program).file_name().unwrap();
            fs::copy(program, programs.path().join(name)).unwrap();
        }
        scene.lent = Some((programs, NOBODY));
        Some(scene)
    }

    fn program(&self) -> Command {
        let Some((programs, user)) = &self.lent else {
            return Command::new(env!("CARGO_BIN_EXE_interrex"));
        };
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={user}")]).args(["--clear-groups", "--"]);
        command.arg(programs.path().join("interrex")).current_dir("/").env_remove("HOME");
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.program();
        command.arg("demo").args(arguments).env("TMPDIR", &self.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command.spawn().unwrap()
    }

    /// Collects what it holds for as long as it runs. Its output is small enough to wait in the pipes.
    fn watch_until_it_ends(&self, demo: &mut Child) -> Held {
        let mut held = Held::default();
        until("the demo to end", || {
            held.join(self.look());
            demo.try_wait().unwrap().is_some()
        });
        held
    }

    /// Everything that works in the scene's directory or names it, but the demo itself and its sweeper.
    fn processes(&self) -> Vec<(u32, String)> {
        pids().filter_map(|pid| self.belongs(pid).map(|name| (pid, name))).collect()
    }

    /// The sweepers of this scene.
    fn sweepers(&self) -> Vec<u32> {
        let sweeps = |line: &str| line.split('\0').nth(1) == Some("demo-sweeper");
        let here = |line: &str| line.contains(self.dir.to_str().unwrap());
        pids().filter(|pid| command_line(*pid).is_some_and(|line| sweeps(&line) && here(&line))).collect()
    }

    fn is_swept(&self) -> bool {
        !self.sweepers().is_empty()
    }

    /// The scene's demos: nothing but their surroundings says whose they are.
    fn demos(&self) -> Vec<u32> {
        let demo = |pid| command_line(pid).is_some_and(|line| line.split('\0').nth(1) == Some("demo"));
        let within = format!("TMPDIR={}\0", self.dir.display());
        let here = |pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| String::from_utf8_lossy(&all).contains(&within))
        };
        pids().filter(|pid| demo(*pid) && here(*pid)).collect()
    }

    /// Waits for a first PostgreSQL, and gives all that is held by then.
    fn up_to_a_first_postgresql(&self) -> Held {
        let mut held = Held::default();
        until("a first PostgreSQL", || {
            held.join(self.look());
            !held.segments.is_empty()
        });
        held
    }

    /// The demo itself is killed, and nothing is left of it.
    fn is_cleared_of(&self, mut demo: Child, held: &Held) {
        signal(&demo, Signal::KILL);
        demo.wait().unwrap();
        self.is_cleared();
        self.nothing_is_left(held);
    }

    /// Waits until the sweeper of a killed demo is done.
    fn is_cleared(&self) {
        until("the sweeper to be done", || !self.is_swept());
        assert_eq!(self.processes(), []);
        assert!(self.is_empty(), "{:?} is not empty", self.dir);
    }

    fn belongs(&self, pid: u32) -> Option<String> {
        let at = PathBuf::from(format!("/proc/{pid}"));
        let command_line = command_line(pid)?;
        let here = fs::read_link(at.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.dir));
        let named = command_line.contains(self.dir.to_str().unwrap());
        let demo = command_line.split('\0').nth(1).is_some_and(|word| word.starts_with("demo"));
        let name = fs::read_to_string(at.join("comm")).ok()?.trim().to_owned();
        ((here || named) && !demo).then_some(name)
    }

    fn look(&self) -> Held {
        let mut held = Held { ports: self.ports(), ..Held::default() };
        for (pid, _) in self.processes().iter().filter(|(_, name)| name == "postgres") {
            held.users.extend(fs::metadata(format!("/proc/{pid}")).map(|process| process.uid()));
            let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
            for line in maps.lines() {
                let fields: Vec<&str> = line.split_whitespace().collect();
                match fields[..] {
                    [.., inode, path, "(deleted)"] if path.starts_with("/SYSV") => {
                        held.segments.insert(inode.to_owned());
                    }
                    [.., path] if path.starts_with("/dev/shm/PostgreSQL.") => {
                        held.files.insert(path.into());
                    }
                    _ => {}
                }
            }
        }
        held
    }

    /// The ports that the node files name.
    fn ports(&self) -> BTreeSet<u16> {
        let demos = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let files =
            demos.flat_map(|demo| ["n1", "n2", "n3"].map(|machine| demo.join(machine).join("node.toml")));
        let texts: String = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
        let listens = texts.lines().filter_map(|line| line.strip_prefix("listen = "));
        listens.filter_map(|address| address.trim_matches('"').rsplit_once(':')?.1.parse().ok()).collect()
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.dir).unwrap().next().is_none()
    }

    fn nothing_is_left(&self, held: &Held) {
        assert!(
            !held.ports.is_empty() && !held.segments.is_empty(),
            "nothing was seen to begin with: {held:?}"
        );
        if let Some((_, user)) = self.lent {
            assert_eq!(held.users, [user].into(), "PostgreSQL ran as somebody else");
        }
        assert_eq!(self.processes(), []);
        assert!(self.is_empty(), "{:?} is not empty", self.dir);
        for port in &held.ports {
            assert!(TcpListener::bind(("127.0.0.1", *port)).is_ok(), "port {port} is taken");
        }
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        let there: BTreeSet<&str> = table.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        for segment in &held.segments {
            assert!(!there.contains(segment.as_str()), "shared memory segment {segment} is left");
        }
        for file in &held.files {
            assert!(!Path::new(file).exists(), "{} is left", file.display());
        }
    }
}

impl Drop for Scene {
    /// A scene that failed must not leave a cluster behind either, nor a demo that hangs.
    fn drop(&mut self) {
        let others = self.processes().into_iter().map(|(pid, _)| pid);
        self.demos().into_iter().chain(others).for_each(|pid| send(pid, Signal::KILL));
    }
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn command_line(pid: u32) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).into_owned())
}

/// To a process that may have ended meanwhile.
fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Waits until the demo has ended.
fn ends(demo: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the demo to end", || {
        status = demo.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

fn signal(demo: &Child, signal: Signal) {
    kill_process(Pid::from_child(demo), signal).unwrap();
}

/// The menu's two ends: keys that are pressed, and what it says.
fn menu(demo: &mut Child) -> (ChildStdin, BufReader<ChildStdout>) {
    (demo.stdin.take().unwrap(), BufReader::new(demo.stdout.take().unwrap()))
}

/// What psql says of a statement; empty where it has nothing but a complaint.
fn sql(connect: &str, statement: &str) -> String {
    let output = Command::new("psql").args(["-X", "-c", statement, connect]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Reads on until a line holds `text`, and gives that line.
fn hear<T: Read + AsFd>(told: &mut BufReader<T>, text: &str) -> String {
    hear_until(told, text, Instant::now() + PATIENCE)
}

/// A demo that says nothing more fails the scene with what it said before: nothing is read that is not there yet.
fn hear_until<T: Read + AsFd>(told: &mut BufReader<T>, text: &str, deadline: Instant) -> String {
    let (mut all, mut line) = (String::new(), Vec::new());
    loop {
        let said = || format!("{all}{}", String::from_utf8_lossy(&line));
        if told.buffer().is_empty() {
            assert!(is_readable(told.get_ref(), deadline), "waited for '{text}' in vain: {}", said());
        }
        let part = told.fill_buf().unwrap();
        assert!(!part.is_empty(), "the demo ended before it said '{text}': {}", said());
        let end = part.iter().position(|byte| *byte == b'\n').map_or(part.len(), |at| at + 1);
        line.extend_from_slice(&part[..end]);
        told.consume(end);
        if line.ends_with(b"\n") {
            let whole = String::from_utf8(std::mem::take(&mut line)).unwrap();
            if whole.contains(text) {
                return whole;
            }
            all.push_str(&whole);
        }
    }
}

/// Waits until there is something to read, be it the end; false: there is nothing by the deadline.
fn is_readable(from: &impl AsFd, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).unwrap();
    let ready = || poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&left));
    rustix::io::retry_on_intr(ready).unwrap() > 0
}

#[test]
#[should_panic(expected = "waited for 'q quit' in vain: three machines\nn1 is")]
fn a_demo_that_falls_silent_within_a_line_is_waited_for_until_the_deadline() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"three machines\nn1 is").unwrap();
    hear_until(&mut BufReader::new(reader), "q quit", Instant::now() + Duration::from_millis(50));
}

/// Polls: nobody is told of a process that comes or goes, or of a file that changes.
#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at /proc, towards a condition with a deadline"
)]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(100));
    }
}
