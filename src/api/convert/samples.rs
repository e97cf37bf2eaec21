//! Values that fill every field and every variant, for the scenes of the border and of the log's fixtures. Each list
//! is followed by a match without a wildcard: a new variant does not compile until somebody came here and added a
//! sample of it.

use interrex_cluster::command::{Adopted, Adopting, Asking, Command, Entry, Registration};
use interrex_cluster::event::Event;
use interrex_cluster::goal::{Goal, PrimaryGoal, StampedGoal, StandbyGoal, SyncSetting};
use interrex_cluster::ids::{
    ClusterId, DirectoryId, Epoch, Incarnation, InstanceName, Revision, RuleNumber, Stamp, SystemId,
};
use interrex_cluster::problem::Severity;
use interrex_cluster::receipt::Receipt;
use interrex_cluster::record::{
    Address, Adoption, Asked, Cluster, CommitRule, Copy, Failover, Fetch, FetchEnd, Fork, HandOver, Instance,
    Operation, Override, PhaseTimes, Proposed, Reign, Removed, Secrets, Switchover, SyncTarget,
};
use interrex_cluster::report::{
    Failing, Found, Knock, Need, Primary, Promotion, Proofs, Rebuild, Receiver, Report, Seal, Sender, Server,
    Standby, Unfit,
};
use interrex_cluster::spec::{OnCrash, Spec, Timeouts, WhenAlone};
use interrex_cluster::status::{ClusterStatus, InstanceStatus, ProblemLine};
use interrex_cluster::time::WallMs;
use interrex_cluster::wal::{Ancestor, History, Lsn, Position, TimelineId};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn instance(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn set(names: &[&str]) -> BTreeSet<InstanceName> {
    names.iter().map(|name| instance(name)).collect()
}

const SYSTEM: SystemId = SystemId(7_417_226_148_116_293_001);

fn position(lsn: u64) -> Position {
    Position { timeline: TimelineId(7), lsn: Lsn(lsn) }
}

fn line() -> History {
    let ancestor = |timeline, end| Ancestor { timeline: TimelineId(timeline), end: Lsn(end) };
    History {
        timeline: TimelineId(7),
        ancestors: vec![ancestor(1, 0x300_0000), ancestor(2, 0x300_0000), ancestor(4, 0x16_0500_0060)],
    }
}

fn promotion() -> Promotion {
    Promotion { epoch: Epoch(7), parent: TimelineId(4), begin: Lsn(0x16_0500_0060) }
}

fn seal() -> Seal {
    Seal { epoch: Epoch(8), position: position(0x16_0600_0000), stopped: true, fork: Some(promotion()) }
}

fn stamp() -> Stamp {
    Stamp { epoch: Epoch(8), revision: Revision(41) }
}

pub(crate) fn address() -> Address {
    Address { host: "fd00::1".to_owned(), port: u16::MAX }
}

pub(crate) fn secrets() -> Secrets {
    Secrets {
        superuser: "s3cret".to_owned(),
        replication: "r3pl".to_owned(),
        owner: Some(("app".to_owned(), "pässword".to_owned())),
    }
}

pub(crate) fn specs() -> Vec<Spec> {
    let spec = Spec {
        instances: 5,
        acks: 2,
        min_acks: 1,
        when_alone: WhenAlone::Block,
        max_data_loss: u64::MAX,
        on_crash: OnCrash::Restart,
        timeouts: Timeouts::default(),
        parameters: BTreeMap::new(),
    };
    let every = [WhenAlone::Continue, WhenAlone::Block].into_iter().map(|when_alone| {
        match when_alone {
            WhenAlone::Continue | WhenAlone::Block => {}
        }
        Spec { when_alone, ..spec.clone() }
    });
    let crash = [OnCrash::Failover, OnCrash::Restart].into_iter().map(|on_crash| {
        match on_crash {
            OnCrash::Failover | OnCrash::Restart => {}
        }
        Spec { on_crash, ..spec.clone() }
    });
    every.chain(crash).chain([Spec::default()]).collect()
}

pub(crate) fn registration() -> Registration {
    Registration {
        instance: instance("n1"),
        machine: "host-1".parse().unwrap(),
        zone: "az-1".to_owned(),
        directory: DirectoryId("0b8e".to_owned()),
        address: address(),
        priority: Some(0),
        major: 15,
        system: Some(SYSTEM),
        replaces: Some(DirectoryId("77aa".to_owned())),
    }
}

/// Every command, once.
pub(crate) fn commands() -> Vec<Command> {
    let all = vec![
        Command::Create {
            id: ClusterId(0xDEAD_BEEF),
            spec: specs().remove(1),
            secrets: secrets(),
            adopt: None,
        },
        Command::Register(registration()),
        Command::BeginBootstrap { on: instance("n1") },
        Command::EndBootstrap { instance: instance("n1"), system: SYSTEM, position: position(0x150_0028) },
        Command::BeginFailover {
            epoch: Epoch(8),
            reason: "n1 down".to_owned(),
            wanted: Some(instance("n2")),
        },
        Command::RecordSeal { instance: instance("n2"), incarnation: Incarnation(3), seal: seal() },
        Command::Elect {
            epoch: Epoch(8),
            instance: instance("n2"),
            k: 1,
            standbys: set(&["n3", "n1"]),
            loss: Some("up to 16 kB".to_owned()),
        },
        Command::ConfirmPrimary {
            instance: instance("n2"),
            promotion: promotion(),
            line: line(),
            notes: Vec::new(),
        },
        Command::OpenPrimary { epoch: Epoch(8) },
        Command::ChangeRule { epoch: Epoch(8), k: 0, standbys: BTreeSet::new() },
        Command::RetireRules { epoch: Epoch(8), number: RuleNumber(12) },
        Command::GrantRebuild {
            instance: instance("n1"),
            incarnation: Incarnation(1),
            how: Rebuild::Rewind,
            until: position(0x700_0000),
        },
        Command::EndRebuild { instance: instance("n1"), incarnation: Incarnation(2) },
        Command::MarkWhole { instance: instance("n1"), incarnation: Incarnation(2), epoch: Epoch(8) },
        Command::AcceptLoss { epoch: Epoch(8), fenced: set(&["n1"]) },
    ];
    all.iter().chain(&later()).chain(&third()).for_each(|command| match command {
        Command::Create { .. }
        | Command::Register(_)
        | Command::BeginBootstrap { .. }
        | Command::EndBootstrap { .. }
        | Command::BeginFailover { .. }
        | Command::RecordSeal { .. }
        | Command::Elect { .. }
        | Command::ConfirmPrimary { .. }
        | Command::OpenPrimary { .. }
        | Command::ChangeRule { .. }
        | Command::RetireRules { .. }
        | Command::GrantRebuild { .. }
        | Command::EndRebuild { .. }
        | Command::MarkWhole { .. }
        | Command::AcceptLoss { .. }
        | Command::BeginSwitchover { .. }
        | Command::BeginHandOver { .. }
        | Command::AbandonSwitchover { .. }
        | Command::SetPaused { .. }
        | Command::SetSpec { .. }
        | Command::SettleSpec { .. }
        | Command::Ask { .. }
        | Command::EndRestart { .. }
        | Command::RecordReceipt { .. }
        | Command::TakeOver { .. }
        | Command::Adopt(_)
        | Command::BeginFetch { .. }
        | Command::EndFetch { .. }
        | Command::Remove { .. } => {}
    });
    all
}

/// A spec with what level 2 added.
pub(crate) fn later_spec() -> Spec {
    let timeouts = Timeouts {
        suspect_after_ms: Some(1_500),
        hung_after_ms: None,
        leaves_after_ms: Some(9_000),
        alone_after_ms: Some(0),
    };
    let parameters = [("work_mem", "64MB"), ("auto_explain.log_min_duration", "")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Spec { timeouts, parameters, ..Spec::default() }
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        epoch: Epoch(8),
        incarnation: Incarnation(2),
        how: Rebuild::Rewind,
        from: Some(position(9)),
        to: Some(position(57)),
        bytes: 48,
        transactions: Some(1),
        commits: Some(("2026-11-22 20:00:00 UTC".to_owned(), "2026-11-22 20:00:01 UTC".to_owned())),
        tables: vec!["shop.public.orders: 3 inserted".to_owned()],
        gaps: vec!["its WAL is damaged".to_owned()],
        kept: "/var/lib/interrex/receipts/8-0-9".to_owned(),
    }
}

fn blank_receipt() -> Receipt {
    Receipt {
        how: Rebuild::Clone,
        from: None,
        to: None,
        transactions: None,
        commits: None,
        tables: Vec::new(),
        gaps: Vec::new(),
        ..receipt()
    }
}

/// Commands that came with level 2: their fixtures follow those of level 1.
fn later() -> Vec<Command> {
    vec![
        Command::BeginSwitchover { epoch: Epoch(7), to: instance("n2") },
        Command::BeginHandOver { epoch: Epoch(8), to: instance("n2") },
        Command::AbandonSwitchover { epoch: Epoch(8), why: "n1 did not stop within 4.0 s".to_owned() },
        Command::SetPaused { paused: true },
        Command::SetPaused { paused: false },
        Command::SetSpec { before: Spec::default(), spec: later_spec() },
        Command::SettleSpec { number: Revision(9), refused: None },
        Command::SettleSpec { number: Revision(9), refused: Some("work_mem: too much".to_owned()) },
        Command::Ask { instance: instance("n2"), what: Asking::Restart },
        Command::Ask { instance: instance("n2"), what: Asking::Reinit { discard_old: true } },
        Command::Ask { instance: instance("n2"), what: Asking::Leave },
        Command::Ask { instance: instance("n2"), what: Asking::Nothing },
        Command::EndRestart { instance: instance("n2"), number: Revision(9) },
        Command::Remove { instance: instance("n2"), epoch: Epoch(8) },
        Command::RecordReceipt { instance: instance("n2"), receipt: receipt() },
        Command::RecordReceipt { instance: instance("n2"), receipt: blank_receipt() },
    ]
}

/// Commands that came with level 3: their fixtures follow those of level 2.
fn third() -> Vec<Command> {
    let create = |take_over| Command::Create {
        id: ClusterId(7),
        spec: Spec::default(),
        secrets: Secrets { owner: None, ..secrets() },
        adopt: Some(Adopting { take_over }),
    };
    vec![
        create(true),
        create(false),
        Command::TakeOver { instance: instance("n1") },
        Command::Adopt(Adopted {
            epoch: Epoch(8),
            instance: instance("n1"),
            system: SYSTEM,
            position: position(9),
            line: line(),
            copies: set(&["n2", "n3"]),
            notes: vec!["n1: port = 5433 gives way to 5432".to_owned()],
        }),
        Command::Adopt(Adopted {
            epoch: Epoch(2),
            instance: instance("n1"),
            system: SYSTEM,
            position: Position { timeline: TimelineId(1), lsn: Lsn(9) },
            line: History { timeline: TimelineId(1), ancestors: Vec::new() },
            copies: BTreeSet::new(),
            notes: Vec::new(),
        }),
        Command::BeginFetch { epoch: Epoch(8), to: instance("n2"), from: instance("n3") },
        Command::EndFetch { epoch: Epoch(8), given_up: None },
        Command::EndFetch { epoch: Epoch(8), given_up: Some("n3 is silent".to_owned()) },
        Command::ConfirmPrimary {
            instance: instance("n1"),
            promotion: promotion(),
            line: line(),
            notes: vec!["role interrex was there".to_owned()],
        },
    ]
}

/// Commands that came with level 4: their fixtures follow those of level 3.
fn fourth() -> Vec<Command> {
    vec![Command::SetSpec { before: later_spec(), spec: Spec::default() }]
}

/// Clusters with what level 3 brought: those that are to adopt, and those in which a preferred instance fetches WAL.
pub(crate) fn clusters_of_level_3() -> Vec<Cluster> {
    let bare = clusters().into_iter().find(|cluster| cluster.name.as_str() == "new");
    let adoptions = [Adoption::default(), Adoption { take_over: true, stop: set(&["n1", "n2"]) }];
    let fetch = |end| {
        let fetch = Fetch { to: instance("n2"), from: instance("n3"), until: position(9), end };
        Operation::Failover(Failover { fetch: Some(Box::new(fetch)), ..failover() })
    };
    let fetches = [None, Some(FetchEnd::Told), Some(FetchEnd::GivenUp)].map(fetch);
    let operations = adoptions.into_iter().map(Operation::Adopt).chain(fetches);
    let named = operations.enumerate().map(|(i, operation)| Cluster {
        name: format!("third-{i}").parse().unwrap(),
        operation,
        ..bare.clone().expect("a cluster that is new")
    });
    named.collect()
}

/// Every command as an entry, and each with its options absent.
pub(crate) fn entries() -> Vec<Entry> {
    let sparse = [
        Command::Create {
            id: ClusterId(0),
            spec: Spec::default(),
            secrets: Secrets { owner: None, ..secrets() },
            adopt: None,
        },
        Command::Register(Registration { priority: None, system: None, replaces: None, ..registration() }),
        Command::BeginFailover { epoch: Epoch(2), reason: String::new(), wanted: None },
        Command::RecordSeal {
            instance: instance("n2"),
            incarnation: Incarnation(0),
            seal: Seal { fork: None, stopped: false, ..seal() },
        },
        Command::Elect {
            epoch: Epoch(2),
            instance: instance("n2"),
            k: 0,
            standbys: BTreeSet::new(),
            loss: None,
        },
    ];
    let entry =
        |command| Entry { cluster: "orders".parse().unwrap(), command, at: WallMs(1_794_000_000_123) };
    commands().into_iter().chain(sparse).chain(later()).chain(third()).chain(fourth()).map(entry).collect()
}

fn failover() -> Failover {
    Failover {
        from: Some(instance("n1")),
        reason: "PostgreSQL on primary n1 is down".to_owned(),
        wanted: Some(instance("n3")),
        hand_over: None,
        seals: BTreeMap::from([(instance("n2"), seal()), (instance("n3"), Seal { fork: None, ..seal() })]),
        astray: BTreeSet::new(),
        loss_accepted: Some(BTreeSet::new()),
        fetch: None,
        times: PhaseTimes { begun: WallMs(1), sealed: WallMs(2), elected: WallMs(3), promoted: WallMs(4) },
    }
}

fn operations() -> Vec<Operation> {
    let failover = failover();
    let bare = Failover {
        from: None,
        wanted: None,
        seals: BTreeMap::new(),
        astray: set(&["n3"]),
        loss_accepted: None,
        times: PhaseTimes::default(),
        ..failover.clone()
    };
    let all = vec![
        Operation::Gather,
        Operation::Bootstrap { on: instance("n1") },
        Operation::None,
        Operation::Failover(failover.clone()),
        Operation::Failover(Failover { loss_accepted: Some(set(&["n1"])), ..failover }),
        Operation::Failover(bare),
    ];
    all.iter().for_each(|operation| match operation {
        Operation::Gather
        | Operation::Bootstrap { .. }
        | Operation::None
        | Operation::Failover(_)
        | Operation::Switchover(_)
        | Operation::Adopt(_) => {}
    });
    all
}

fn copies() -> Vec<Copy> {
    let rebuilding = |how, done| Copy::Rebuilding { how, until: position(9), done };
    let all =
        vec![Copy::Empty, rebuilding(Rebuild::Rewind, false), rebuilding(Rebuild::Clone, true), Copy::Whole];
    all.iter().for_each(|copy| match copy {
        Copy::Empty | Copy::Whole => {}
        Copy::Rebuilding { how: Rebuild::Rewind | Rebuild::Clone, .. } => {}
    });
    all
}

fn member(copy: Copy, priority: Option<u8>) -> Instance {
    Instance {
        machine: "host-1".parse().unwrap(),
        zone: String::new(),
        directory: DirectoryId("0b8e".to_owned()),
        address: address(),
        priority,
        major: 15,
        incarnation: Incarnation(3),
        copy,
        held: None,
        asked: None,
    }
}

/// A record for every operation that level 2 added.
pub(crate) fn later_clusters() -> Vec<Cluster> {
    let switchover = Operation::Switchover(Switchover { to: instance("n2"), checkpoint: Revision(41) });
    let Some(Operation::Failover(failover)) = operations().into_iter().nth(3) else { return Vec::new() };
    let hand_over = Some(HandOver { to: instance("n2"), epoch: Epoch(6) });
    let handing_over = Operation::Failover(Failover { hand_over, ..failover });
    let mut cluster = clusters().remove(0);
    let asked = [
        Asked::Restart { number: Revision(5) },
        Asked::Reinit { discard_old: true },
        Asked::Reinit { discard_old: false },
        Asked::Leave,
    ];
    for (member, asked) in cluster.instances.values_mut().zip(asked) {
        match asked {
            Asked::Restart { .. } | Asked::Reinit { .. } | Asked::Leave => member.asked = Some(asked),
        }
    }
    cluster.spec = later_spec();
    cluster.proposed = Some(Proposed { number: Revision(39), spec: specs().remove(0) });
    let removed = Removed { directory: DirectoryId("77aa".to_owned()), incarnation: Incarnation(4) };
    cluster.removed = BTreeMap::from([(instance("n9"), removed)]);
    let numbered = [switchover, handing_over].into_iter().enumerate().map(|(i, operation)| Cluster {
        name: format!("later-{i}").parse().unwrap(),
        operation,
        ..cluster.clone()
    });
    numbered.collect()
}

/// A record for every operation, with members of every kind of copy.
pub(crate) fn clusters() -> Vec<Cluster> {
    let members = copies().into_iter().enumerate();
    let instances: BTreeMap<_, _> = members
        .map(|(i, copy)| (instance(&format!("n{i}")), member(copy, [None, Some(15)][i % 2])))
        .collect();
    let rule = |number, covered_at| CommitRule {
        number: RuleNumber(number),
        epoch: Epoch(7),
        primary: instance("n1"),
        k: 1,
        standbys: set(&["n2", "n3"]),
        covered_at,
    };
    let fork = |epoch, parent| Fork {
        epoch: Epoch(epoch),
        instance: instance("n1"),
        parent: TimelineId(parent),
        begin: Lsn(epoch.into()),
    };
    let full = Cluster {
        name: "orders".parse().unwrap(),
        id: ClusterId(0xDEAD_BEEF),
        spec: specs().remove(1),
        secrets: secrets(),
        system: Some(SYSTEM),
        epoch: Epoch(7),
        revision: Revision(40),
        primary: Some(Reign { instance: instance("n1"), fork: Some(promotion()), open: true }),
        operation: Operation::None,
        rules: vec![rule(3, Some(position(5))), rule(4, None)],
        sync: SyncTarget { number: RuleNumber(4), k: 1, standbys: set(&["n2", "n3"]), proved: true },
        instances,
        timelines: vec![fork(2, 1), fork(4, 2)],
        paused: true,
        overrides: vec![Override {
            epoch: Epoch(4),
            at: WallMs(9),
            what: "rule 2; may lose 8 kB".to_owned(),
        }],
        receipts: Vec::new(),
        proposed: None,
        removed: BTreeMap::new(),
    };
    let numbered = operations().into_iter().enumerate().map(|(i, operation)| Cluster {
        name: format!("orders-{i}").parse().unwrap(),
        operation,
        ..full.clone()
    });
    let bare = Cluster {
        name: "new".parse().unwrap(),
        system: None,
        primary: None,
        operation: Operation::Gather,
        rules: Vec::new(),
        sync: SyncTarget::default(),
        instances: BTreeMap::new(),
        timelines: Vec::new(),
        paused: false,
        overrides: Vec::new(),
        ..full.clone()
    };
    let elected = Cluster {
        name: "elected".parse().unwrap(),
        primary: Some(Reign { instance: instance("n2"), fork: None, open: false }),
        ..full.clone()
    };
    numbered.chain([bare, elected]).collect()
}

pub(crate) fn events() -> Vec<Event> {
    let event = |index, kind: &str| Event {
        index,
        at: WallMs(1_794_000_000_123),
        cluster: "orders".parse().unwrap(),
        epoch: Epoch(8),
        kind: kind.to_owned(),
        text: format!("{kind}: n1 → n2"),
    };
    vec![event(7, "failover-begun"), event(7, "sealed"), event(9, "elected")]
}

fn servers() -> Vec<Server> {
    let receiver = Receiver {
        upstream: Some(instance("n1")),
        streaming: true,
        timeline: TimelineId(7),
        flushed: Lsn(8),
        quiet_ms: 90,
    };
    let standby = |receiver| Server::Standby(Standby { system: SYSTEM, replayed: Lsn(7), receiver });
    let primary = Primary {
        system: SYSTEM,
        timeline: TimelineId(7),
        flushed: Lsn(9),
        senders: vec![Sender {
            instance: instance("n2"),
            incarnation: Incarnation(3),
            streaming: true,
            flushed: Lsn(8),
            replayed: Lsn(7),
            reply_age_ms: 12,
            behind_ms: 34,
        }],
        open: true,
        beat_age_ms: Some(0),
    };
    let all = vec![
        Server::NoData,
        Server::Stopped { system: SYSTEM, exit: Some("signal 9".to_owned()) },
        Server::Stopped { system: SYSTEM, exit: None },
        Server::Starting { system: SYSTEM },
        Server::Silent { for_ms: 4_000, why: None },
        standby(Some(receiver.clone())),
        standby(Some(Receiver { upstream: None, streaming: false, ..receiver })),
        standby(None),
        Server::Primary(primary.clone()),
        Server::Primary(Primary { senders: Vec::new(), open: false, beat_age_ms: None, ..primary }),
        Server::Silent { for_ms: 4_000, why: Some("no answer within 900 ms to: SELECT 1".to_owned()) },
    ];
    all.iter().for_each(|server| match server {
        Server::NoData
        | Server::Stopped { .. }
        | Server::Starting { .. }
        | Server::Silent { .. }
        | Server::Standby(_)
        | Server::Primary(_) => {}
    });
    all
}

fn unfit() -> Vec<Unfit> {
    let all = vec![
        Unfit::ParameterTooLow { name: "max_connections".to_owned() },
        Unfit::ReplayPaused,
        Unfit::DiskNearlyFull { free: 1 << 20 },
        Unfit::NotDurable { setting: "fsync".to_owned() },
    ];
    all.iter().for_each(|reason| match reason {
        Unfit::ParameterTooLow { .. }
        | Unfit::ReplayPaused
        | Unfit::DiskNearlyFull { .. }
        | Unfit::NotDurable { .. } => {}
    });
    all
}

fn found() -> Found {
    Found {
        system: SYSTEM,
        standby: true,
        running: None,
        end: Some((position(9), line())),
        highest: TimelineId(9),
        refused: None,
        notes: vec!["port = 5433 gives way to 5432".to_owned()],
        timeline: Some(TimelineId(9)),
    }
}

/// A full report for every kind of server, and one of somebody who knows nothing.
pub(crate) fn reports() -> Vec<Report> {
    let full = |server| Report {
        instance: instance("n2"),
        directory: DirectoryId("0b8e".to_owned()),
        obeyed: stamp(),
        incarnation: Incarnation(3),
        server,
        proofs: Proofs {
            created: Some((SYSTEM, position(1))),
            sealed: Some(seal()),
            promoted: Some(promotion()),
            promoted_line: Some(line()),
            opened: Some(Epoch(7)),
            rule: Some((Epoch(7), RuleNumber(4))),
            rebuilt: Some(Incarnation(3)),
            checkpoint: Some(Revision(41)),
            restarted: Some(Revision(42)),
            judged: Some((Revision(43), Some("work_mem: too much".to_owned()))),
            noted: vec!["role interrex was there".to_owned()],
        },
        needs: Some(Need {
            rebuild: Rebuild::Clone,
            incarnation: Incarnation(2),
            why: "48 kB past the fork".to_owned(),
        }),
        knock: Some(Knock { epoch: Epoch(7), answered: false, for_ms: 600 }),
        unfit: unfit(),
        pending_restart: vec!["shared_buffers".to_owned()],
        parameters: Some(0xfeed_beef_0000_0001),
        stale_coordinators: vec!["lacks n4=10.0.0.4:7400".to_owned()],
        doing: Some("clone: 40 %".to_owned()),
        lease_left_ms: Some(2_400),
        receipt: Some(receipt()),
        doubt: Some("it was rolled back".to_owned()),
        failing: Some(Failing { times: 3, clones: 1, lines: vec!["FATAL:  no".to_owned()] }),
        found: Some(found()),
        unseen: Some("cannot list /data: denied".to_owned()),
    };
    let running = Found {
        running: Some(123),
        end: None,
        refused: Some("there is no postgresql.conf in it".to_owned()),
        notes: Vec::new(),
        timeline: None,
        ..found()
    };
    let blank = Report {
        obeyed: Stamp::default(),
        proofs: Proofs::default(),
        needs: None,
        knock: None,
        unfit: Vec::new(),
        pending_restart: Vec::new(),
        parameters: None,
        stale_coordinators: Vec::new(),
        doing: None,
        lease_left_ms: None,
        receipt: None,
        doubt: None,
        failing: None,
        found: None,
        unseen: None,
        ..full(Server::NoData)
    };
    let other = Report { found: Some(running), ..full(Server::NoData) };
    servers().into_iter().map(full).chain([blank, other]).collect()
}

/// Every goal, with its options present and absent.
pub(crate) fn goals() -> Vec<StampedGoal> {
    let primary = PrimaryGoal {
        epoch: Epoch(8),
        sync: SyncSetting {
            rule: RuleNumber(4),
            k: 1,
            names: vec!["ixdeadbeef_n2_8_3".to_owned(), "ixdeadbeef_n3_8_1".to_owned()],
            instances: vec![instance("n2"), instance("n3")],
        },
        confirmed: true,
        line: Some(line()),
        slots: vec!["ix_n2".to_owned()],
        standbys: vec![(instance("n2"), Incarnation(3), "ixdeadbeef_n2_8_3".to_owned())],
        checkpoint: Some(Revision(41)),
        judge: Some((Revision(43), later_spec().parameters)),
        parameters: later_spec().parameters,
    };
    let standby = StandbyGoal {
        epoch: Epoch(8),
        upstream: instance("n1"),
        address: address(),
        name: "ixdeadbeef_n2_8_3".to_owned(),
        slot: "ix_n2".to_owned(),
        line: Some(line()),
        system: SYSTEM,
        rebuild: Some((Rebuild::Rewind, Incarnation(4))),
        incarnation: Incarnation(3),
        restart: Some(Revision(44)),
        discard_old: true,
        parameters: later_spec().parameters,
    };
    let all = vec![
        Goal::Await { why: "a primary".to_owned() },
        Goal::Bootstrap,
        Goal::Primary(primary.clone()),
        Goal::Primary(PrimaryGoal {
            confirmed: false,
            line: None,
            standbys: Vec::new(),
            checkpoint: None,
            judge: None,
            parameters: BTreeMap::new(),
            ..primary
        }),
        Goal::Standby(standby.clone()),
        Goal::Standby(StandbyGoal { line: None, rebuild: None, ..standby }),
        Goal::Sealed { epoch: Epoch(8), line: Some(line()), ended: Some(position(9)) },
        Goal::Sealed { epoch: Epoch(8), line: None, ended: None },
        Goal::Stopped { epoch: Epoch(8), line: Some(line()) },
        Goal::Adopt { incarnation: Incarnation(1), stop: false },
        Goal::Adopt { incarnation: Incarnation(2), stop: true },
    ];
    all.iter().for_each(|goal| match goal {
        Goal::Await { .. }
        | Goal::Bootstrap
        | Goal::Primary(_)
        | Goal::Standby(_)
        | Goal::Sealed { .. }
        | Goal::Adopt { .. }
        | Goal::Stopped { .. } => {}
    });
    all.into_iter().map(|goal| StampedGoal { stamp: stamp(), goal }).collect()
}

/// A full status, and one of a cluster that was just created.
pub(crate) fn statuses() -> Vec<ClusterStatus> {
    let problem = |severity| ProblemLine {
        code: "standby-away".to_owned(),
        severity: match severity {
            Severity::Warning | Severity::Critical => severity,
        },
        sentence: "standby n3 does not stream".to_owned(),
        evidence: vec!["n3: silent for 3.2 s".to_owned()],
    };
    let member = InstanceStatus {
        name: instance("n2"),
        machine: "host-2".parse().unwrap(),
        zone: "az-2".to_owned(),
        address: address(),
        role: "standby".to_owned(),
        server: "streaming".to_owned(),
        priority: Some(1),
        timeline: Some(TimelineId(7)),
        lsn: Some(Lsn(8)),
        lag_bytes: Some(0),
        lag_ms: Some(0),
        in_sync_set: true,
        incarnation: Incarnation(3),
        report_age_ms: Some(0),
        lease_left_ms: Some(2_400),
        doing: Some("clone: 40 %".to_owned()),
        pending_restart: vec!["shared_buffers".to_owned()],
        parameters_read: true,
    };
    let unknown = InstanceStatus {
        priority: None,
        timeline: None,
        lsn: None,
        lag_bytes: None,
        lag_ms: None,
        report_age_ms: None,
        lease_left_ms: None,
        doing: None,
        ..member.clone()
    };
    let full = ClusterStatus {
        name: "orders".parse().unwrap(),
        id: ClusterId(1),
        spec: Spec::default(),
        system: Some(SYSTEM),
        epoch: Epoch(8),
        revision: Revision(41),
        operation: "steady".to_owned(),
        primary: Some(instance("n1")),
        open: true,
        rule: "1 of n2, n3".to_owned(),
        rules: vec!["1 of n2, n3".to_owned()],
        instances: vec![member, unknown],
        problems: vec![problem(Severity::Critical), problem(Severity::Warning)],
        waits: vec!["waits for the rebuild of n3".to_owned()],
        paused: true,
    };
    let bare = ClusterStatus {
        system: None,
        primary: None,
        open: false,
        rules: Vec::new(),
        instances: Vec::new(),
        problems: Vec::new(),
        waits: Vec::new(),
        paused: false,
        ..full.clone()
    };
    vec![full, bare]
}
