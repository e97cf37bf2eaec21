//! The handle: one server's layout, its passwords, and the two connections worth keeping.

use super::ends::Ends;
use super::error::{Error, Result};
use super::files::{blocking, text};
use super::heard::Heard;
use super::layout::{Credentials, Layout};
use super::session::Session;
use super::tool::Tool;
use interrex_notices::Notices;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a tool may take that only reads a few pages.
pub(super) const TOOL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection or a small statement may take where the caller names no deadline of its own.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_500);

/// A handle on one server, cheap to clone. Holds connections, when peers were last heard and where WAL ended, but no
/// state that matters: a new handle on the same layout does as well, a look later.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    credentials: Credentials,
    probe: Mutex<Option<Session>>,
    beat: Mutex<Beater>,
    heard: std::sync::Mutex<Heard>,
    ends: std::sync::Mutex<Ends>,
}

/// What the beat keeps between calls.
#[derive(Default)]
pub(super) struct Beater {
    pub(super) session: Option<(Session, Notices)>,
    /// Backend of a beat that was given up and may wait for standbys until it is ended (F1).
    pub(super) stranded: Option<i32>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("layout", &self.inner.layout).finish_non_exhaustive()
    }
}

/// What lies at `pgdata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    /// Nothing.
    Missing,
    /// An empty directory.
    Empty,
    /// A data directory of this major version.
    Postgres {
        /// From `PG_VERSION`.
        major: u32,
    },
    /// Something else, not to be touched.
    Foreign {
        /// What, in words.
        why: String,
    },
}

impl Server {
    /// A handle; touches nothing yet.
    pub fn new(layout: Layout, credentials: Credentials) -> Self {
        let (probe, beat, heard, ends) = Default::default();
        Self { inner: Arc::new(Inner { layout, credentials, probe, beat, heard, ends }) }
    }

    /// Where its things lie.
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.inner.credentials
    }

    /// The kept connection of observations; one question at a time.
    pub(super) fn probe(&self) -> &Mutex<Option<Session>> {
        &self.inner.probe
    }

    pub(super) fn beater(&self) -> &Mutex<Beater> {
        &self.inner.beat
    }

    /// When peers were last heard. Locked for one look only: whoever panicked in it left whole values.
    pub(super) fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.inner.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Where WAL ended when. Locked for one look only, as well.
    pub(super) fn ends(&self) -> std::sync::MutexGuard<'_, Ends> {
        self.inner.ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Major version of the binaries in `bin_dir`.
    ///
    /// # Errors
    /// No `postgres` there, or one that does not tell.
    pub async fn version(&self) -> Result<u32> {
        let said = Tool::new(self.layout(), "postgres").arg("--version").output(TOOL_PATIENCE).await?;
        // "postgres (PostgreSQL) 15.18 (Debian …)", "… 18beta1"
        let word = said.split_whitespace().nth(2).unwrap_or_default();
        let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .map_err(|_| Error::Unknown(format!("the version of postgres, which says '{}'", said.trim())))
    }

    /// What lies at `pgdata`.
    ///
    /// # Errors
    /// The system does not let us look.
    pub async fn has_data(&self) -> Result<DataDir> {
        let pgdata = self.layout().pgdata.clone();
        blocking(move || {
            let first = match fs::read_dir(&pgdata) {
                Ok(mut entries) => entries.next(),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(DataDir::Missing),
                Err(e) if e.kind() == ErrorKind::NotADirectory => {
                    return Ok(DataDir::Foreign { why: format!("{} is no directory", pgdata.display()) });
                }
                Err(e) => return Err(Error::io("list", &pgdata, &e)),
            };
            if first.is_none() {
                return Ok(DataDir::Empty);
            }
            let version = text(&pgdata.join("PG_VERSION"))?;
            Ok(match version.as_deref().map(|v| v.trim().parse()) {
                Some(Ok(major)) => DataDir::Postgres { major },
                _ => DataDir::Foreign { why: format!("{} has files, but no PG_VERSION", pgdata.display()) },
            })
        })
        .await
    }

    /// Bytes left for PostgreSQL on the volume of `pg_wal`, which is where a full disk kills (F34).
    ///
    /// # Errors
    /// There is no data directory.
    pub async fn free_bytes(&self) -> Result<u64> {
        let wal = self.layout().pgdata.join("pg_wal");
        blocking(move || {
            let volume = rustix::fs::statvfs(&wal).map_err(|e| Error::io("measure", &wal, &e.into()))?;
            Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
        })
        .await
    }

    /// Program and arguments of the server itself. Whoever starts it gives it `pgdata` as working directory, an
    /// environment without any PG* variable, and `layout.log` as stderr. Every setting is in the include file, so
    /// that a reload can change it.
    pub fn start_args(&self) -> (PathBuf, Vec<OsString>) {
        let layout = self.layout();
        (layout.bin_dir.join("postgres"), vec!["-D".into(), layout.pgdata.clone().into()])
    }
}
