//! `set`, `pause` and what is asked of single instances: judged here as far as that can be, and recorded. Where PostgreSQL has its
//! word, events tell it.

use super::admin::{look, no_instance};
use crate::core::Core;
use interrex_api::admin::{SetSpecReply, SetSpecRequest};
use interrex_api::refused::Refused;
use interrex_cluster::command::{Asking, Command};
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName};
use interrex_cluster::memory::able_to_acknowledge;
use interrex_cluster::operation::switchover;
use interrex_cluster::record::Operation;
use interrex_cluster::reinit;

/// Changes what is wanted, whole or not at all.
pub(crate) async fn set(core: &Core, request: SetSpecRequest) -> Result<SetSpecReply, Refused> {
    let name = &request.name;
    let seen = look(core, name)?;
    let before = seen.record.spec.clone();
    let mut spec = before.clone();
    if request.changes.is_empty() {
        return Err(Refused::Invalid("nothing is to be set: name at least one key=value".to_owned()));
    }
    spec.change(&request.changes).map_err(Refused::Invalid)?;
    spec.check(seen.record.instances.len()).map_err(Refused::Invalid)?;
    let changes = spec.changes_since(&before);
    if changes.is_empty() {
        return Ok(SetSpecReply { changed: changes, proposed: false });
    }
    // Its checkpoint may take minutes, and nothing else is asked of the primary meanwhile.
    if spec.parameters != before.parameters
        && let Operation::Switchover(under_way) = &seen.record.operation
    {
        return Err(Refused::Rejected(format!(
            "a switchover to {} is under way; set PostgreSQL's parameters when it is over, which is told by: interrex show \
             {name}",
            under_way.to
        )));
    }
    core.propose(name, Command::SetSpec { before, spec: spec.clone() }).await?;
    // In force by now: nobody had to judge it, or did already.
    let proposed = look(core, name)?.record.spec != spec;
    Ok(SetSpecReply { changed: changes, proposed })
}

/// Asks something of one instance. The primary is restarted by way of a new epoch.
pub(crate) async fn ask(
    core: &Core,
    name: &ClusterName,
    instance: InstanceName,
    what: Asking,
) -> Result<Option<Epoch>, Refused> {
    let seen = look(core, name)?;
    if !seen.record.instances.contains_key(&instance) {
        return Err(no_instance(name, &instance));
    }
    let is_primary = seen.record.primary.as_ref().is_some_and(|reign| reign.instance == instance);
    if is_primary && what == Asking::Restart {
        let obstacles = switchover::preview_restart(&seen.view()).obstacles;
        if !obstacles.is_empty() {
            return Err(Refused::Rejected(obstacles.join("; ")));
        }
        let epoch = seen.record.epoch;
        core.propose(name, Command::BeginSwitchover { epoch, to: instance }).await?;
        return Ok(Some(epoch.next()));
    }
    if is_primary && what != Asking::Nothing {
        return Err(Refused::Rejected(format!(
            "{instance} is the primary; first: interrex switchover {name}"
        )));
    }
    // Writes that wait already do not wait because of the new copy.
    if matches!(what, Asking::Reinit { .. })
        && able_to_acknowledge(&seen.view(), &instance)
        && let Some(why) = reinit::objection(&seen.record, &instance)
    {
        return Err(Refused::Rejected(why));
    }
    core.propose(name, Command::Ask { instance, what }).await?;
    Ok(None)
}

/// Paused or not; false when it was so already.
pub(crate) async fn set_paused(core: &Core, name: &ClusterName, paused: bool) -> Result<bool, Refused> {
    if look(core, name)?.record.paused == paused {
        return Ok(false);
    }
    core.propose(name, Command::SetPaused { paused }).await?;
    Ok(true)
}
