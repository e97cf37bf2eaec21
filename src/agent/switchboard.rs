//! What all lines of an agent have in common, whichever instance they are of: who the coordinators are, the numbers of
//! what is said, the clock that leases and ages are counted on, how connections are made.

use crate::roster::Coordinators;
use crate::serial::Serials;
use crate::shelf::{Directory, Shelf};
use crate::written::Written;
use interrex_api::client::{ClientError, ClientOptions, SessionClient};
use interrex_cluster::time::Instant;
use interrex_rt::{Clock, Dialer, Rng, SystemClock, SystemRng};
use interrex_tls::Tls;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A report that is not answered within this is given up: a newer one is waiting.
const REPORT_WITHIN: Duration = Duration::from_millis(600);
/// Longer than between two reports on any line: what the reports' deadlines tell needs no ping.
const PING: Duration = Duration::from_secs(1);

/// What lines ask of the machine.
pub struct Surroundings {
    /// Where the agent's own files are.
    pub shelf: Arc<dyn Shelf>,
    /// Its boot clock.
    pub clock: Arc<dyn Clock>,
    /// Numbers that nobody else draws.
    pub rng: Arc<dyn Rng>,
    /// How connections are made.
    pub dialer: Dialer,
}

impl Surroundings {
    /// The machine itself; `data_dir` is the agent's own directory, and is there.
    pub fn of_the_machine(data_dir: &Path) -> Self {
        Self {
            shelf: Arc::new(Directory::new(data_dir)),
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
            dialer: Dialer::default(),
        }
    }
}

/// One run of an agent, as coordinators hear it. Clones are the same.
#[derive(Clone)]
pub struct Switchboard {
    pub(crate) coordinators: Arc<Coordinators>,
    pub(crate) serials: Arc<Serials>,
    pub(crate) heartbeat: Duration,
    pub(crate) written: Arc<Written>,
    clock: Arc<dyn Clock>,
    options: ClientOptions,
}

impl Switchboard {
    /// Begins a run of an agent. `coordinators` are those that its operator wrote down, `tls` is absent for plain text.
    ///
    /// # Errors
    /// There is no random number to be had.
    pub fn begin(
        around: Surroundings,
        coordinators: Vec<String>,
        tls: Option<Tls>,
        heartbeat: Duration,
    ) -> io::Result<Self> {
        let Surroundings { shelf, clock, rng, dialer } = around;
        let serials = Arc::new(Serials::begin(&*shelf, &*rng)?);
        let options = ClientOptions {
            call: REPORT_WITHIN,
            overall: Duration::from_secs(2),
            ping: PING,
            user_agent: concat!("interrex-agent/", env!("CARGO_PKG_VERSION")).to_owned(),
            tls,
            dialer,
            ..ClientOptions::default()
        };
        let coordinators = Arc::new(Coordinators::begin(shelf, coordinators));
        Ok(Self { coordinators, serials, heartbeat, written: Arc::default(), clock, options })
    }

    /// Where its operator wrote the coordinators down.
    #[must_use]
    pub fn written_in(self, written: Written) -> Self {
        Self { written: Arc::new(written), ..self }
    }

    /// Now, on this machine's boot clock.
    pub(crate) fn now(&self) -> Instant {
        Instant(self.clock.boot_ms())
    }

    /// A new client to one coordinator.
    pub(crate) fn client(&self, address: &str) -> Result<SessionClient, ClientError> {
        SessionClient::new(address, self.options.clone())
    }
}
