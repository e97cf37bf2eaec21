//! The living handle: what the files say now, and what they say once they were renewed.
//!
//! Files are read off the runtime's threads, never on the way of a connection: a disk that hangs must not hold up a
//! heartbeat. Whatever is read is judged whole; until it fits together, what fitted last stays in use.

use crate::fault::Fault;
use crate::files::{Files, Stamp, stamps};
use crate::judge::{Judged, judge};
use crate::words::ago;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// From how long before its end a certificate is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);

/// Whose certificate it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This machine's: it bears the machine's name, and serves and asks.
    Machine(String),
    /// Anybody's who may ask.
    Operator,
}

/// Certificate, key and CA. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    files: Files,
    owner: Owner,
    judged: RwLock<Arc<Judged>>,
    seen: Mutex<Seen>,
}

/// What was seen of the files last, and what was said about it.
struct Seen {
    stamps: Vec<Option<Stamp>>,
    said: String,
    /// Days left when the end was warned of last.
    warned: Option<u64>,
}

impl Tls {
    /// Reads the files and judges them. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// One fault for each file that cannot be used.
    pub fn load(files: Files, owner: Owner) -> Result<Self, Vec<Fault>> {
        let stamps = stamps(&files);
        let judged = judge(&files, &owner, UnixTime::now())?;
        let seen = Seen { stamps, said: String::new(), warned: None };
        let inner = Inner { files, owner, judged: RwLock::new(Arc::new(judged)), seen: Mutex::new(seen) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// For the asking end of the next connection.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.judged().client.clone()
    }

    /// For the answering end of the next connection; absent without an own certificate.
    pub fn server(&self) -> Option<Arc<ServerConfig>> {
        self.judged().server.clone()
    }

    /// For how long the own certificate is still good; zero once it has ended. Absent without one.
    pub fn left(&self) -> Option<Duration> {
        let expires = self.judged().expires?;
        Some(Duration::from_secs(expires.as_secs().saturating_sub(UnixTime::now().as_secs())))
    }

    fn judged(&self) -> Arc<Judged> {
        self.inner.judged.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again if they were changed; true when what they say now is in use. Blocks.
    ///
    /// Files are replaced one after the other, so a pair that does not fit is the usual sight half way: it is said
    /// once, and looked at again.
    pub fn refresh(&self) -> bool {
        let Inner { files, owner, .. } = &*self.inner;
        let now = stamps(files);
        if self.seen().stamps == now {
            return false;
        }
        match judge(files, owner, UnixTime::now()) {
            // Changed while it was read: the next look tells.
            Ok(_) if stamps(files) != now => false,
            Ok(judged) => {
                *self.inner.judged.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(judged);
                *self.seen() = Seen { stamps: now, said: String::new(), warned: None };
                tracing::info!("renewed TLS files are in use from now on");
                true
            }
            Err(faults) => {
                let line = faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
                let mut seen = self.seen();
                if seen.said != line {
                    tracing::warn!("changed TLS files do not fit, the former ones stay in use: {line}");
                    seen.said = line;
                }
                false
            }
        }
    }

    /// Says once a day that the own certificate ends within a fortnight, or has ended.
    fn warn_of_the_end(&self) {
        let (Some(left), Some((cert, _))) = (self.left(), &self.inner.files.own) else { return };
        let days = left.as_secs() / DAY.as_secs();
        let mut seen = self.seen();
        if left > WARN_BEFORE || seen.warned == Some(days) {
            return;
        }
        seen.warned = Some(days);
        let cert = cert.display();
        if left.is_zero() {
            tracing::error!("the certificate {cert} has expired: new connections fail until it is renewed");
        } else {
            let left = ago(left);
            tracing::warn!(
                "the certificate {cert} expires in {left}: renew it, it is read without a restart"
            );
        }
    }

    /// Looks after the files for ever: takes renewed ones, warns of the end. Several may look at the same time.
    pub async fn keep_fresh(self) {
        loop {
            self.warn_of_the_end();
            tokio::time::sleep(LOOK_EVERY).await;
            let tls = self.clone();
            // Cancelled only at the end of the runtime.
            let _ = tokio::task::spawn_blocking(move || tls.refresh()).await;
        }
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.inner.files).field("owner", &self.inner.owner).finish()
    }
}
