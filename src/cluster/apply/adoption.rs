//! An existing PostgreSQL is taken in: wished for, its servers stopped, and then, in one entry, elected. From there on it
//! is a primary like any other: it starts as a standby of nobody and is promoted, onto a timeline that bears the first
//! epoch's number (docs/decisions/2026-11-22-adopt.md).

use super::membership::elect_the_first;
use super::{Done, Rejected};
use crate::command::{Adopted, Adopting};
use crate::ids::{Epoch, InstanceName};
use crate::mutants::{self, Mutant};
use crate::record::{Adoption, Cluster, Copy, Failover, Fork, Operation, PhaseTimes};
use crate::report::{Promotion, Rebuild, Seal};
use crate::spec::Spec;
use crate::time::WallMs;
use crate::wal::{History, Lsn, TimelineId};
use std::collections::{BTreeMap, BTreeSet};

/// `create --adopt` of a cluster that exists: lawful as long as it has no data, so that whoever forgot `--adopt` or
/// `--take-over` says it again. What was permitted is not taken back: a server may have been stopped for it.
pub(super) fn wish(cluster: &mut Cluster, spec: &Spec, wanted: Adopting) -> Done {
    let before = match &cluster.operation {
        Operation::Gather => None,
        Operation::Adopt(adoption) => Some(adoption.clone()),
        _ => return Rejected::because(format!("cluster {} exists already", cluster.name)),
    };
    if cluster.spec != *spec {
        let changes = spec.changes_since(&cluster.spec).join(" ");
        return Rejected::because(format!(
            "cluster {} exists already and is wanted otherwise ({changes}); say it with: interrex set {}",
            cluster.name, cluster.name
        ));
    }
    let adoption = before.clone().unwrap_or_default();
    let adoption = Adoption { take_over: adoption.take_over || wanted.take_over, ..adoption };
    if before.as_ref() == Some(&adoption) {
        return Ok(Vec::new());
    }
    let how = if adoption.take_over { "; a server that runs is stopped for it" } else { "" };
    cluster.operation = Operation::Adopt(adoption);
    cluster.revision = cluster.revision.next();
    Ok(vec![("adoption-wanted", format!("an existing PostgreSQL is to be taken in{how}"))])
}

/// Permitted by the operator, and decided once everything else fits.
pub(super) fn take_over(cluster: &mut Cluster, instance: &InstanceName) -> Done {
    let Operation::Adopt(adoption) = &mut cluster.operation else {
        return Rejected::because("nothing is being adopted");
    };
    if !adoption.take_over {
        return Rejected::because("servers that run are not to be stopped");
    }
    if !cluster.instances.contains_key(instance) {
        return Rejected::because(format!("{instance} is not registered"));
    }
    if !adoption.stop.insert(instance.clone()) {
        return Ok(Vec::new());
    }
    cluster.revision = cluster.revision.next();
    Ok(vec![("taking-over", format!("the PostgreSQL that runs on {instance} is stopped, to be adopted"))])
}

/// The directory of the primary is elected, as [`super::membership::end_bootstrap`] does with one that was just made.
pub(super) fn adopt(cluster: &mut Cluster, adopted: &Adopted, at: WallMs) -> Done {
    let Adopted { epoch, instance, system, position, line, copies, notes } = adopted;
    if !matches!(cluster.operation, Operation::Adopt(_)) || cluster.system.is_some() {
        return Rejected::because("nothing is being adopted");
    }
    if let Some(stranger) =
        copies.iter().chain([instance]).find(|name| !cluster.instances.contains_key(*name))
    {
        return Rejected::because(format!("{stranger} is not registered"));
    }
    if copies.contains(instance) {
        return Rejected::because(format!("{instance} cannot be primary and standby"));
    }
    if line.timeline != position.timeline || epoch.0 <= line.timeline.0.max(1) {
        return Rejected::because(format!("epoch {epoch} does not lie above {position}"));
    }
    // Above every place that a copy can be at: what it needs is told when the promotion is recorded.
    let until = crate::wal::Position { timeline: TimelineId(epoch.0), lsn: position.lsn };
    for (name, member) in &mut cluster.instances {
        if name == instance {
            (member.copy, member.held) = (Copy::Whole, Some(*position));
        } else if copies.contains(name) {
            let counts = mutants::on(Mutant::AdoptedCounts);
            let follows = Copy::Rebuilding { how: Rebuild::Rewind, until, done: true };
            member.copy = if counts { Copy::Whole } else { follows };
        }
    }
    cluster.system = Some(*system);
    cluster.timelines = forks(instance, line);
    let k = first_acks(cluster, copies);
    elect_the_first(cluster, instance, *epoch, k, begun(adopted, at));
    let others: Vec<InstanceName> = copies.iter().cloned().collect();
    let mut told = vec![(
        "adopted",
        format!(
            "the data directory of {instance} is the cluster's: system identifier {system}, {position}; copies on: {}",
            crate::problem::list(&others)
        ),
    )];
    told.extend(notes.iter().map(|note| ("adoption-note", note.clone())));
    told.push(("elected", format!("{instance} is elected primary of epoch {epoch}")));
    Ok(told)
}

/// It was stopped, and its end read after that: the seal of the only copy that counts. A promotion that ends below it
/// is never confirmed.
fn begun(adopted: &Adopted, at: WallMs) -> Failover {
    let fork = Promotion::of(&adopted.line);
    let seal = Seal { epoch: adopted.epoch, position: adopted.position, stopped: true, fork };
    Failover {
        seals: BTreeMap::from([(adopted.instance.clone(), seal)]),
        times: PhaseTimes { begun: at, sealed: at, elected: at, promoted: WallMs::default() },
        ..Failover::begun(None, "an existing PostgreSQL is taken in")
    }
}

/// Copies that are there will follow within moments. Where there are none, clients would be kept out for as long as the
/// first clone takes, of data that were unprotected before: a cluster that rather goes on than waits does so here, too.
fn first_acks(cluster: &Cluster, copies: &BTreeSet<InstanceName>) -> u32 {
    match copies.is_empty() && cluster.spec.may_be_asynchronous() {
        true => 0,
        false => cluster.spec.acks,
    }
}

/// The timelines of a history, each with the place where it branched off.
fn forks(instance: &InstanceName, line: &History) -> Vec<Fork> {
    let mut parent = (TimelineId(0), Lsn(0));
    let mut forks = Vec::new();
    let own = line.ancestors.iter().map(|ancestor| (ancestor.timeline, ancestor.end));
    for (timeline, end) in own.chain([(line.timeline, Lsn(0))]) {
        let epoch = Epoch(timeline.0);
        forks.push(Fork { epoch, instance: instance.clone(), parent: parent.0, begin: parent.1 });
        parent = (timeline, end);
    }
    forks
}
