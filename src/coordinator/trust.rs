//! May the records be believed? Those of a group that kept its logs may. Those that `coordinator recover` made anew out of
//! one log may lack entries that agents obeyed, until every instance of a cluster has been heard and obeyed nothing above
//! its record: before that nothing is decided, granted or proposed, and no coordinator is added, since only this one
//! knows. A file `recovered` beside the log says so, and goes once all is known.
//!
//! What nobody will say any more (an instance whose machine is gone) an operator may: `coordinator recover
//! --trust-record`.

use crate::core::Core;
use crate::raft::MARK;
use interrex_cluster::ids::InstanceName;
use interrex_cluster::problem::Wait;
use interrex_cluster::view::View;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of the records of one directory.
#[derive(Debug)]
pub(crate) struct Trust {
    mark: PathBuf,
    doubted: AtomicBool,
}

impl Trust {
    /// As the log's directory says.
    pub(crate) fn of(dir: &Path) -> Self {
        let mark = dir.join(MARK);
        // One that cannot be looked at is taken for there.
        let doubted =
            !matches!(fs::symlink_metadata(&mark), Err(why) if why.kind() == io::ErrorKind::NotFound);
        Self { mark, doubted: AtomicBool::new(doubted) }
    }

    /// What a cluster waits for before anything is decided; `None`: nothing.
    pub(crate) fn waits(&self, view: &View<'_>) -> Option<Wait> {
        if !self.doubted.load(Ordering::Relaxed) {
            return None;
        }
        let unheard = |(name, member): (&InstanceName, &interrex_cluster::record::Instance)| {
            let heard = view.heard.get(name).is_some_and(|heard| heard.report.directory == member.directory);
            (!heard).then(|| name.clone())
        };
        let silent: Vec<InstanceName> = view.record.instances.iter().filter_map(unheard).collect();
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
        let parent = self.mark.parent().unwrap_or(Path::new("."));
        match fs::remove_file(&self.mark).and_then(|()| File::open(parent)?.sync_all()) {
            Ok(()) => {
                tracing::info!("every instance was heard: the records made anew are the newest there are")
            }
            // After a restart everybody is waited for once more.
            Err(why) => tracing::warn!("{} stays: {why}; remove it", self.mark.display()),
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
