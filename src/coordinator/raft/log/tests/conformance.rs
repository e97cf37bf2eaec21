//! openraft's conformance suite on the shipped store and state machine, on a real directory; after each case the
//! store is closed, opened from disk again, and has to hold what it held.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::super::super::machine::{Machine, MachineStore, Unknown};
use super::super::super::snapshot::SnapshotDir;
use super::super::super::types::Types;
use super::super::disk::RealDisk;
use super::super::store::LogStore;

/// Keeps the number of entries.
#[derive(Default)]
struct Counter(u64);

impl Machine for Counter {
    fn apply(&mut self, _: u64, _: &[u8]) -> Result<Vec<u8>, Unknown> {
        self.0 += 1;
        Ok(Vec::new())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0 = u64::from_le_bytes(snapshot.try_into().map_err(|_| "not a count")?);
        Ok(())
    }
}

/// Closes what a case used, opens it again, and compares, when the case drops it.
struct Reopened {
    dir: tempfile::TempDir,
    log: LogStore,
    runtime: tokio::runtime::Handle,
}

impl Drop for Reopened {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let held = self.log.look(Clone::clone);
        let log = self.log.clone();
        tokio::task::block_in_place(|| self.runtime.block_on(async move { log.close().await }));
        let disk = RealDisk::lock(self.dir.path()).expect("the lock is free");
        let again = LogStore::open(Arc::new(disk), 1, 4000).expect("the log opens again");
        assert_eq!(again.look(Clone::clone), held);
        tokio::task::block_in_place(|| self.runtime.block_on(async move { again.close().await }));
    }
}

struct Builder;

impl StoreBuilder<Types, LogStore, MachineStore<Counter>, Reopened> for Builder {
    async fn build(&self) -> Result<(Reopened, LogStore, MachineStore<Counter>), StorageError<Types>> {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(RealDisk::lock(dir.path()).expect("the lock"));
        let snapshots = SnapshotDir::new(disk.clone());
        // Segments of 4000 bytes: the cases cross their ends.
        let log = LogStore::open(disk, 1, 4000).expect("an empty log");
        let machine = MachineStore::open(Counter::default(), snapshots, 0).expect("an empty machine");
        let runtime = tokio::runtime::Handle::current();
        Ok((Reopened { dir, log: log.clone(), runtime }, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_conformance_suite_passes_and_each_store_is_the_same_when_opened_again() {
    Suite::test_all(Builder).await.expect("the suite passes");
}
