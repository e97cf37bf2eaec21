//! A bank beside the ledger: tellers move money between a few accounts, in serializable transactions, and keep what they
//! were told. Money is neither made nor lost, whatever fails: not in what any transaction sees, not on any instance in the
//! end; and every transfer that was confirmed is there, whole.
//!
//! The ledger's rows have nothing to do with each other. Here every transaction reads what others write, so that an
//! instance which has some commits and not the ones before shows it.

mod books;
mod teller;
mod verdict;

use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use interrex_ledger::{HostSpec, Login};
use interrex_rig::Cluster;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) use books::Books;
pub(crate) use verdict::compare;

use self::teller::{Teller, open_accounts};
use crate::ground::{CLIENT, Ground};

/// What each account holds in the beginning.
const DEPOSIT: i64 = 1_000;
/// Few, so that transfers meet.
const ACCOUNTS: i64 = 8;
/// What all accounts hold together, always.
const TOTAL: i64 = ACCOUNTS * DEPOSIT;
const TELLERS: i64 = 2;
/// Confirmed before the strike, so that there is something to lose.
const ENOUGH: u64 = 20;
/// For the accounts, and for so many transfers, on a cluster that is well.
const PATIENCE: Duration = Duration::from_secs(60);
/// They finish the transfer under way, which has a limit of its own.
const CLOSING: Duration = Duration::from_secs(10);

/// A bank that is open. Dropped, it closes by itself.
pub(crate) struct Bank {
    close: watch::Sender<bool>,
    closed: oneshot::Receiver<anyhow::Result<Books>>,
}

impl Bank {
    /// Opens it, and waits until enough transfers were confirmed.
    pub(crate) async fn open(cluster: &Cluster, ground: &Ground) -> anyhow::Result<Bank> {
        let (close, closing) = watch::channel(false);
        let (tell, closed) = oneshot::channel();
        let (confirm, mut confirmed) = watch::channel(0);
        let (hosts, login, network) = (cluster.hosts(), cluster.login.clone(), ground.network.clone());
        // A thread of its own: who has entered a network does not come back.
        thread::spawn(move || {
            let business = || {
                network.enter(CLIENT)?;
                let runtime = Builder::new_current_thread().enable_all().build();
                runtime.context("start the bank")?.block_on(do_business(hosts, login, confirm, closing))
            };
            // Nobody is there to be told after an interrupt.
            let _ = tell.send(business());
        });
        let bank = Bank { close, closed };
        let enough = timeout(PATIENCE, confirmed.wait_for(|confirmed| *confirmed >= ENOUGH)).await;
        match enough {
            Ok(Ok(_)) => Ok(bank),
            // Every teller is gone, which has a reason.
            Ok(Err(_)) => {
                Err(bank.close().await.err().unwrap_or_else(|| anyhow!("the bank closed by itself")))
            }
            Err(_) => Err(anyhow!("{ENOUGH} transfers were not confirmed within {} s", PATIENCE.as_secs())),
        }
    }

    /// Closes it; what its tellers were told.
    pub(crate) async fn close(self) -> anyhow::Result<Books> {
        self.close.send_replace(true);
        let closed = timeout(CLOSING, self.closed).await.context("wait for the bank to close")?;
        closed.context("the bank ended without its books")?
    }
}

/// From the opening of the accounts until all tellers have closed. `confirm` counts what they are told is done.
async fn do_business(
    hosts: Vec<HostSpec>,
    login: Login,
    confirm: watch::Sender<u64>,
    closing: watch::Receiver<bool>,
) -> anyhow::Result<Books> {
    timeout(PATIENCE, open_accounts(&hosts, &login)).await.context("open the accounts")??;
    let mut tellers = JoinSet::new();
    for number in 0..TELLERS {
        let teller = Teller::new(number, hosts.clone(), login.clone());
        tellers.spawn(teller.work(confirm.clone(), closing.clone()));
    }
    let mut books = Books::default();
    while let Some(theirs) = tellers.join_next().await {
        books.add(theirs.context("wait for a teller")?);
    }
    Ok(books)
}
