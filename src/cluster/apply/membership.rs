//! How a cluster and its instances come to be: create, register, bootstrap.

use super::{Done, Rejected};
use crate::command::{Adopting, Registration};
use crate::ids::{ClusterId, ClusterName, Epoch, Incarnation, InstanceName, Revision, RuleNumber, SystemId};
use crate::record::{
    Adoption, Cluster, CommitRule, Copy, Failover, Fork, Instance, Operation, Reign, Secrets, SyncTarget,
};
use crate::spec::Spec;
use crate::wal::{Lsn, Position, TimelineId};
use std::collections::{BTreeMap, BTreeSet};

/// A new cluster, with no instance yet.
pub(super) fn create(
    name: &ClusterName,
    id: ClusterId,
    spec: &Spec,
    secrets: &Secrets,
    adopt: Option<Adopting>,
) -> Result<Cluster, Rejected> {
    spec.check(0).map_err(Rejected)?;
    let adoption = |adopt: Adopting| Adoption { take_over: adopt.take_over, ..Adoption::default() };
    Ok(Cluster {
        name: name.clone(),
        id,
        spec: spec.clone(),
        proposed: None,
        secrets: secrets.clone(),
        system: None,
        epoch: Epoch(0),
        revision: Revision(1),
        primary: None,
        operation: adopt.map_or(Operation::Gather, |adopt| Operation::Adopt(adoption(adopt))),
        rules: Vec::new(),
        sync: SyncTarget::default(),
        instances: BTreeMap::new(),
        timelines: Vec::new(),
        paused: false,
        overrides: Vec::new(),
        receipts: Vec::new(),
        removed: BTreeMap::new(),
    })
}

pub(super) fn register(cluster: &mut Cluster, new: &Registration) -> Done {
    refuse_foreign_data(cluster, new)?;
    if cluster.removed.get(&new.instance).is_some_and(|removed| removed.directory == new.directory) {
        return Rejected::because(format!(
            "key 'data_dir': {} was removed from cluster {}; to bring it in anew: interrex set {} instances={}, and start its node with \
             another data_dir (one that is emptied loses the log of a coordinator in it, too); to leave it out for good: take its \
             [[instance]] out of the node file",
            new.instance,
            cluster.name,
            cluster.name,
            cluster.instances.len() + 1
        ));
    }
    match cluster.instances.get(&new.instance) {
        None => add(cluster, new),
        Some(known) if known.directory == new.directory => update(cluster, new),
        Some(known) if new.replaces.as_ref() == Some(&known.directory) => take_over(cluster, new),
        Some(known) => Rejected::because(format!(
            "key 'name': the name {} belongs to another data directory (on machine {}, {}); write another 'name' for one of the \
             two; or stop the other: a new one may take the name over once that has been silent for three leases",
            new.instance, known.machine, known.address
        )),
    }
}

fn refuse_foreign_data(cluster: &Cluster, new: &Registration) -> Result<(), Rejected> {
    match (cluster.system, new.system) {
        (Some(ours), Some(theirs)) if ours != theirs => Rejected::because(format!(
            "key 'instance.pgdata': the data directory of {} belongs to another PostgreSQL cluster: its system identifier is {theirs}, \
             that of {} is {ours}; move it away to let {} clone",
            new.instance, cluster.name, new.instance
        )),
        // Whether what is there fits together is judged once all have said what they hold.
        (None, Some(_)) if matches!(cluster.operation, Operation::Adopt(_)) => Ok(()),
        (None, Some(theirs)) => Rejected::because(format!(
            "key 'instance.pgdata': {} has data already (system identifier {theirs}) and cluster {} is new; take it in with: interrex create {} \
             --instances {} --adopt; or move the directory away to begin with an empty one",
            new.instance, cluster.name, cluster.name, cluster.spec.instances
        )),
        _ => Ok(()),
    }
}

fn add(cluster: &mut Cluster, new: &Registration) -> Done {
    let count = u32::try_from(cluster.instances.len()).unwrap_or(u32::MAX);
    if count >= cluster.spec.instances {
        return Rejected::because(format!(
            "key 'instance.cluster': cluster {} has its {} instances already; raise 'instances' or remove one first",
            cluster.name, cluster.spec.instances
        ));
    }
    let before = cluster.removed.remove(&new.instance).map(|removed| removed.incarnation);
    let incarnation = before.unwrap_or_default().next();
    cluster.instances.insert(new.instance.clone(), member(new, incarnation));
    cluster.revision = cluster.revision.next();
    Ok(vec![("registered", format!("{} on machine {} joined, {}", new.instance, new.machine, new.address))])
}

