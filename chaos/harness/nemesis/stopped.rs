//! A process that is stopped, and the kernel's word that it is.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use interrex_rig::Patience;
use interrex_rig::processes::{self, Process};
use rustix::process::Signal;

use super::Proof;

const STOPPING: Duration = Duration::from_secs(5);
/// To ask, and not to wait.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Stopped processes, which go on when they are told to.
#[derive(Default)]
pub(super) struct Stopped {
    processes: Vec<Process>,
    /// All of them were seen in state T.
    seen: bool,
}

impl Stopped {
    /// Stops them, and returns once the kernel says so.
    pub(super) async fn stop(processes: Vec<Process>) -> anyhow::Result<Stopped> {
        for process in &processes {
            process.signal(Signal::STOP).with_context(|| format!("stop process {}", process.pid))?;
        }
        let patience = Patience::new("processes to stand still", STOPPING);
        while !processes.iter().all(|process| state(process.pid) == Some('T')) {
            patience.pause("").await?;
        }
        let seen = !processes.is_empty();
        Ok(Stopped { processes, seen })
    }

    /// What the kernel said. That one was killed meanwhile, as a guard does past a lease, takes nothing away from it.
    pub(super) fn proof(&self) -> Proof {
        let pids: Vec<i32> = self.processes.iter().map(|process| process.pid).collect();
        if self.seen {
            Ok(format!("processes {pids:?} were in state T"))
        } else {
            Err("nothing was stopped".to_owned())
        }
    }

    /// None of them is left.
    pub(super) fn are_gone(&self) -> bool {
        processes::wait_gone(&self.processes, AT_ONCE)
    }

    /// Lets them go on.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        for process in &self.processes {
            process.signal(Signal::CONT).with_context(|| format!("wake process {}", process.pid))?;
        }
        Ok(())
    }
}

/// `PID (NAME) STATE …`
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
