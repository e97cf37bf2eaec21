//! From the command line to the loop: leaves the starter's session, claims the socket, starts PostgreSQL.
//! Until PostgreSQL runs, a failure is one line on the starter's standard error and a non-zero exit code; from then
//! on everything goes to PostgreSQL's log.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::mm::MlockAllFlags;

use crate::args::{self, Args, HELP, USAGE};
use crate::cgroup::Cgroup;
use crate::clock::Alarm;
use crate::descendants::{Deed, Lookup};
use crate::launch::{self, launch};
use crate::log::say;
use crate::serve::Guard;
use crate::signals::Signals;
use crate::socket::{Client, Listener};
use crate::wire::DataDir;

/// The whole program. Exit codes: 0, PostgreSQL ran and nothing of it is left; 2, the command line is wrong;
/// 1, the world refuses (PostgreSQL was not started).
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match args.first().and_then(|arg| arg.to_str()) {
        Some("--help" | "-h") => return tell(&format!("{HELP}{USAGE}\n")),
        Some("--version" | "-V") => return tell(concat!("interrex-guard ", env!("CARGO_PKG_VERSION"), "\n")),
        _ => {}
    }
    let args = match args::parse(args) {
        Ok(args) => args,
        Err(line) => return refuse(&line, 2),
    };
    match start(&args) {
        Ok(guard) => {
            guard.serve();
            ExitCode::SUCCESS
        }
        Err(line) => refuse(&line, 1),
    }
}

/// With standard output gone nobody is left to be told.
fn tell(text: &str) -> ExitCode {
    let _ = rustix::io::write(rustix::stdio::stdout(), text.as_bytes());
    ExitCode::SUCCESS
}

fn refuse(line: &str, code: u8) -> ExitCode {
    let _ = rustix::io::write(rustix::stdio::stderr(), format!("interrex-guard: {line}\n").as_bytes());
    ExitCode::from(code)
}

fn start(args: &Args) -> Result<Guard, String> {
    launch::close_inherited_descriptors();
    let data_dir = look_at(args)?;
    let log = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&args.log);
    let log = log.map_err(|error| format!("cannot open log {}: {error}", args.log.display()))?;
    let client = Client::from_stdin();
    let null = fs::File::open("/dev/null").map_err(|error| format!("cannot open /dev/null: {error}"))?;
    let signals = Signals::block_all().map_err(|error| format!("cannot block signals: {error}"))?;
    let alarm = Alarm::new().map_err(|error| format!("cannot make a timer: {error}"))?;
    let lookup = Lookup::available().map_err(|error| format!("cannot read /proc, is it mounted? {error}"))?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let listener = Listener::claim(&args.socket)?;
    // From here on the socket's path is ours, and what fails has to give it back.
    let protect = leave_the_starter(&null);
    let cgroup = if args.cgroup { Cgroup::create(&args.socket) } else { Ok(None) };
    let launched = cgroup.and_then(|cgroup| {
        use std::os::fd::AsFd;
        launch(args, log.as_fd(), cgroup, protect)
    });
    let launched = match launched {
        Ok(launched) => launched,
        Err(line) => {
            listener.unlink();
            return Err(line);
        }
    };
    let _ = rustix::stdio::dup2_stdout(&log);
    let _ = rustix::stdio::dup2_stderr(&log);
    // Memory under pressure must not keep the kill path waiting for a disk: what is touched stays, and the rehearsal
    // touches it. Not being allowed to is no reason to refuse.
    let _ = rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    lookup.strike(Some(launched.pid), Deed::Rehearse);
    say(format_args!(
        "guards PostgreSQL, postmaster {}, {}",
        launched.pid.as_raw_nonzero(),
        if launched.cgroup.is_some() { "in a control group of its own" } else { "without a control group" }
    ));
    Ok(Guard::new(listener, client, signals, alarm, lookup, launched, data_dir))
}

/// The data directory's identity, read as long as its path means what the agent meant.
fn look_at(args: &Args) -> Result<DataDir, String> {
    let dir = fs::metadata(&args.data_dir)
        .map_err(|error| format!("cannot look at data directory {}: {error}", args.data_dir.display()))?;
    Ok(DataDir {
        dev: dir.dev(),
        ino: dir.ino(),
        uid: args.run_as.as_ref().map_or(dir.uid(), |user| user.uid),
    })
}

/// A session and a directory of our own, no standard input, the subreaper of all that will run below us. Returns the
/// original OOM score where we were allowed to lower it.
fn leave_the_starter(null: &fs::File) -> Option<i32> {
    let _ = rustix::process::setsid(); // fails only for a group leader, which a shell's job is: it may stay that
    let _ = rustix::process::chdir("/");
    let _ = rustix::stdio::dup2_stdin(null);
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let original = fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok()?;
    launch::set_oom_score(b"-1000").ok().map(|()| original)
}
