//! What the scenes do not show: creation, histories that do not fit, names that are taken over.

use super::*;
use crate::command::Registration;
use crate::ids::{ClusterId, DirectoryId, Epoch, InstanceName, SystemId};
use crate::record::{Address, Secrets};
use crate::report::Promotion;
use crate::spec::Spec;
use crate::time::WallMs;
use crate::wal::{Ancestor, History, Lsn, Position, TimelineId};

struct Log(BTreeMap<ClusterName, Cluster>, u64);

impl Log {
    fn entry(&mut self, command: Command) -> Result<Vec<Event>, Rejected> {
        self.1 += 1;
        let entry = Entry { cluster: "orders".parse().unwrap(), command, at: WallMs(self.1) };
        apply(&mut self.0, &entry, self.1)
    }

    fn cluster(&self) -> &Cluster {
        self.0.values().next().unwrap()
    }
}

fn create(spec: Spec) -> Command {
    let secrets = Secrets { superuser: "a".into(), replication: "b".into(), owner: None };
    Command::Create { id: ClusterId(1), spec, secrets, adopt: None }
}

fn register(name: &str, directory: &str, replaces: Option<&str>) -> Command {
    Command::Register(Registration {
        instance: name.parse().unwrap(),
        machine: name.parse().unwrap(),
        zone: String::new(),
        directory: DirectoryId(directory.into()),
        address: Address { host: "127.0.0.1".into(), port: 5432 },
        priority: Some(1),
        major: 15,
        system: None,
        replaces: replaces.map(|d| DirectoryId(d.into())),
    })
}

fn n(name: &str) -> InstanceName {
    name.parse().unwrap()
}

/// A cluster whose n1 is elected for epoch 2.
fn elected() -> Log {
    let mut log = Log(BTreeMap::new(), 0);
    log.entry(create(Spec { instances: 2, ..Spec::default() })).unwrap();
    log.entry(register("n1", "d1", None)).unwrap();
    log.entry(register("n2", "d2", None)).unwrap();
    log.entry(Command::BeginBootstrap { on: n("n1") }).unwrap();
    let position = Position { timeline: TimelineId(1), lsn: Lsn(100) };
    log.entry(Command::EndBootstrap { instance: n("n1"), system: SystemId(9), position }).unwrap();
    log
}

fn promotion(epoch: u32, parent: u32, begin: u64, ancestors: &[(u32, u64)]) -> Command {
    let ancestor =
        |(timeline, end): &(u32, u64)| Ancestor { timeline: TimelineId(*timeline), end: Lsn(*end) };
    Command::ConfirmPrimary {
        instance: n("n1"),
        promotion: Promotion { epoch: Epoch(epoch), parent: TimelineId(parent), begin: Lsn(begin) },
        line: History { timeline: TimelineId(epoch), ancestors: ancestors.iter().map(ancestor).collect() },
        notes: Vec::new(),
    }
}

#[test]
fn a_cluster_that_could_never_acknowledge_is_not_created() {
    let refused = |spec: Spec| Log(BTreeMap::new(), 0).entry(create(spec)).unwrap_err().to_string();
    let spec = Spec::default;
    assert_eq!(
        refused(Spec { instances: 2, acks: 2, ..spec() }),
        "acks = 2: 2 instances have 1 standbys to acknowledge"
    );
    assert_eq!(refused(Spec { instances: 0, ..spec() }), "instances = 0: a cluster has 1 to 9 instances");
    assert_eq!(refused(Spec { min_acks: 2, ..spec() }), "min_acks = 2 exceeds acks = 1");
}

#[test]
fn a_second_create_and_a_stranger_change_nothing() {
    let mut log = elected();
    let before = log.0.clone();
    assert!(log.entry(create(Spec::default())).is_err());
    assert!(
        log.entry(register("n3", "d3", None))
            .unwrap_err()
            .to_string()
            .contains("has its 2 instances already")
    );
    assert_eq!(log.0, before);
}

#[test]
fn a_history_that_does_not_tell_the_promotion_is_refused() {
    let mut log = elected();
    assert!(log.entry(promotion(2, 1, 100, &[(1, 99)])).is_err());
    assert!(log.entry(promotion(2, 1, 100, &[])).is_err());
    assert!(log.entry(promotion(3, 1, 100, &[(1, 100)])).is_err());
    assert_eq!(log.cluster().timelines.len(), 1);
    log.entry(promotion(2, 1, 100, &[(1, 100)])).unwrap();
    assert_eq!(log.cluster().line().unwrap().ancestors.len(), 1);
}

/// n1 was promoted for epoch 2, which nobody heard of; in epoch 3 it branches off that timeline.
#[test]
fn an_unconfirmed_timeline_enters_the_record_with_its_descendant() {
    let mut log = elected();
    log.entry(Command::BeginFailover { epoch: Epoch(3), reason: "x".into(), wanted: None }).unwrap();
    let seal = crate::report::Seal {
        epoch: Epoch(3),
        position: Position { timeline: TimelineId(2), lsn: Lsn(300) },
        stopped: true,
        fork: Some(Promotion { epoch: Epoch(2), parent: TimelineId(1), begin: Lsn(100) }),
    };
    let incarnation = log.cluster().instances[&n("n1")].incarnation;
    log.entry(Command::RecordSeal { instance: n("n1"), incarnation, seal }).unwrap();
    log.entry(Command::Elect {
        epoch: Epoch(3),
        instance: n("n1"),
        k: 1,
        standbys: std::collections::BTreeSet::new(),
        loss: None,
    })
    .unwrap();
    log.entry(promotion(3, 2, 300, &[(1, 100), (2, 300)])).unwrap();
    let line = log.cluster().line().unwrap();
    assert_eq!(line.timeline, TimelineId(3));
    assert!(line.contains(Position { timeline: TimelineId(1), lsn: Lsn(100) }));
    assert!(!line.contains(Position { timeline: TimelineId(1), lsn: Lsn(101) }));
    assert!(line.contains(Position { timeline: TimelineId(2), lsn: Lsn(300) }));
}

#[test]
fn a_new_directory_takes_a_name_over_only_by_naming_the_old_one_and_begins_with_nothing() {
    let mut log = elected();
    assert!(log.entry(register("n2", "new", None)).is_err());
    assert!(log.entry(register("n2", "new", Some("other"))).is_err());
    let before = log.cluster().instances[&n("n2")].incarnation;
    log.entry(register("n2", "new", Some("d2"))).unwrap();
    let member = &log.cluster().instances[&n("n2")];
    assert_eq!(member.incarnation, before.next());
    assert_eq!(member.copy, crate::record::Copy::Empty);
}

#[test]
fn registering_the_same_again_changes_nothing_and_a_new_address_raises_the_revision() {
    let mut log = elected();
    let before = log.0.clone();
    assert_eq!(log.entry(register("n2", "d2", None)).unwrap(), vec![]);
    assert_eq!(log.0, before);
    let Command::Register(moved) = register("n2", "d2", None) else { unreachable!() };
    let address = Address { host: "127.0.0.1".into(), port: 6000 };
    log.entry(Command::Register(Registration { address, ..moved })).unwrap();
    assert!(log.cluster().revision > before.values().next().unwrap().revision);
}
