//! May the records be believed? Those of a group that kept its logs may. Those that `coordinator recover` made anew out of
//! one log may lack entries that agents obeyed, until every instance of a cluster has been heard and obeyed nothing above
//! its record: before that nothing is decided, granted or proposed, and no coordinator is added, since only this one
//! knows. A file `recovered` beside the log says so, and goes once all is known.
//!
//! Heard is who testifies: an agent that knows what it obeyed. One that knows nothing (its memory is damaged or gone, its
//! copy is doubted) may have obeyed anything. And one whose registration has changed cannot be registered meanwhile, for
//! that would raise the record's stamp: it is heard by what it says when it asks for that.
//!
//! What nobody will say any more (an instance whose machine is gone) an operator may: `coordinator recover
//! --trust-record`.

use crate::core::Core;
use crate::machine::Records;
use crate::raft::Mark;
use crate::reports::Room;
use interrex_cluster::diagnose::record;
use interrex_cluster::ids::{ClusterName, Incarnation, InstanceName, Revision, Stamp};
use interrex_cluster::problem::{Problem, Wait};
use interrex_cluster::record::{Cluster, Copy, Instance};
use interrex_cluster::report::Report;
use interrex_cluster::view::registered;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of the records of one log.
#[derive(Debug)]
pub(crate) struct Trust {
    mark: Mark,
    doubted: AtomicBool,
    /// What members say that they obeyed when they ask to be registered.
    asking: Mutex<BTreeMap<(ClusterName, InstanceName), Asked>>,
}

/// A member's words when it asks to be registered.
#[derive(Debug, Default)]
struct Asked {
    /// The highest goal that it said it obeyed.
    obeyed: Stamp,
    /// It was turned away, and knows what it obeyed: so it is heard by that, for it has no other way to speak.
    vouches: bool,
}

impl Trust {
    /// As the mark beside the log says.
    pub(crate) fn of(mark: Mark) -> Self {
        let doubted = AtomicBool::new(mark.is_there());
        Self { mark, doubted, asking: Mutex::default() }
    }

    fn doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    fn asking(&self) -> MutexGuard<'_, BTreeMap<(ClusterName, InstanceName), Asked>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what the registered directory of a member says that it obeyed, welcome or not.
    pub(crate) fn asks(&self, cluster: &ClusterName, instance: &InstanceName, obeyed: Option<Stamp>) {
        if let Some(obeyed) = obeyed.filter(|_| self.doubted()) {
            let mut asking = self.asking();
            let asked = asking.entry((cluster.clone(), instance.clone())).or_default();
            asked.obeyed = asked.obeyed.max(obeyed);
        }
    }

    /// Takes note of what came of that. Who is welcome has its reports to be heard by, where it also says what speaks
    /// against its memory. A stamp without a revision is of one that is only sure of the epoch.
    pub(crate) fn answered(
        &self,
        cluster: &ClusterName,
        instance: &InstanceName,
        obeyed: Option<Stamp>,
        turned_away: bool,
    ) {
        if let Some(asked) = self.asking().get_mut(&(cluster.clone(), instance.clone())) {
            asked.vouches = turned_away && obeyed.is_some_and(|obeyed| obeyed.revision > Revision(0));
        }
    }

    /// Whether somebody who asks to be registered obeyed what the record does not know.
    pub(crate) fn behind(&self, record: &Cluster) -> Option<Problem> {
        if !self.doubted() {
            return None;
        }
        let asking = self.asking();
        let said = asking.iter().filter(|((cluster, _), _)| *cluster == record.name);
        record::behind(record, said.map(|((_, instance), asked)| (instance, asked.obeyed)))
    }

    /// Whether entries of the record are lost, by reports and by whoever asks to be registered.
    pub(crate) fn lost_entries(&self, record: &Cluster, heard: &Room) -> Option<Problem> {
        record::ask(record, heard).or_else(|| self.behind(record))
    }

    /// What a cluster waits for before anything is decided; `None`: nothing.
    pub(crate) fn waits(&self, record: &Cluster, heard: &Room) -> Option<Wait> {
        if !self.doubted() {
            return None;
        }
        let asking = self.asking();
        let asks = |name: &InstanceName| {
            asking.get(&(record.name.clone(), name.clone())).is_some_and(|asked| asked.vouches)
        };
        // What a report says against a memory, no word of that memory outweighs.
        let is_heard = |name: &InstanceName, member: &Instance| match registered(record, heard, name) {
            Some(heard) => testifies(member, &heard.report),
            None => asks(name),
        };
        let members = record.instances.iter();
        let silent = members.filter(|(name, member)| !is_heard(name, member));
        let silent: Vec<InstanceName> = silent.map(|(name, _)| name.clone()).collect();
        (!silent.is_empty()).then_some(Wait::Recovered { silent })
    }

