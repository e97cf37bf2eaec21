//! What is wrong with a file, in one line: what was found, and the way out. Who names the file (a key of the node
//! file, an option of a command) puts that before it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Which of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// The certificates that are believed.
    Ca,
    /// This side's own certificate.
    Cert,
    /// Its private key.
    Key,
    /// The operators' token.
    Token,
}

/// One file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Which.
    pub item: Item,
    /// Where it lies.
    pub path: PathBuf,
    why: String,
}

impl Fault {
    pub(crate) fn new(item: Item, path: &Path, why: impl Into<String>) -> Self {
        Self { item, path: path.to_owned(), why: why.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" {}", self.path.display(), self.why)
    }
}
