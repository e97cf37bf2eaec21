//! Fork and exec of PostgreSQL: the child waits until the guard has put it into its control group, gives up
//! privileges, asks for SIGQUIT at the guard's death, checks that the guard still lives, and becomes `postgres`.
//! Whatever fails on that way comes back through a pipe as one line for the operator.
#![allow(unsafe_code, reason = "fork, execve and _exit have no safe wrapper; each site says why it is sound")]

use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal};
use rustix::thread::{Gid, Uid};

use crate::args::{Args, RunAs};
use crate::cgroup::Cgroup;
use crate::clock::boottime_ns;
use crate::signals;

/// PostgreSQL's postmaster as our child.
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) started_ns: u64,
    /// The group that it was put into, if the kernel let us.
    pub(crate) cgroup: Option<Cgroup>,
}

/// Everything the child needs, made before the fork: it allocates nothing.
struct Plan<'a> {
    guard: Pid,
    program: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    identity: Option<(Uid, Gid, Vec<Gid>)>,
    log: BorrowedFd<'a>,
    protect: bool,
}

/// The steps of the child, as they are named to the operator.
const STEPS: [&str; 6] = [
    "start it below the guard",
    "open its log as output for",
    "change to the groups of --run-as for",
    "change to the user of --run-as for",
    "set the parent-death signal for",
    "execute",
];

/// Starts PostgreSQL. `protect`: the guard was allowed to lower its own OOM score, from this original value.
pub(crate) fn launch(
    args: &Args,
    log: BorrowedFd<'_>,
    cgroup: Option<Cgroup>,
    protect: Option<i32>,
) -> Result<Launched, String> {
    let program = args.program.display();
    let fail = |error: Errno| format!("cannot start {program}: {error}");
    let plan = plan(args, log, protect)?;
    let argv = pointers(&plan.argv);
    let envp = pointers(&plan.envp);
    let (go_read, go_write) = pipe_with(PipeFlags::CLOEXEC).map_err(fail)?;
    let (report_read, report_write) = pipe_with(PipeFlags::CLOEXEC).map_err(fail)?;
    let started_ns = boottime_ns();
    // SAFETY: the guard has one thread, so the child finds no lock held and every invariant intact; it still confines
    // itself to system calls on what was prepared above, and ends in execve or _exit.
    let pid = match unsafe { libc::fork() } {
        0 => {
            drop(go_write);
            become_postgres(&plan, &argv, &envp, &go_read, &report_write)
        }
        -1 => {
            let error = std::io::Error::last_os_error();
            return Err(format!("cannot start {program}: fork: {error}"));
        }
        raw => {
            Pid::from_raw(raw).ok_or_else(|| format!("cannot start {program}: fork gave no process id"))?
        }
    };
    drop((go_read, report_write));
    let cgroup = match cgroup {
        Some(group) if group.take_in(pid) => Some(group),
        Some(group) => {
            group.remove();
            None
        }
        None => None,
    };
    rustix::io::write(&go_write, b"g").map_err(fail)?;
    match read_report(&report_read) {
        None => Ok(Launched { pid, started_ns, cgroup }),
        Some((step, error)) => {
            // The child has said its last word and ends; a zombie would keep the group from being removed.
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            if let Some(group) = cgroup {
                group.remove();
            }
            let step = STEPS.get(usize::from(step)).unwrap_or(&"start");
            Err(format!("cannot {step} {program}: {error}"))
        }
    }
}

fn plan<'a>(args: &Args, log: BorrowedFd<'a>, protect: Option<i32>) -> Result<Plan<'a>, String> {
    let c_string = |bytes: &[u8]| {
        CString::new(bytes)
            .map_err(|_| format!("an argument of {} holds a zero byte", args.program.display()))
    };
    let mut argv = vec![c_string(args.program.as_os_str().as_bytes())?];
    for arg in &args.program_args {
        argv.push(c_string(arg.as_bytes())?);
    }
    let mut envp = Vec::new();
    for (key, value) in environment(protect) {
        envp.push(c_string(&[key.as_bytes(), b"=", value.as_bytes()].concat())?);
    }
    Ok(Plan {
        guard: rustix::process::getpid(),
        program: c_string(args.program.as_os_str().as_bytes())?,
        argv,
        envp,
        identity: args.run_as.as_ref().map(identity).transpose()?.flatten(),
        log,
        protect: protect.is_some(),
    })
}

