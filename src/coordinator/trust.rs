//! May the records be believed? Those of a group that kept its logs may. Those that `coordinator recover` made anew out of
//! one log may lack entries that agents obeyed, until every instance of a cluster has been heard and obeyed nothing above
//! its record: before that nothing is decided, granted or proposed, and no coordinator is added, since only this one
//! knows. A file `recovered` beside the log says so, and goes once all is known.
//!
//! What nobody will say any more (an instance whose machine is gone) an operator may: `coordinator recover
//! --trust-record`.

use crate::core::Core;
use crate::raft::{MARK, trust_record};
use crate::reports::Room;
use interrex_cluster::ids::InstanceName;
use interrex_cluster::problem::Wait;
use interrex_cluster::record::Cluster;
use interrex_cluster::view::registered;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of the records of one directory.
#[derive(Debug)]
pub(crate) struct Trust {
    dir: PathBuf,
    doubted: AtomicBool,
}

impl Trust {
    /// As the log's directory says.
    pub(crate) fn of(dir: &Path) -> Self {
        // One that cannot be looked at is taken for there.
        let doubted = !matches!(fs::symlink_metadata(dir.join(MARK)), Err(why) if why.kind() == io::ErrorKind::NotFound);
        Self { dir: dir.to_owned(), doubted: AtomicBool::new(doubted) }
    }

    /// What a cluster waits for before anything is decided; `None`: nothing.
    pub(crate) fn waits(&self, record: &Cluster, heard: &Room) -> Option<Wait> {
        if !self.doubted.load(Ordering::Relaxed) {
            return None;
        }
        let unheard = |name: &&InstanceName| registered(record, heard, name).is_none();
        let silent: Vec<InstanceName> = record.instances.keys().filter(unheard).cloned().collect();
        (!silent.is_empty()).then_some(Wait::Recovered { silent })
    }

    /// Why the group must not grow yet.
    pub(crate) fn unsettled(&self) -> Option<String> {
        self.doubted.load(Ordering::Relaxed).then(|| {
            "the record was made anew out of one log and is not known to be the newest: first every instance of every \
             cluster has to be heard; see: interrex status"
                .to_owned()
        })
    }

    fn settled(&self) {
        match trust_record(&self.dir) {
            Ok(_) => {
                tracing::info!("every instance was heard: the records made anew are the newest there are")
            }
            // After a restart everybody is waited for once more.
            Err(why) => tracing::warn!("the mark of a record made anew stays: {why}; remove it"),
        }
        self.doubted.store(false, Ordering::Relaxed);
    }
}

impl Core {
    /// Ends the doubt once no cluster has a reason for it.
    pub(crate) fn settle(&self) {
        if !self.trust.doubted.load(Ordering::Relaxed) || self.reign().is_none() {
            return;
        }
        let clusters: Vec<_> = self.node.read(|records| records.clusters().keys().cloned().collect());
        if clusters.iter().all(|cluster| self.untrusted(cluster).is_none()) {
            self.trust.settled();
        }
    }
}
