//! A planned change of primary, entry by entry: prepared under the old primary, handed over in the next epoch, and
//! abandoned where it does not go as planned. Seals, election and opening are those of every change of primary.

use super::failover::end_reign;
use super::{Done, Rejected};
use crate::ids::{Epoch, InstanceName};
use crate::record::{Cluster, Copy, HandOver, Operation, Switchover};
use crate::time::WallMs;

/// The primary serves on and makes a checkpoint.
pub(super) fn begin(cluster: &mut Cluster, epoch: Epoch, to: &InstanceName) -> Done {
    if epoch != cluster.epoch {
        return Rejected::because(format!("epoch {epoch} is not the current one, {}", cluster.epoch));
    }
    if cluster.paused {
        return Rejected::because(format!("cluster {} is paused", cluster.name));
    }
    let reign = match (&cluster.operation, &cluster.primary) {
        (Operation::None, Some(reign)) if reign.open => reign,
        (Operation::Switchover(under_way), _) => {
            return Rejected::because(format!("a switchover to {} is under way", under_way.to));
        }
        _ => return Rejected::because("no primary takes writes at the moment, or something is under way"),
    };
    match cluster.instances.get(to) {
        None => return Rejected::because(format!("{to} is not an instance of cluster {}", cluster.name)),
        Some(member) if member.copy != Copy::Whole => {
            return Rejected::because(format!("the copy on {to} is not whole"));
        }
        Some(_) => {}
    }
    let (from, revision) = (reign.instance.clone(), cluster.revision.next());
    cluster.operation = Operation::Switchover(Switchover { to: to.clone(), checkpoint: revision });
    cluster.revision = revision;
    let what =
        if from == *to { format!("a restart of {to}") } else { format!("a switchover from {from} to {to}") };
    Ok(vec![("switchover-begun", format!("{what} is prepared: {from} makes a checkpoint and serves on"))])
}

/// The old primary is to stop; the others receive from it until it has.
pub(super) fn hand_over(cluster: &mut Cluster, epoch: Epoch, to: &InstanceName, at: WallMs) -> Done {
    match &cluster.operation {
        Operation::Switchover(under_way) if under_way.to == *to => {}
        _ => return Rejected::because(format!("no switchover to {to} is being prepared")),
    }
    let ends = cluster.epoch;
    let reason = format!("switchover to {to}");
    let from = end_reign(cluster, epoch, &reason, Some(to), at)?;
    if let Operation::Failover(failover) = &mut cluster.operation {
        failover.hand_over = Some(HandOver { to: to.clone(), epoch: ends });
    }
    Ok(vec![("handing-over", format!("{from} hands over to {to}: it stops, and epoch {epoch} begins"))])
}

/// Back to what was before, or on as an ordinary failover.
pub(super) fn abandon(cluster: &mut Cluster, epoch: Epoch, why: &str) -> Done {
    if epoch != cluster.epoch {
        return Rejected::because(format!("epoch {epoch} is not the current one, {}", cluster.epoch));
    }
    let handed_over = cluster.handed_over_at().is_some();
    let told = match &mut cluster.operation {
        Operation::Switchover(under_way) => {
            let told = format!("the switchover to {} is given up, the primary stays: {why}", under_way.to);
            cluster.operation = Operation::None;
            told
        }
        Operation::Failover(failover) if cluster.primary.is_none() && !handed_over => {
            match failover.hand_over.take() {
                Some(hand_over) => {
                    format!("the switchover to {} goes on as a failover: {why}", hand_over.to)
                }
                None => return Rejected::because("no switchover is under way"),
            }
        }
        _ => return Rejected::because("no switchover is under way that could be given up"),
    };
    cluster.revision = cluster.revision.next();
    Ok(vec![("switchover-abandoned", told)])
}

/// Why somebody else was elected than the switchover was to.
pub(super) fn missed(cluster: &Cluster, elected: &InstanceName) -> Option<String> {
    let Operation::Failover(failover) = &cluster.operation else { return None };
    let to = &failover.hand_over.as_ref()?.to;
    if to == elected {
        return None;
    }
    let end = cluster.handed_over_at()?;
    let why = match failover.seals.get(to) {
        None => "it was not sealed in time".to_owned(),
        Some(seal) if seal.position < end => {
            format!("it holds {} and the old primary ended at {end}", seal.position)
        }
        Some(_) => "it may not be promoted as it is".to_owned(),
    };
    Some(format!("{elected} is primary instead of {to}: {why}"))
}
