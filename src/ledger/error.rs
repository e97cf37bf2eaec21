//! What can stop a writer or a verification. A server that is down or refuses is not among it: that is what the
//! ledger is there to watch, and it goes into the file and the progress instead.

use std::io;
use std::path::{Path, PathBuf};

/// Why a ledger command cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// An argument that has to be edited.
    #[error("{argument}: {why}")]
    Argument {
        /// The argument as the operator types it.
        argument: &'static str,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// A file of ours cannot be read or written.
    #[error("{action} {}: {source}", path.display())]
    File {
        /// What was being done, in the present tense.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another writer has the ledger file open.
    #[error("{} belongs to a writer that is still running; stop it, or name another --ledger file", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A ledger file with a line that no writer wrote.
    #[error("{} line {line}: {why}; the file cannot be trusted, start a new one", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// An instance could not be asked for its rows; a verification without it would be none.
    #[error("{action} on {host}: {source}; every instance must answer, verify again when it is up")]
    Instance {
        /// The instance, as host:port.
        host: String,
        /// What was being done, in the present tense.
        action: &'static str,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// An instance did not answer in time.
    #[error(
        "{action} on {host}: no answer within {limit_ms} ms; every instance must answer, verify again when it is up"
    )]
    Silent {
        /// The instance, as host:port.
        host: String,
        /// What was being done, in the present tense.
        action: &'static str,
        /// How long it was given.
        limit_ms: u128,
    },
}

impl LedgerError {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        LedgerError::File { action, path: path.to_owned(), source }
    }

    /// 2 when an argument or a file has to be edited, 1 when the world refuses.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            LedgerError::Argument { .. } | LedgerError::Corrupt { .. } => 2,
            LedgerError::File { .. }
            | LedgerError::Busy { .. }
            | LedgerError::Instance { .. }
            | LedgerError::Silent { .. } => 1,
        }
    }
}