    fn settled(&self) {
        match self.mark.remove() {
            Ok(_) => {
                tracing::info!("every instance was heard: the records made anew are the newest there are")
            }
            // After a restart everybody is waited for once more.
            Err(why) => {
                let place = self.mark.place();
                tracing::warn!("remove {place}, the mark of a record made anew: {why}; remove it by hand");
            }
        }
        self.doubted.store(false, Ordering::Relaxed);
        self.asking().clear();
    }
}

/// Whether an agent knows what it obeyed. Whoever is there is told its goal and obeys that within moments, so one that
/// obeyed nothing is not going on; one that knows of no copy where the record has a whole one has lost its memory.
fn testifies(member: &Instance, report: &Report) -> bool {
    let remembers = report.incarnation != Incarnation(0) || member.copy != Copy::Whole;
    report.obeyed > Stamp::default() && report.doubt.is_none() && remembers
}

impl Core {
    /// Why the group must not grow yet, with the way out. A cluster that is behind keeps the doubt, although every instance
    /// of it may be heard: another coordinator could come to lead before it hears who obeyed more.
    pub(crate) fn unsettled(&self) -> Option<String> {
        if !self.trust.doubted() {
            return None;
        }
        let is_behind = |record: &&Cluster| {
            let (room, _) = self.reports.of(&record.name);
            self.trust.lost_entries(record, &room).is_some()
        };
        let behind = |records: &Records| {
            records.clusters().values().filter(is_behind).map(|record| record.name.to_string()).collect()
        };
        let behind: Vec<String> = self.node.read(behind);
        let doubt = "the record was made anew out of one log and is not known to be the newest";
        Some(match behind.is_empty() {
            true => format!(
                "{doubt}: first every instance of every cluster has to be heard; see: interrex status"
            ),
            false => format!(
                "{doubt}: agents of {} obeyed what it does not know. Bring a newer log back; or take the servers into a new \
                 cluster (interrex create NAME --adopt), stop this node, say that the rest of the record is to be trusted \
                 (interrex coordinator recover -c FILE --trust-record), and start it",
                behind.join(", ")
            ),
        })
    }

