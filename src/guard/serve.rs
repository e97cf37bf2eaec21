//! The loop. Whatever woke it, it looks at everything in one fixed order: signals, dead children, the clock, and only
//! then the agents. So a deadline that has passed is acted on before the message that would have renewed it is read:
//! a renewal that comes after its deadline comes too late.
//!
//! Once PostgreSQL is ending there is no way back. The guard strikes until `wait` reports that no child is left; as
//! subreaper it then has no descendant either. Only after that does it unlink its socket, tell its clients and end,
//! so a missing guard means: nothing of this PostgreSQL is left.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::cgroup::Cgroup;
use crate::clock::{Alarm, boottime_ns};
use crate::descendants::{Deed, Lookup};
use crate::launch::Launched;
use crate::log::say;
use crate::signals::{Heard, Signals};
use crate::socket::{Client, Listener, Received};
use crate::wire::{Answer, Cause, DataDir, Ended, Exited, Refusal, Request, Status};

/// An agent, its successor, and two for people who look.
const CLIENTS: usize = 4;
/// A postmaster that ended by itself has left nobody behind but perhaps its log collector, which may write its last
/// lines for this long. One that was killed may have left backends that commit: those get nothing.
const LAST_LINES_NS: u64 = 300_000_000;
/// While ending, the guard strikes again at least this often; usually a dead child wakes it earlier.
const STRIKE_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// A guard and its PostgreSQL.
pub(crate) struct Guard {
    listener: Listener,
    clients: [Option<Client>; CLIENTS],
    signals: Signals,
    alarm: Alarm,
    lookup: Lookup,
    cgroup: Option<Cgroup>,
    data_dir: DataDir,
    postmaster: Pid,
    started_ns: u64,
    /// The postmaster's wait status, once it was reaped; from then on its number may be a stranger's.
    wait_status: Option<WaitStatus>,
    epoch: u32,
    deadline_ns: Option<u64>,
    ending: Option<Ending>,
}

/// PostgreSQL is to be gone.
#[derive(Clone, Copy)]
struct Ending {
    cause: Cause,
    /// Strike from this instant on.
    strike_from_ns: u64,
}

/// Whether any process below us is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Some,
    Nobody,
}

impl Guard {
    pub(crate) fn new(
        listener: Listener,
        client: Option<Client>,
        signals: Signals,
        alarm: Alarm,
        lookup: Lookup,
        launched: Launched,
        data_dir: DataDir,
    ) -> Self {
        Guard {
            listener,
            clients: [client, None, None, None],
            signals,
            alarm,
            lookup,
            cgroup: launched.cgroup,
            data_dir,
            postmaster: launched.pid,
            started_ns: launched.started_ns,
            wait_status: None,
            epoch: 0,
            deadline_ns: None,
            ending: None,
        }
    }

    /// Returns when nothing of PostgreSQL is left and everybody connected was told.
    pub(crate) fn serve(mut self) {
        loop {
            self.heed_signals();
            let below = self.reap();
            self.heed_deadline();
            if let Some(ending) = self.ending {
                if below == Below::Nobody {
                    return self.finish(ending);
                }
                self.strike(ending);
            }
            self.accept();
            let fenced = self.ending.is_some();
            self.answer_all();
            // A fence just asked for is carried out now, not after the next wait.
            if fenced == self.ending.is_some() {
                self.wait();
            }
        }
    }

