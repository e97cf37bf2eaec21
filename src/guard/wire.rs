//! What agent and guard say to each other: messages of one fixed size on a SOCK_SEQPACKET socket, little-endian, the
//! version in the first byte. A request carries an id and gets exactly one answer with the same id; [`Answer::Exited`]
//! comes unasked (id 0) to every connected client, as the last thing a guard says.
//!
//! A guard may be older than its agent (it stays when the agent is upgraded): what it does not understand it refuses,
//! it never guesses. New fields go behind the old ones; a changed meaning takes a new version.

/// Every message has this size, in bytes.
pub const SIZE: usize = 80;
/// The version this build speaks.
pub const VERSION: u8 = 1;

/// One message as it travels.
pub type Frame = [u8; SIZE];

/// What an agent may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// How are things? Also the greeting.
    Status,
    /// From now on, PostgreSQL is killed at `deadline_ns`. Answered by the new status, or refused when an agent of a
    /// newer epoch has been here. A deadline that is already past kills at once.
    SetDeadline {
        /// The epoch of the lease.
        epoch: u32,
        /// CLOCK_BOOTTIME in nanoseconds; `None`: no deadline (a standby needs no lease).
        deadline_ns: Option<u64>,
    },
    /// Kill PostgreSQL with everything below it, now. Answered by a status, and by [`Answer::Exited`] when nothing is left.
    Fence,
}

/// What the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// How things are.
    Status(Status),
    /// The request was not carried out.
    Refused(Refusal),
    /// The postmaster and every descendant are gone and reaped; the guard's socket is unlinked and the guard ends.
    Exited(Exited),
}

/// A guard and its PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The guard's own process id.
    pub guard: u32,
    /// The postmaster's process id; meaningful as long as `ending` is false (the guard has not reaped it).
    pub postmaster: u32,
    /// The postmaster is gone, or everything is being killed; [`Answer::Exited`] follows.
    pub ending: bool,
    /// The newest epoch that a deadline was set for; 0 before the first.
    pub epoch: u32,
    /// CLOCK_BOOTTIME in nanoseconds; `None`: no deadline.
    pub deadline_ns: Option<u64>,
    /// When the postmaster was forked, CLOCK_BOOTTIME in nanoseconds.
    pub started_ns: u64,
    /// Device, inode and owner of the data directory: they name its processes should the guard be gone.
    pub data_dir: DataDir,
}

/// A data directory by what a rename or a symbolic link cannot change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataDir {
    /// Device number (`st_dev`).
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Owner, the user that PostgreSQL runs as.
    pub uid: u32,
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An agent set a deadline for this newer epoch before.
    StaleEpoch {
        /// The newest epoch seen.
        seen: u32,
    },
    /// PostgreSQL is gone or being killed; no deadline revives it.
    Ending,
    /// The guard does not know this request or this version.
    NotUnderstood,
    /// The kernel refused to set the timer; the former deadline holds.
    NotArmed,
}

/// The end of a PostgreSQL under guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    /// The postmaster's own end.
    pub ended: Ended,
    /// What ended it.
    pub cause: Cause,
    /// The newest epoch that a deadline was set for.
    pub epoch: u32,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What ended a PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The postmaster ended by itself, or by somebody else's signal.
    Itself,
    /// The deadline passed.
    Deadline,
    /// A client asked for [`Request::Fence`].
    Fence,
}

const REQUEST_STATUS: u8 = 1;
const REQUEST_SET_DEADLINE: u8 = 2;
const REQUEST_FENCE: u8 = 3;
const ANSWER_STATUS: u8 = 129;
const ANSWER_REFUSED: u8 = 130;
const ANSWER_EXITED: u8 = 131;

impl Request {
    /// As a frame with this id.
    pub fn encode(&self, id: u32) -> Frame {
        match *self {
            Request::Status => Writer::new(REQUEST_STATUS, id).frame,
            Request::Fence => Writer::new(REQUEST_FENCE, id).frame,
            Request::SetDeadline { epoch, deadline_ns } => {
                Writer::new(REQUEST_SET_DEADLINE, id).u32(epoch).optional(deadline_ns).frame
            }
        }
    }

    /// The id (for the refusal's sake even of a message not understood) and the request.
    pub fn decode(bytes: &[u8]) -> (u32, Option<Request>) {
        let Some((kind, id, mut body)) = open(bytes) else { return (0, None) };
        let request = match kind {
            REQUEST_STATUS => Some(Request::Status),
            REQUEST_FENCE => Some(Request::Fence),
            REQUEST_SET_DEADLINE => {
                Some(Request::SetDeadline { epoch: body.u32(), deadline_ns: body.optional() })
            }
            _ => None,
        };
        (id, request)
    }
}

impl Answer {
    /// As a frame with this id.
    pub fn encode(&self, id: u32) -> Frame {
        match *self {
            Answer::Status(s) => {
                Writer::new(ANSWER_STATUS, id)
                    .u32(s.guard)
                    .u32(s.postmaster)
                    .u32(u32::from(s.ending))
                    .u32(s.epoch)
                    .optional(s.deadline_ns)
                    .u64(s.started_ns)
                    .u64(s.data_dir.dev)
                    .u64(s.data_dir.ino)
                    .u32(s.data_dir.uid)
                    .frame
            }
            Answer::Refused(refusal) => {
                let (code, seen) = match refusal {
                    Refusal::StaleEpoch { seen } => (1, seen),
                    Refusal::Ending => (2, 0),
                    Refusal::NotUnderstood => (3, 0),
                    Refusal::NotArmed => (4, 0),
                };
                Writer::new(ANSWER_REFUSED, id).u32(code).u32(seen).frame
            }
            Answer::Exited(e) => {
                let cause = match e.cause {
                    Cause::Itself => 1,
                    Cause::Deadline => 2,
                    Cause::Fence => 3,
                };
                let (signalled, number) = match e.ended {
                    Ended::Code(code) => (0, code),
                    Ended::Signal(signal) => (1, signal),
                };
                // Exit codes and signals are small and never negative.
                let number = number.unsigned_abs();
                Writer::new(ANSWER_EXITED, id).u32(signalled).u32(number).u32(cause).u32(e.epoch).frame
            }
        }
    }