    /// Ends the doubt once no cluster has a reason for it.
    pub(crate) fn settle(&self) {
        if !self.trust.doubted() || self.reign().is_none() {
            return;
        }
        let clusters: Vec<_> = self.node.read(|records| records.clusters().keys().cloned().collect());
        if clusters.iter().all(|cluster| self.untrusted(cluster).is_none()) {
            self.trust.settled();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{MemoryDisk, trust_record};
    use interrex_cluster::apply::apply;
    use interrex_cluster::command::{Command, Entry, Registration};
    use interrex_cluster::ids::{ClusterId, DirectoryId, Epoch};
    use interrex_cluster::problem::ProblemKind;
    use interrex_cluster::record::{Address, Secrets};
    use interrex_cluster::report::Server;
    use interrex_cluster::spec::Spec;
    use interrex_cluster::time::{Instant, WallMs};
    use interrex_cluster::view::Heard;
    use std::sync::Arc;

    const MEMBERS: [&str; 2] = ["n1", "n2"];

    fn stamp(epoch: u32, revision: u64) -> Stamp {
        Stamp { epoch: Epoch(epoch), revision: Revision(revision) }
    }

    /// Of two members, with whole copies, at 7.40.
    fn record() -> Cluster {
        let mut clusters = BTreeMap::new();
        let secrets = Secrets { superuser: "a".into(), replication: "b".into(), owner: None };
        let create = Command::Create { id: ClusterId(1), spec: Spec::default(), secrets, adopt: None };
        let register = |name: &str| {
            Command::Register(Registration {
                instance: name.parse().unwrap(),
                machine: name.parse().unwrap(),
                zone: String::new(),
                directory: DirectoryId(name.to_owned()),
                address: Address { host: "127.0.0.1".into(), port: 5432 },
                priority: Some(1),
                major: 15,
                system: None,
                replaces: None,
            })
        };
        for (index, command) in (1..).zip([create, register("n1"), register("n2")]) {
            let entry = Entry { cluster: "orders".parse().unwrap(), command, at: WallMs(1) };
            apply(&mut clusters, &entry, index).unwrap();
        }
        let mut record = clusters.into_values().next().unwrap();
        (record.epoch, record.revision) = (Epoch(7), Revision(40));
        record.instances.values_mut().for_each(|member| member.copy = Copy::Whole);
        record
    }

    /// Doubts, as after `coordinator recover`.
    fn doubting() -> Trust {
        let mark = Mark::on(Arc::new(MemoryDisk::default()));
        mark.put().unwrap();
        Trust::of(mark)
    }

    fn says(name: &str, change: impl FnOnce(&mut Report)) -> (InstanceName, Heard) {
        let name: InstanceName = name.parse().unwrap();
        let mut report = Report {
            obeyed: stamp(7, 40),
            incarnation: Incarnation(1),
            ..Report::of(name.clone(), DirectoryId(name.to_string()), Server::NoData)
        };
        change(&mut report);
        (name, Heard { report, at: Instant(1) })
    }

    #[test]
    fn who_does_not_know_what_it_obeyed_is_not_heard() {
        let (trust, record) = (doubting(), record());
        let all = Room::from(MEMBERS.map(|name| says(name, |_| {})));
        assert_eq!(trust.waits(&record, &all), None);
        let strangely: [fn(&mut Report); 4] = [
            |report| report.obeyed = Stamp::default(),
            |report| report.incarnation = Incarnation(0),
            |report| report.doubt = Some("it was rolled back".to_owned()),
            |report| report.directory = DirectoryId("another".to_owned()),
        ];
        for change in strangely {
            let room = Room::from([says("n1", |_| {}), says("n2", change)]);
            let silent = vec!["n2".parse().unwrap()];
            assert_eq!(trust.waits(&record, &room), Some(Wait::Recovered { silent }), "{room:?}");
        }
        let mut empty = record.clone();
        empty.instances.values_mut().for_each(|member| member.copy = Copy::Empty);
        let fresh = Room::from(MEMBERS.map(|name| says(name, |report| report.incarnation = Incarnation(0))));
        assert_eq!(trust.waits(&empty, &fresh), None, "who never had a copy has lost none");
    }

    #[test]
    fn who_may_not_register_yet_is_heard_by_what_it_says_when_it_asks() {
        let (trust, record) = (doubting(), record());
        let room = Room::from([says("n1", |_| {})]);
        let n2 = "n2".parse().unwrap();
        let asks = |obeyed, turned_away| {
            trust.asks(&record.name, &n2, obeyed);
            trust.answered(&record.name, &n2, obeyed, turned_away);
        };
        for (silent, turned_away) in [
            (None, true),
            (Some(Stamp::default()), true),
            (Some(stamp(7, 38)), false),
            // Sure of the epoch alone.
            (Some(stamp(7, 0)), true),
            (None, true),
        ] {
            asks(silent, turned_away);
            assert!(trust.waits(&record, &room).is_some(), "{silent:?}, turned away: {turned_away}");
        }
        asks(Some(stamp(7, 38)), true);
        assert_eq!((trust.waits(&record, &room), trust.behind(&record)), (None, None));
        let doubted = says("n2", |report| report.doubt = Some("its memory was rolled back".to_owned()));
        let forgetful = says("n2", |report| report.incarnation = Incarnation(0));
        for report in [doubted, forgetful] {
            let contradicted = Room::from([says("n1", |_| {}), report]);
            assert!(trust.waits(&record, &contradicted).is_some(), "a memory is no witness for itself");
        }
        for ahead in [stamp(8, 0), stamp(8, 1)] {
            asks(Some(ahead), false);
            let behind = trust.behind(&record).unwrap();
            assert_eq!(behind.kind, ProblemKind::RecordBehind { instance: n2.clone() });
        }
        asks(Some(stamp(7, 38)), true);
        assert!(trust.behind(&record).is_some(), "what was said once stays said");
    }

    #[test]
    fn an_operator_s_word_ends_the_doubt_for_good() {
        let (dir, record) = (tempfile::tempdir().unwrap(), record());
        let doubts = || Trust::of(Mark::within(dir.path())).waits(&record, &Room::new()).is_some();
        Mark::within(dir.path()).put().unwrap();
        assert!(doubts());
        assert!(trust_record(dir.path()).unwrap());
        assert!(!doubts());
        assert!(!trust_record(dir.path()).unwrap(), "there is no doubt any more");
    }
}
