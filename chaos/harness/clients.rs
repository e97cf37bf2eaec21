//! The clients of a run: a writer and the tellers of a bank on the clients' machine, which dial every PostgreSQL, and, where
//! a row wants it, a writer on the primary's own machine that dials nobody else. Each keeps what it is told, outside of every
//! machine.

use std::time::Duration;

use interrex_ledger::{Gap, LedgerFile, longest_gap, monotonic_ms};
use interrex_rig::{Cluster, Patience, Post, Writer};

use crate::bank::{Bank, Books};
use crate::ground::{CLIENT, Ground};

/// Acknowledged before the strike, so that there is something to lose.
const ENOUGH: u64 = 100;
/// Where the ids of the side door begin; the other writer takes years to come here.
const SIDE_DOOR_IDS: i64 = 1_000_000_000;
/// Far longer than any failover may take: what takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Those that run.
pub(crate) struct Clients {
    writer: Writer,
    bank: Bank,
    side_door: Option<Writer>,
}

/// What they were told.
pub(crate) struct Ledgers {
    /// The writer's, then that of the side door.
    pub(crate) all: Vec<LedgerFile>,
    /// The bank's.
    pub(crate) books: Books,
}

impl Clients {
    /// Starts the writer and the bank, and waits until both have had enough acknowledged.
    pub(crate) async fn start(cluster: &Cluster, ground: &Ground) -> anyhow::Result<Clients> {
        let (name, launcher) = ("ledger".to_owned(), ground.launcher(CLIENT));
        let post = Post { name, launcher, hosts: cluster.hosts(), first_id: Some(1) };
        let mut writer = Writer::start_at(cluster, post).await?;
        enough(&mut writer).await?;
        let bank = Bank::open(cluster, ground).await?;
        Ok(Clients { writer, bank, side_door: None })
    }

    /// Starts the one on the primary's machine, and waits until it has written enough.
    pub(crate) async fn open_side_door(
        &mut self,
        cluster: &mut Cluster,
        ground: &Ground,
        primary: &str,
    ) -> anyhow::Result<()> {
        let hosts = vec![cluster.machine(primary)?.host()];
        let (name, launcher) = (format!("ledger-of-{primary}"), ground.launcher(primary));
        let post = Post { name, launcher, hosts, first_id: Some(SIDE_DOOR_IDS) };
        let mut writer = Writer::start_at(cluster, post).await?;
        enough(&mut writer).await?;
        self.side_door = Some(writer);
        Ok(())
    }

    /// Waits until the writer has gone on for so long from now.
    pub(crate) async fn go_on(&mut self, for_ms: u64) -> anyhow::Result<()> {
        let first = self.writer.acknowledged_after(monotonic_ms(), PATIENCE).await?;
        self.writer.acknowledged_after(first + for_ms, PATIENCE).await.map(drop)
    }

    /// Ends them.
    pub(crate) async fn stop(self) -> anyhow::Result<Ledgers> {
        let books = self.bank.close().await?;
        let mut all = vec![self.writer.stop().await?];
        if let Some(side_door) = self.side_door {
            all.push(side_door.stop().await?);
        }
        Ok(Ledgers { all, books })
    }
}

impl Ledgers {
    /// How long writes stood still, as the clients' machine saw it.
    pub(crate) fn gap_since(&self, struck_ms: u64) -> Option<Gap> {
        longest_gap(self.all.first()?, Some(struck_ms))
    }

    /// How many acknowledgements came through the side door.
    pub(crate) fn side_door(&self) -> u64 {
        self.all.get(1).map_or(0, |ledger| ledger.tally().ok)
    }
}

async fn enough(writer: &mut Writer) -> anyhow::Result<()> {
    let patience = Patience::new(format!("{ENOUGH} acknowledged writes"), PATIENCE);
    while writer.acknowledged()? < ENOUGH {
        patience.pause("").await?;
    }
    Ok(())
}