    fn wait(&self) {
        let mut fds: [PollFd<'_>; 3 + CLIENTS] =
            std::array::from_fn(|_| PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN));
        fds[1] = PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN);
        fds[2] = PollFd::from_borrowed_fd(self.alarm.as_fd(), PollFlags::IN);
        let mut used = 3;
        for client in self.clients.iter().flatten() {
            fds[used] = PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN);
            used += 1;
        }
        let at_most = self.ending.is_some().then_some(&STRIKE_AGAIN);
        // Interrupted or not, everything is looked at next; which descriptor is ready does not matter.
        let _ = poll(&mut fds[..used], at_most);
    }

    fn heed_signals(&mut self) {
        while let Some(heard) = self.signals.next() {
            let signal = match heard {
                Heard::StopFast => Signal::INT,
                Heard::StopImmediately => Signal::QUIT,
                Heard::Child | Heard::Nothing => continue,
            };
            if self.wait_status.is_none() {
                let _ = rustix::process::kill_process(self.postmaster, signal);
            }
        }
    }

    /// Reaps every dead child, the adopted ones too.
    fn reap(&mut self) -> Below {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.postmaster => self.postmaster_is_gone(status),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return Below::Some,
                Err(_) => return Below::Nobody,
            }
        }
    }

    fn postmaster_is_gone(&mut self, wait_status: WaitStatus) {
        self.wait_status = Some(wait_status);
        if self.ending.is_none() {
            let now = boottime_ns();
            let killed = wait_status.signaled();
            let strike_from_ns = if killed { now } else { now + LAST_LINES_NS };
            self.ending = Some(Ending { cause: Cause::Itself, strike_from_ns });
        }
    }

    fn heed_deadline(&mut self) {
        let now = boottime_ns();
        if self.deadline_ns.is_none_or(|deadline| now < deadline) {
            return;
        }
        self.deadline_ns = None;
        let _ = self.alarm.set(None);
        match &mut self.ending {
            Some(ending) => ending.strike_from_ns = ending.strike_from_ns.min(now),
            None => self.ending = Some(Ending { cause: Cause::Deadline, strike_from_ns: now }),
        }
    }

    fn strike(&mut self, ending: Ending) {
        if boottime_ns() < ending.strike_from_ns {
            return;
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        let postmaster = self.wait_status.is_none().then_some(self.postmaster);
        self.lookup.strike(postmaster, Deed::Kill);
    }

    fn accept(&mut self) {
        while let Some(client) = self.listener.accept() {
            // With every place taken the oldest goes: an agent that comes back must always get in.
            let free = self.clients.iter().position(Option::is_none);
            if free.is_none() {
                self.clients.rotate_left(1);
            }
            self.clients[free.unwrap_or(CLIENTS - 1)] = Some(client);
        }
    }

    fn answer_all(&mut self) {
        for place in 0..CLIENTS {
            while let Some(client) = &self.clients[place] {
                match client.receive() {
                    Received::Nothing => break,
                    Received::Gone => self.clients[place] = None,
                    Received::Message(frame, len) => {
                        let (id, request) = Request::decode(&frame[..len]);
                        let answer = self.answer(request);
                        if let Some(client) = &self.clients[place] {
                            client.send(&answer, id);
                        }
                    }
                }
            }
        }
    }

    fn answer(&mut self, request: Option<Request>) -> Answer {
        match request {
            Some(Request::Status) => Answer::Status(self.status()),
            Some(Request::SetDeadline { epoch, deadline_ns }) => {
                match self.set_deadline(epoch, deadline_ns) {
                    Ok(()) => Answer::Status(self.status()),
                    Err(refusal) => Answer::Refused(refusal),
                }
            }
            Some(Request::Fence) => {
                self.fence();
                Answer::Status(self.status())
            }
            None => Answer::Refused(Refusal::NotUnderstood),
        }
    }

    fn set_deadline(&mut self, epoch: u32, deadline_ns: Option<u64>) -> Result<(), Refusal> {
        if self.ending.is_some() {
            return Err(Refusal::Ending);
        }
        if epoch < self.epoch {
            return Err(Refusal::StaleEpoch { seen: self.epoch });
        }
        self.alarm.set(deadline_ns).map_err(|_| Refusal::NotArmed)?;
        self.epoch = epoch;
        self.deadline_ns = deadline_ns;
        Ok(())
    }

    fn fence(&mut self) {
        let now = boottime_ns();
        match &mut self.ending {
            Some(ending) => ending.strike_from_ns = ending.strike_from_ns.min(now),
            None => self.ending = Some(Ending { cause: Cause::Fence, strike_from_ns: now }),
        }
    }

    fn status(&self) -> Status {
        Status {
            guard: rustix::process::getpid().as_raw_nonzero().get().unsigned_abs(),
            postmaster: self.postmaster.as_raw_nonzero().get().unsigned_abs(),
            ending: self.ending.is_some(),
            epoch: self.epoch,
            deadline_ns: self.deadline_ns,
            started_ns: self.started_ns,
            data_dir: self.data_dir,
        }
    }

    /// First the traces go, then the clients hear: whoever heard may start the next guard at once. The log comes last,
    /// and between PostgreSQL's start and this line the guard writes to no file: the disk that stalled may be the
    /// reason why PostgreSQL has to be killed.
    fn finish(mut self, ending: Ending) {
        let code = self.wait_status.and_then(|status| status.exit_status());
        let signal = self.wait_status.and_then(|status| status.terminating_signal());
        let ended = signal.map_or(Ended::Code(code.unwrap_or(0)), Ended::Signal);
        if let Some(cgroup) = self.cgroup.take() {
            cgroup.remove();
        }
        self.listener.unlink();
        let exited = Answer::Exited(Exited { ended, cause: ending.cause, epoch: self.epoch });
        for client in self.clients.iter().flatten() {
            client.send(&exited, 0);
        }
        let (how, number) = match ended {
            Ended::Signal(signal) => ("signal", signal),
            Ended::Code(code) => ("exit code", code),
        };
        let why = match ending.cause {
            Cause::Itself => "",
            Cause::Deadline => ", killed because its lease had run out",
            Cause::Fence => ", killed because it was told to",
        };
        say(format_args!(
            "postmaster {} ended with {how} {number}{why} (epoch {}); nothing of it is left",
            self.postmaster.as_raw_nonzero(),
            self.epoch
        ));
    }
}
