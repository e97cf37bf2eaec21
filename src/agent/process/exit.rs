//! How a PostgreSQL ended, as the guard tells it or as it had to be found out.

use std::fmt;

use interrex_guard::wire;

/// The postmaster and every descendant are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The postmaster's end.
    pub ended: Ended,
    /// Who wanted it.
    pub cause: Cause,
}

/// The postmaster's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code; 0 after a shutdown that was asked for.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody who could tell has seen it: its parent, the guard, was gone.
    Unseen,
}

/// Who wanted the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The postmaster ended by itself, or by a signal not sent by the guard.
    Itself,
    /// The deadline of this epoch passed; the guard killed it.
    Deadline {
        /// The epoch of the lease that ran out.
        epoch: u32,
    },
    /// It was fenced.
    Fence,
    /// The guard was killed, and PostgreSQL by that (parent-death signal).
    GuardLost,
}

impl Exit {
    pub(super) fn told(exited: wire::Exited) -> Self {
        let ended = match exited.ended {
            wire::Ended::Code(code) => Ended::Code(code),
            wire::Ended::Signal(signal) => Ended::Signal(signal),
        };
        let cause = match exited.cause {
            wire::Cause::Itself => Cause::Itself,
            wire::Cause::Deadline => Cause::Deadline { epoch: exited.epoch },
            wire::Cause::Fence => Cause::Fence,
        };
        Exit { ended, cause }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ended {
            Ended::Code(code) => write!(f, "ended with exit code {code}")?,
            Ended::Signal(signal) => write!(f, "ended by signal {signal}")?,
            Ended::Unseen => f.write_str("ended unseen")?,
        }
        match self.cause {
            Cause::Itself => Ok(()),
            Cause::Deadline { epoch } => write!(f, ", killed because the lease of epoch {epoch} had run out"),
            Cause::Fence => f.write_str(", killed because it was fenced"),
            Cause::GuardLost => f.write_str(", because its guard was gone"),
        }
    }
}
