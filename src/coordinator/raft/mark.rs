//! The mark of a log that a group was made anew out of ([`super::recover`]): its records are not known to be the newest. A
//! file beside the log, there before anything else is changed, and gone once the doubt is over ([`crate::trust`]).

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::log::{LogDisk, RealDisk};

/// The file.
pub(crate) const MARK: &str = "recovered";

/// Where the mark of one log is, or is not.
#[derive(Debug)]
pub(crate) struct Mark(Arc<dyn LogDisk>);

impl Mark {
    /// Of the log on that disk.
    pub(crate) fn on(disk: Arc<dyn LogDisk>) -> Self {
        Self(disk)
    }

    /// Of the log in that directory. By a handle of its own: what the log's writer has open stays open.
    pub(crate) fn within(dir: &Path) -> Self {
        Self(Arc::new(RealDisk::look(dir)))
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}/{MARK}", self.0.place())
    }

    /// Puts it there; it is on disk when this returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn put(&self) -> io::Result<()> {
        self.0.replace(MARK, b"made anew out of one log: docs/coordinators.md\n")
    }

    /// One that cannot be looked at is taken for there.
    pub(crate) fn is_there(&self) -> bool {
        !matches!(self.0.read(MARK), Err(why) if why.kind() == io::ErrorKind::NotFound)
    }

    /// Takes it away; on disk when this returns. False: there was none.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn remove(&self) -> io::Result<bool> {
        match self.0.remove(MARK) {
            Ok(()) => Ok(true),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(why) => Err(why),
        }
    }
}