/// Our own environment. A protected postmaster gives its backends the ordinary OOM score back, in the way that
/// PostgreSQL's manual recommends (section 'Linux Memory Overcommit').
fn environment(protect: Option<i32>) -> Vec<(OsString, OsString)> {
    let mut all: Vec<_> = std::env::vars_os().collect();
    if let Some(original) = protect.filter(|_| std::env::var_os("PG_OOM_ADJUST_FILE").is_none()) {
        all.push(("PG_OOM_ADJUST_FILE".into(), "/proc/self/oom_score_adj".into()));
        all.push(("PG_OOM_ADJUST_VALUE".into(), original.to_string().into()));
    }
    all
}

/// `None` when we are that user already, as an ordinary user that may change nothing.
fn identity(run_as: &RunAs) -> Result<Option<(Uid, Gid, Vec<Gid>)>, String> {
    let me = rustix::process::geteuid();
    if !me.is_root() && me.as_raw() == run_as.uid {
        return Ok(None);
    }
    let Some(gid) = run_as.groups.first().filter(|_| run_as.uid != u32::MAX) else {
        return Err(format!("--run-as {} names no usable user and group", run_as.uid));
    };
    let groups = run_as.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    Ok(Some((Uid::from_raw(run_as.uid), Gid::from_raw(*gid), groups)))
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

/// In the child; never returns.
fn become_postgres(
    plan: &Plan<'_>,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
    go: &OwnedFd,
    report: &OwnedFd,
) -> ! {
    let (step, error) = match prepare(plan, go) {
        Ok(()) => (5, execute(&plan.program, argv, envp)),
        Err(failed) => failed,
    };
    let [a, b, c, d] = error.raw_os_error().to_le_bytes();
    let _ = rustix::io::write(report, &[step, a, b, c, d]);
    // SAFETY: ends the child without running the guard's destructors, as a forked child must.
    unsafe { libc::_exit(127) }
}

/// Everything before the exec, in the order that matters: groups before the user (afterwards it is not allowed), the
/// parent-death signal after the user (changing the user clears it), the look at the parent after that signal (a
/// guard that died before it was set would never trigger it).
fn prepare(plan: &Plan<'_>, go: &OwnedFd) -> Result<(), (u8, Errno)> {
    let at = |step: u8| move |error: Errno| (step, error);
    let mut byte = [0u8; 1];
    let read = rustix::io::read(go, &mut byte).map_err(at(0))?;
    if read == 0 {
        return Err((0, Errno::SRCH)); // the guard died meanwhile
    }
    signals::restore_in_child();
    rustix::process::setsid().map_err(at(0))?;
    rustix::stdio::dup2_stdout(plan.log).map_err(at(1))?;
    rustix::stdio::dup2_stderr(plan.log).map_err(at(1))?;
    if plan.protect {
        let _ = set_oom_score(b"-900");
    }
    if let Some((uid, gid, groups)) = &plan.identity {
        rustix::thread::set_thread_groups(groups).map_err(at(2))?;
        rustix::thread::set_thread_res_gid(*gid, *gid, *gid).map_err(at(2))?;
        rustix::thread::set_thread_res_uid(*uid, *uid, *uid).map_err(at(3))?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::QUIT)).map_err(at(4))?;
    if rustix::process::getppid() != Some(plan.guard) {
        return Err((4, Errno::SRCH));
    }
    Ok(())
}

/// Returns only when it fails.
fn execute(program: &CStr, argv: &[*const libc::c_char], envp: &[*const libc::c_char]) -> Errno {
    // SAFETY: the program is zero-terminated; both arrays end in a null pointer and point to zero-terminated strings
    // of the plan, which outlives the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOEXEC)
}

/// What the child reports: nothing (the pipe closes with the exec), or the step that failed.
fn read_report(report: &OwnedFd) -> Option<(u8, Errno)> {
    let mut bytes = [0u8; 5];
    loop {
        return match rustix::io::read(report.as_fd(), &mut bytes) {
            Ok(5) => {
                let [step, a, b, c, d] = bytes;
                Some((step, Errno::from_raw_os_error(i32::from_le_bytes([a, b, c, d]))))
            }
            Err(io::Errno::INTR) => continue,
            _ => None,
        };
    }
}

/// Writes the OOM score of the calling process; only some may lower it.
pub(crate) fn set_oom_score(value: &[u8]) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = open(c"/proc/self/oom_score_adj", flags, Mode::empty())?;
    rustix::io::write(file, value).map(|_| ())
}

/// Closes every descriptor above standard error: what the starter left open must not be held open for years.
pub(crate) fn close_inherited_descriptors() {
    // SAFETY: called first thing, before the guard has opened anything above standard error that it owns.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
}
