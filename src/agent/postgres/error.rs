//! What can go wrong between the agent and its PostgreSQL, told apart where the agent must act differently.

use std::path::Path;
use std::time::Duration;

/// Shorthand of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done, or not learned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// SQLSTATE 57P03: the process is there and lets nobody in yet (F28). Not a failure.
    #[error("the server is starting up or shutting down: {said}")]
    Starting {
        /// The server's words.
        said: String,
    },
    /// No answer in time. Whether the server acted is unknown.
    #[error("no answer within {} ms to: {what}", within.as_millis())]
    Silent {
        /// What was asked.
        what: String,
        /// For how long it was waited.
        within: Duration,
    },
    /// Nobody listens: no socket, or the connection is refused or broke.
    #[error("no connection to {at}: {why}")]
    Down {
        /// Socket directory or address.
        at: String,
        /// The reason, as the system gave it.
        why: String,
    },
    /// The server refused a statement.
    #[error("{what}: {said} (SQLSTATE {code})")]
    Sql {
        /// What was asked.
        what: String,
        /// SQLSTATE.
        code: String,
        /// The server's words.
        said: String,
    },
    /// The operating system refused.
    #[error("cannot {what} {path}: {why}")]
    Io {
        /// A verb: `read`, `replace` …
        what: &'static str,
        /// Where.
        path: String,
        /// The system's words.
        why: String,
    },
    /// A tool of PostgreSQL failed.
    #[error("{tool} failed ({status}): {said}")]
    Tool {
        /// Its name.
        tool: String,
        /// Exit code or signal.
        status: String,
        /// The last lines it said.
        said: String,
    },
    /// The answer cannot be told from what is there: not zero, not "no".
    #[error("unknown: {0}")]
    Unknown(String),
    /// The thing asked for would be wrong as matters stand; nothing was changed.
    #[error("refused: {0}")]
    Refused(String),
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, why: &std::io::Error) -> Self {
        Error::Io { what, path: path.display().to_string(), why: why.to_string() }
    }
}