    /// The id and the answer; `None` for what this build does not understand.
    pub fn decode(bytes: &[u8]) -> Option<(u32, Answer)> {
        let (kind, id, mut body) = open(bytes)?;
        let answer = match kind {
            ANSWER_STATUS => Answer::Status(Status {
                guard: body.u32(),
                postmaster: body.u32(),
                ending: body.u32() != 0,
                epoch: body.u32(),
                deadline_ns: body.optional(),
                started_ns: body.u64(),
                data_dir: DataDir { dev: body.u64(), ino: body.u64(), uid: body.u32() },
            }),
            ANSWER_REFUSED => Answer::Refused(match (body.u32(), body.u32()) {
                (1, seen) => Refusal::StaleEpoch { seen },
                (2, _) => Refusal::Ending,
                (4, _) => Refusal::NotArmed,
                _ => Refusal::NotUnderstood,
            }),
            ANSWER_EXITED => {
                let signalled = body.u32() != 0;
                let number = i32::try_from(body.u32()).ok()?;
                let ended = if signalled { Ended::Signal(number) } else { Ended::Code(number) };
                let cause = match body.u32() {
                    2 => Cause::Deadline,
                    3 => Cause::Fence,
                    _ => Cause::Itself,
                };
                Answer::Exited(Exited { ended, cause, epoch: body.u32() })
            }
            _ => return None,
        };
        Some((id, answer))
    }
}

/// Bytes 0: version, 1: kind, 2–3: zero, 4–7: id, from 8: the body.
fn open(bytes: &[u8]) -> Option<(u8, u32, Reader)> {
    let frame: Frame = bytes.try_into().ok()?;
    let mut reader = Reader { frame, at: 4 };
    let id = reader.u32();
    (frame[0] == VERSION).then_some((frame[1], id, reader))
}

struct Writer {
    frame: Frame,
    at: usize,
}

impl Writer {
    fn new(kind: u8, id: u32) -> Self {
        let mut frame = [0; SIZE];
        frame[0] = VERSION;
        frame[1] = kind;
        Writer { frame, at: 4 }.u32(id)
    }

    fn bytes<const N: usize>(mut self, bytes: [u8; N]) -> Self {
        self.frame[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
        self
    }

    fn u32(self, value: u32) -> Self {
        self.bytes(value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.bytes(value.to_le_bytes())
    }

    fn optional(self, value: Option<u64>) -> Self {
        self.u32(u32::from(value.is_some())).u64(value.unwrap_or(0))
    }
}

struct Reader {
    frame: Frame,
    at: usize,
}

impl Reader {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.frame[self.at..self.at + N]);
        self.at += N;
        out
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn optional(&mut self) -> Option<u64> {
        let there = self.u32() != 0;
        let value = self.u64();
        there.then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_arrives_as_it_was_sent() {
        for request in [
            Request::Status,
            Request::Fence,
            Request::SetDeadline { epoch: 7, deadline_ns: None },
            Request::SetDeadline { epoch: u32::MAX, deadline_ns: Some(u64::MAX) },
        ] {
            assert_eq!(Request::decode(&request.encode(42)), (42, Some(request)));
        }
    }

    #[test]
    fn every_answer_arrives_as_it_was_sent() {
        let status = Status {
            guard: 10,
            postmaster: 11,
            ending: true,
            epoch: 3,
            deadline_ns: Some(12_345),
            started_ns: 99,
            data_dir: DataDir { dev: u64::MAX, ino: 5, uid: 999 },
        };
        let refusals =
            [Refusal::StaleEpoch { seen: 8 }, Refusal::Ending, Refusal::NotUnderstood, Refusal::NotArmed];
        let causes = [Cause::Itself, Cause::Deadline, Cause::Fence];
        let exits = causes.map(|cause| Answer::Exited(Exited { ended: Ended::Signal(9), cause, epoch: 3 }));
        let mut answers = vec![Answer::Status(status)];
        answers.extend(refusals.map(Answer::Refused));
        answers.extend(exits);
        answers.push(Answer::Exited(Exited { ended: Ended::Code(1), cause: Cause::Itself, epoch: 0 }));
        for answer in answers {
            assert_eq!(Answer::decode(&answer.encode(7)), Some((7, answer)));
        }
    }

    #[test]
    fn another_version_a_short_message_and_an_unknown_kind_are_not_understood() {
        let mut newer = Request::Fence.encode(5);
        newer[0] = VERSION + 1;
        assert_eq!(Request::decode(&newer).1, None);
        assert_eq!(Request::decode(&newer[..10]), (0, None));
        let mut unknown = Request::Fence.encode(5);
        unknown[1] = 77;
        assert_eq!(Request::decode(&unknown), (5, None));
        assert_eq!(Answer::decode(&unknown), None);
    }
}
