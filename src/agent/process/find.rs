//! Meeting a guard: the first exchange with it, and the handles on it and its postmaster.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use interrex_guard::wire::{Answer, Request, Status};

use super::exit::Exit;
use super::link::Link;
use super::pidfd::Process;
use super::running::Running;

/// A guard that does not answer for this long hangs: it never waits for anything itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Why a guard on a socket cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The socket is there but cannot be used.
    #[error("cannot connect to the guard at {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody listens, and does not answer.
    #[error(
        "the guard at {} (process {guard:?}) does not answer within {} ms; is it stopped? killing it ends its \
         PostgreSQL as well", socket.display(), ANSWER_WITHIN.as_millis()
    )]
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// The guard's process id, where the kernel tells it.
        guard: Option<u32>,
    },
}

/// What a first exchange came to.
pub(super) enum Met {
    /// A PostgreSQL under guard.
    Running(Running),
    /// It ended meanwhile, with everything.
    Exited(Exit),
    /// The guard went away without a word.
    Lost,
}

/// The PostgreSQL under the guard that listens on `socket`, so that an agent restarted in time takes it over as it
/// runs. `None`: no guard is there; whether a PostgreSQL is left all the same, [`super::leftovers`] tells.
pub async fn find(socket: &Path) -> Result<Option<Running>, FindError> {
    let link = match Link::connect(socket) {
        Ok(link) => link,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
            _ => return Err(FindError::Connect { socket: socket.to_owned(), source: error }),
        },
    };
    let guard = link.peer();
    match tokio::time::timeout(ANSWER_WITHIN, meet(link, socket)).await {
        Ok(Ok(Met::Running(running))) => Ok(Some(running)),
        Ok(Ok(Met::Exited(_) | Met::Lost)) => Ok(None),
        Ok(Err(source)) => Err(FindError::Connect { socket: socket.to_owned(), source }),
        Err(_) => Err(FindError::NoAnswer { socket: socket.to_owned(), guard }),
    }
}

/// Asks twice. The ids in the first answer are opened as handles; the second answer, from a guard that therefore still
/// lives and has not reaped its postmaster, proves that these handles are on the right processes.
pub(super) async fn meet(link: Link, socket: &Path) -> io::Result<Met> {
    let first = match status(&link, 1).await? {
        Ok(status) => status,
        Err(met) => return Ok(met),
    };
    let opened = Process::open(first.guard).and_then(|guard| Ok((guard, Process::open(first.postmaster)?)));
    let second = match status(&link, 2).await? {
        Ok(status) => status,
        Err(met) => return Ok(met),
    };
    match opened {
        Ok((guard, postmaster)) if !second.ending => {
            Ok(Met::Running(Running::attend(link, socket.to_owned(), guard, postmaster, &second)))
        }
        Err(error) if !second.ending => Err(error),
        // It is about to say how it ended.
        _ => last_word(&link).await,
    }
}

async fn status(link: &Link, id: u32) -> io::Result<Result<Status, Met>> {
    link.send(id, &Request::Status).await.or_else(ignore_broken_pipe)?;
    loop {
        match link.receive().await? {
            Some((_, Answer::Exited(exited))) => return Ok(Err(Met::Exited(Exit::told(exited)))),
            Some((answered, Answer::Status(status))) if answered == id => return Ok(Ok(status)),
            Some((_, Answer::Refused(refusal))) => {
                return Err(io::Error::other(format!("the guard refuses to tell its status: {refusal:?}")));
            }
            Some(_) => {}
            None => return Ok(Err(Met::Lost)),
        }
    }
}

async fn last_word(link: &Link) -> io::Result<Met> {
    loop {
        match link.receive().await? {
            Some((_, Answer::Exited(exited))) => return Ok(Met::Exited(Exit::told(exited))),
            Some(_) => {}
            None => return Ok(Met::Lost),
        }
    }
}

/// A guard that is gone may have left its last word in the socket.
fn ignore_broken_pipe(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(()),
        _ => Err(error),
    }
}
