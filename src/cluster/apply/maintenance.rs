//! What an operator asks: a restart, a new copy, the removal of an instance; and that nothing automatic is to begin.
//! Each is recorded first and done by the rules as soon as it is lawful; what cannot become lawful is refused at once.

use super::{Done, Rejected};
use crate::command::Asking;
use crate::ids::{Epoch, InstanceName, Revision};
use crate::record::{Asked, Cluster, Copy, Operation, Removed};
use crate::reinit;

/// Paused or not. What an operation has begun goes on either way.
pub(super) fn set_paused(cluster: &mut Cluster, paused: bool) -> Done {
    if cluster.paused == paused {
        return Ok(Vec::new());
    }
    cluster.paused = paused;
    Ok(vec![match paused {
        true => ("paused", "no failover and no rebuild begins by itself from now on".to_owned()),
        false => ("resumed", "failovers and rebuilds begin by themselves again".to_owned()),
    }])
}

/// Recorded. While one question stands another is refused, or whoever waits for the first would wait for ever.
pub(super) fn ask(cluster: &mut Cluster, instance: &InstanceName, what: Asking) -> Done {
    let is_primary = cluster.primary.as_ref().is_some_and(|reign| reign.instance == *instance);
    let number = cluster.revision.next();
    let Some(member) = cluster.instances.get(instance) else {
        return Rejected::because(format!("{instance} is not an instance of cluster {}", cluster.name));
    };
    if what != Asking::Nothing && is_primary {
        return Rejected::because(format!("{instance} is the primary; another one has to be primary first"));
    }
    let asked = match what {
        Asking::Restart => Some(Asked::Restart { number }),
        Asking::Reinit { discard_old } => {
            another_whole_copy(cluster, instance)?;
            Some(Asked::Reinit { discard_old })
        }
        Asking::Leave => {
            another_whole_copy(cluster, instance).map_err(|why| whoever_is_gone(cluster, instance, why))?;
            room_to_leave(cluster, instance)?;
            Some(Asked::Leave)
        }
        Asking::Nothing => None,
    };
    if member.asked == asked {
        return Ok(Vec::new());
    }
    let standing = match (&member.asked, &asked) {
        (None, _) | (_, None) | (Some(Asked::Restart { .. }), Some(Asked::Restart { .. })) => None,
        (Some(Asked::Restart { .. }), Some(_)) => Some("to be restarted"),
        (Some(Asked::Reinit { .. }), Some(_)) => Some("to be cloned anew"),
        (Some(Asked::Leave), Some(_)) => Some("to leave"),
    };
    if let Some(standing) = standing {
        return Rejected::because(format!(
            "{instance} is {standing} already; wait for it, or take it back with: interrex instance keep {} {instance}",
            cluster.name
        ));
    }
    let told = match &asked {
        Some(Asked::Restart { .. }) => ("restart-asked", format!("{instance} is to be restarted")),
        Some(Asked::Reinit { .. }) => {
            let cost = reinit::cost(cluster, instance);
            let cost = cost.map_or(String::new(), |cost| format!("; {cost}"));
            ("reinit-asked", format!("{instance} is to be cloned anew{cost}"))
        }
        Some(Asked::Leave) => ("removal-asked", format!("{instance} is to leave the cluster")),
        None => ("taken-back", format!("nothing is asked of {instance} any more")),
    };
    if let Some(member) = cluster.instances.get_mut(instance) {
        member.asked = asked;
    }
    cluster.revision = number;
    Ok(vec![told])
}

/// The last whole copy is never given up; only an open primary proves that there is another one.
fn another_whole_copy(cluster: &Cluster, instance: &InstanceName) -> Result<(), Rejected> {
    let open = cluster.primary.as_ref().filter(|reign| reign.open);
    let source = open.and_then(|reign| cluster.instances.get(&reign.instance));
    if source.is_some_and(|source| source.copy == Copy::Whole) {
        return Ok(());
    }
    Rejected::because(format!(
        "no primary takes writes at the moment: the copy on {instance} might be the last whole one; ask again once one does: \
         interrex explain {}",
        cluster.name
    ))
}

/// The way out where nobody is elected because of whom the operator wants to remove: giving up what it holds is an
/// override, and there is one command for that, which names what may be lost (PROTOCOL.md clauses 9 and 17).
fn whoever_is_gone(cluster: &Cluster, instance: &InstanceName, why: Rejected) -> Rejected {
    let name = &cluster.name;
    match (&cluster.primary, &cluster.operation) {
        (None, Operation::Failover(_)) => Rejected(format!(
            "{why}; if {instance} is gone for good and nobody is elected without it, what going on without it may lose is \
             told by: interrex failover {name} --accept-loss --fenced {instance} --dry-run"
        )),
        _ => why,
    }
}

/// Those who stay have to be able to acknowledge as is wanted.
fn room_to_leave(cluster: &Cluster, instance: &InstanceName) -> Result<(), Rejected> {
    let stays = |(name, member): &(&InstanceName, &crate::record::Instance)| {
        *name != instance && member.asked != Some(Asked::Leave)
    };
    let stay = cluster.instances.iter().filter(stays).count();
    let standbys = u32::try_from(stay).unwrap_or(u32::MAX).saturating_sub(1);
    if cluster.spec.acks > standbys {
        return Rejected::because(format!(
            "without {instance} there are {standbys} standbys, and acks = {}; first: interrex set {} acks={standbys}",
            cluster.spec.acks, cluster.name
        ));
    }
    Ok(())
}

pub(super) fn end_restart(cluster: &mut Cluster, instance: &InstanceName, number: Revision) -> Done {
    let asked = Some(Asked::Restart { number });
    let Some(member) = cluster.instances.get_mut(instance).filter(|member| member.asked == asked) else {
        return Rejected::because(format!("no restart {number} was asked of {instance}"));
    };
    member.asked = None;
    cluster.revision = cluster.revision.next();
    Ok(vec![("restarted", format!("{instance} was restarted"))])
}

/// Out of the record. Its slot and its name go with the next goals.
pub(super) fn remove(cluster: &mut Cluster, instance: &InstanceName, epoch: Epoch) -> Done {
    if epoch != cluster.epoch {
        return Rejected::because(format!("epoch {epoch} is not the current one, {}", cluster.epoch));
    }
    let Some(member) = cluster.instances.get(instance).filter(|m| m.asked == Some(Asked::Leave)) else {
        return Rejected::because(format!("{instance} was not asked to leave"));
    };
    let listed = cluster.rules.iter().any(|rule| rule.standbys.contains(instance));
    if listed || cluster.in_sync_set(instance) || !cluster.sync.proved {
        return Rejected::because(format!(
            "{instance} may still have to acknowledge; it leaves the rule first"
        ));
    }
    if cluster.proposed.is_some() {
        return Rejected::because("what is wanted of the cluster is being changed; in a moment");
    }
    room_to_leave(cluster, instance)?;
    let primary = cluster.primary.as_ref().filter(|reign| reign.open).map(|reign| &reign.instance);
    if primary.is_none_or(|primary| primary == instance) {
        return Rejected::because("no other instance takes writes");
    }
    let removed = Removed { directory: member.directory.clone(), incarnation: member.incarnation };
    cluster.instances.remove(instance);
    cluster.removed.insert(instance.clone(), removed);
    cluster.spec.instances = cluster.spec.instances.saturating_sub(1).max(1);
    cluster.revision = cluster.revision.next();
    Ok(vec![("removed", format!("{instance} left the cluster; its data directory is left as it is"))])
}
