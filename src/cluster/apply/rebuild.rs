//! Copies that are given up and made anew. Between the grant and `MarkWhole` the instance counts for nothing.

use super::{Done, Rejected};
use crate::ids::{Epoch, Incarnation, InstanceName};
use crate::mutants::{self, Mutant};
use crate::receipt::{KEPT, Kept, Receipt};
use crate::record::{Asked, Cluster, Copy};
use crate::report::Rebuild;
use crate::time::WallMs;
use crate::wal::Position;

pub(super) fn grant(
    cluster: &mut Cluster,
    instance: &InstanceName,
    incarnation: Incarnation,
    how: Rebuild,
    until: Position,
) -> Done {
    let Some(reign) = cluster.primary.as_ref().filter(|reign| reign.fork.is_some()) else {
        return Rejected::because("there is no confirmed primary to rebuild from");
    };
    if reign.instance == *instance {
        return Rejected::because(format!("{instance} is the primary"));
    }
    // The reign that it was decided in stands in `until`. A copy that could not follow an older primary may well
    // follow this one, and an older `until` would be reached by anything.
    if until.timeline.0 != cluster.epoch.0 {
        return Rejected::because(format!(
            "the rebuild of {instance} was granted in epoch {}, this is epoch {}",
            until.timeline, cluster.epoch
        ));
    }
    let source_whole =
        cluster.instances.get(&reign.instance).is_some_and(|source| source.copy == Copy::Whole);
    if !source_whole {
        return Rejected::because("the last whole copy is never touched");
    }
    // An older rule may list it still; the primary, live and whole, holds all that was acknowledged under that.
    if cluster.sync.standbys.contains(instance) {
        return Rejected::because(format!("{instance} still acknowledges commits; it leaves the rule first"));
    }
    let Some(member) = cluster.instances.get_mut(instance) else {
        return Rejected::because(format!("{instance} is not a member"));
    };
    if member.incarnation != incarnation {
        return Rejected::because(format!("{instance} is incarnation {} by now", member.incarnation));
    }
    // The first clone of a new member fills the incarnation that it registered with.
    if member.copy != Copy::Empty {
        member.incarnation = member.incarnation.next();
    }
    member.copy = Copy::Rebuilding { how, until, done: false };
    member.held = None;
    cluster.revision = cluster.revision.next();
    let (kind, verb) = match how {
        Rebuild::Rewind => ("rewinding", "rewound"),
        Rebuild::Clone => ("cloning", "cloned"),
    };
    Ok(vec![(kind, format!("{instance} is being {verb} from {}", reign.instance))])
}

pub(super) fn record_receipt(
    cluster: &mut Cluster,
    instance: &InstanceName,
    receipt: &Receipt,
    at: WallMs,
) -> Done {
    let Some(member) = cluster.instances.get(instance) else {
        return Rejected::because(format!("{instance} is not a member"));
    };
    if cluster.knows(instance, receipt) {
        return Ok(Vec::new());
    }
    let text = format!(
        "the copy of {instance} that was given up held what nobody else has: {receipt}; kept on machine {} in {}",
        member.machine, receipt.kept
    );
    cluster.receipts.push(Kept { instance: instance.clone(), at, receipt: receipt.clone() });
    let surplus = cluster.receipts.len().saturating_sub(KEPT);
    cluster.receipts.drain(..surplus);
    Ok(vec![("receipt", text)])
}

pub(super) fn end(cluster: &mut Cluster, instance: &InstanceName, incarnation: Incarnation) -> Done {
    let Some(member) = cluster.instances.get_mut(instance).filter(|m| m.incarnation == incarnation) else {
        return Rejected::because(format!("{instance} has no rebuild of incarnation {incarnation}"));
    };
    match &mut member.copy {
        Copy::Rebuilding { done, .. } if !*done => {
            *done = true;
            if matches!(member.asked, Some(Asked::Reinit { .. })) {
                member.asked = None;
            }
        }
        _ => return Ok(Vec::new()),
    }
    if mutants::on(Mutant::CloneCounts) {
        member.copy = Copy::Whole;
    }
    cluster.revision = cluster.revision.next();
    Ok(vec![("rebuilt", format!("the copy on {instance} is made; it catches up"))])
}

pub(super) fn mark_whole(
    cluster: &mut Cluster,
    instance: &InstanceName,
    incarnation: Incarnation,
    epoch: Epoch,
) -> Done {
    if epoch != cluster.epoch {
        return Rejected::because(format!("epoch {epoch} is not the current one, {}", cluster.epoch));
    }
    let Some(member) = cluster.instances.get_mut(instance).filter(|m| m.incarnation == incarnation) else {
        return Rejected::because(format!("{instance} is not incarnation {incarnation}"));
    };
    match member.copy {
        Copy::Rebuilding { done: true, .. } => member.copy = Copy::Whole,
        Copy::Whole => return Ok(Vec::new()),
        _ => return Rejected::because(format!("the rebuild of {instance} is not finished")),
    }
    Ok(vec![("whole", format!("the copy on {instance} is whole and counts"))])
}