fn member(new: &Registration, incarnation: Incarnation) -> Instance {
    Instance {
        machine: new.machine.clone(),
        zone: new.zone.clone(),
        directory: new.directory.clone(),
        address: new.address.clone(),
        priority: new.priority,
        major: new.major,
        incarnation,
        copy: Copy::Empty,
        held: None,
        asked: None,
    }
}

fn update(cluster: &mut Cluster, new: &Registration) -> Done {
    let Some(known) = cluster.instances.get_mut(&new.instance) else { return Ok(Vec::new()) };
    let updated = Instance {
        copy: known.copy.clone(),
        held: known.held,
        asked: known.asked.clone(),
        ..member(new, known.incarnation)
    };
    if *known == updated {
        return Ok(Vec::new());
    }
    let moved = known.address != updated.address;
    *known = updated;
    if moved {
        cluster.revision = cluster.revision.next();
        return Ok(vec![("moved", format!("{} listens on {} now", new.instance, new.address))]);
    }
    Ok(Vec::new())
}

/// A new directory under a known name begins with nothing: what the old one held, proved or was granted is void.
fn take_over(cluster: &mut Cluster, new: &Registration) -> Done {
    let before = cluster.instances.get(&new.instance).map(|i| i.incarnation).unwrap_or_default();
    cluster.instances.insert(new.instance.clone(), member(new, before.next()));
    if let Operation::Failover(failover) = &mut cluster.operation {
        // What it held when it was sealed is still true, and still counts for the others (PROTOCOL.md clause 14); the
        // new directory itself holds nothing and is elected for nothing.
        failover.astray.insert(new.instance.clone());
    }
    cluster.revision = cluster.revision.next();
    Ok(vec![(
        "replaced",
        format!("{} came back with a new data directory and begins with nothing", new.instance),
    )])
}

pub(super) fn begin_bootstrap(cluster: &mut Cluster, on: &InstanceName) -> Done {
    let may_begin = match &cluster.operation {
        Operation::Gather => true,
        Operation::Bootstrap { on: before } => before != on,
        Operation::None | Operation::Failover(_) | Operation::Switchover(_) | Operation::Adopt(_) => false,
    };
    if !may_begin || cluster.system.is_some() {
        return Rejected::because("the first copy was begun before");
    }
    if !cluster.instances.contains_key(on) {
        return Rejected::because(format!("{on} is not registered"));
    }
    cluster.operation = Operation::Bootstrap { on: on.clone() };
    cluster.revision = cluster.revision.next();
    Ok(vec![("bootstrap", format!("{on} creates the first copy"))])
}

/// The first copy exists. It is elected for epoch 2 like any other winner: a server becomes primary by promotion only.
pub(super) fn end_bootstrap(
    cluster: &mut Cluster,
    instance: &InstanceName,
    system: SystemId,
    position: Position,
) -> Done {
    if cluster.operation != (Operation::Bootstrap { on: instance.clone() }) || cluster.system.is_some() {
        return Rejected::because(format!("{instance} was not asked to create the first copy"));
    }
    if position.timeline != TimelineId(1) {
        return Rejected::because(format!("{instance} should be on timeline 1, got {position}"));
    }
    let Some(member) = cluster.instances.get_mut(instance) else {
        return Rejected::because(format!("{instance} is not a member"));
    };
    member.copy = Copy::Whole;
    member.held = Some(position);
    cluster.system = Some(system);
    cluster.timelines =
        vec![Fork { epoch: Epoch(1), instance: instance.clone(), parent: TimelineId(0), begin: Lsn(0) }];
    elect_the_first(
        cluster,
        instance,
        Epoch(2),
        cluster.spec.acks,
        Failover::begun(None, "the cluster is new"),
    );
    Ok(vec![
        ("bootstrapped", format!("{instance} created the first copy, system identifier {system}")),
        ("elected", format!("{instance} is elected primary of epoch 2")),
    ])
}

/// The first reign of a cluster begins: `k` standbys are to acknowledge, and there is none yet.
pub(super) fn elect_the_first(
    cluster: &mut Cluster,
    instance: &InstanceName,
    epoch: Epoch,
    k: u32,
    failover: Failover,
) {
    let number = RuleNumber(1);
    cluster.epoch = epoch;
    cluster.rules = vec![CommitRule {
        number,
        epoch,
        primary: instance.clone(),
        k,
        standbys: BTreeSet::new(),
        covered_at: None,
    }];
    cluster.sync = SyncTarget { number, k, standbys: BTreeSet::new(), proved: false };
    cluster.primary = Some(Reign { instance: instance.clone(), fork: None, open: false });
    cluster.operation = Operation::Failover(failover);
    cluster.revision = cluster.revision.next();
}
