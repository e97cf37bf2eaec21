//! `interrex-chaos` as a person and as a program run it: a machine goes dark and the verdict says what came of it; and
//! nothing of a run is left behind, however it ends. Where network namespaces cannot be made these scenes say so and
//! prove nothing.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

const CHAOS: &str = env!("CARGO_BIN_EXE_interrex-chaos");
/// A run is three machines' worth of work: one at a time is enough.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// `None`, and a line that says so, where this machine permits no such runs.
fn permitted() -> Option<MutexGuard<'static, ()>> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let probe = format!("interrex-chaos-probe-{}", std::process::id());
    let ip = |deed: &str| Command::new("ip").args(["netns", deed, &probe]).stderr(Stdio::null()).status();
    if rustix::process::geteuid().is_root() && ip("add").is_ok_and(|status| status.success()) {
        assert!(ip("delete").unwrap().success());
        return Some(guard);
    }
    eprintln!("SKIPPED: no network namespace can be made here (not root, no iproute2, or not permitted)");
    None
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(CHAOS);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    start(arguments).wait_with_output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What bears the name of the run of this process: namespaces, groups, marks, directories, and what is mounted there.
fn traces(pid: u32) -> BTreeSet<String> {
    let name = format!("interrex-chaos-{pid}");
    let own = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let groups =
        own.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let temporary = std::env::temp_dir().display().to_string();
    let places = ["/run/netns", "/run/interrex-chaos", &temporary].map(str::to_owned);
    let places = groups.map(str::to_owned).chain(places);
    let below = |place: String| fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = places.flat_map(below).map(|path| path.display().to_string());
    let mounts = own.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned);
    let mounts = mounts.filter(|at| at.contains(&format!("/{name}-")));
    // A longer number is another process's.
    let ours = |path: &String| {
        path.rsplit('/')
            .next()?
            .strip_prefix(&name)
            .map(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    all.filter(|path| ours(path) == Some(true)).chain(mounts).collect()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_machine_that_goes_dark_costs_no_acknowledged_write_and_leaves_nothing() {
    let Some(_one) = permitted() else { return };
    let child = start(&["run", "kill-machine", "kill-node-briefly", "--seed", "1", "--output", "json"]);
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        told(&output),
        String::from_utf8_lossy(&output.stdout)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let reports: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports.len(), 2, "{text}");
    for (report, promotions) in reports.iter().zip([1, 0]) {
        assert_eq!(
            (&report["sound"], &report["void"], &report["lost"]),
            (&true.into(), &false.into(), &0.into()),
            "{report}"
        );
        assert_eq!(report["promotions"], promotions, "{report}");
        assert!(report["acked"].as_u64().unwrap() >= 100, "{report}");
        assert!(report["transfers"].as_u64().unwrap() >= 20, "{report}");
        assert!(report["gap_ms"].is_u64() && report["whole_ms"].is_u64(), "{report}");
    }
    assert!(reports[0]["effect"].as_str().unwrap().contains("the link is down"), "{text}");
    assert_ne!(reports[0]["primary"], reports[0]["new_primary"], "{text}");
    assert_eq!(reports[1]["primary"], reports[1]["new_primary"], "{text}");
    assert_eq!(traces(pid), [].into());
}

#[test]
fn an_interrupt_leaves_nothing() {
    let Some(_one) = permitted() else { return };
    let mut child = start(&["run", "kill-machine"]);
    let pid = child.id();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("nodes were started")));
    assert!(traces(pid).len() >= 8, "{:?}", traces(pid));
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(traces(pid), [].into());
}

#[test]
fn what_a_killed_run_leaves_is_removed_when_it_is_asked_for() {
    // With a machine frozen: what cannot run cannot end either.
    killed_and_cleaned_up("freeze-machine", "is frozen until another primary serves");
}

#[test]
fn a_killed_run_s_volumes_are_taken_down_however_full_they_are() {
    if Command::new("mkfs.ext4").arg("-V").stderr(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: there is no mkfs.ext4 here");
        return;
    }
    killed_and_cleaned_up("disk-full", "is full while a session writes WAL");
}

/// Kills the run of a fault when it tells of it, and has what it left cleaned up.
fn killed_and_cleaned_up(fault: &str, tells: &str) {
    let Some(_one) = permitted() else { return };
    let mut child = start(&["run", fault]);
    let pid = child.id();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(tells)), "{fault} never told so");
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert!(!traces(pid).is_empty());
    let output = run(&["clean"]);
    assert!(output.status.success(), "{}", told(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("interrex-chaos-{pid}")), "{said}");
    assert_eq!(traces(pid), [].into());
}

#[test]
fn without_root_one_line_says_so_and_the_catalogue_is_told_all_the_same() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let unprivileged = |arguments: &[&str]| {
        let mut command = Command::new(CHAOS);
        if rustix::process::geteuid().is_root() {
            command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", CHAOS]);
        }
        command.args(arguments).current_dir("/").output().unwrap()
    };
    let list = unprivileged(&["list", "--output", "json"]);
    if rustix::process::geteuid().is_root() && list.status.code() == Some(127) {
        eprintln!("SKIPPED: another user cannot reach {CHAOS}");
        return;
    }
    let text = String::from_utf8(list.stdout.clone()).unwrap();
    assert!(list.status.success() && text.lines().count() >= 10, "{text}{}", told(&list));
    for arguments in [&["run", "kill-machine"][..], &["clean"]] {
        let refused = unprivileged(arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = told(&refused);
        assert!(told.lines().count() == 1 && told.contains("run this as root"), "{told}");
    }
}
