//! `switchover`: what it would do, why it would not, and its begin. How it goes on is decided by the rules
//! and told by events.

use super::admin::{look, no_instance};
use crate::core::Core;
use interrex_api::admin::{FailoverReply, SwitchoverRequest};
use interrex_api::refused::Refused;
use interrex_cluster::command::Command;
use interrex_cluster::operation::outage;
use interrex_cluster::operation::preview::Preview;
use interrex_cluster::operation::switchover;

/// Plans a switchover, and begins it unless only the plan was asked for.
pub(crate) async fn switchover(core: &Core, request: SwitchoverRequest) -> Result<FailoverReply, Refused> {
    let name = &request.name;
    let seen = look(core, name)?;
    if let Some(unknown) = request.to.as_ref().filter(|to| !seen.record.instances.contains_key(*to)) {
        return Err(no_instance(name, unknown));
    }
    let view = seen.view();
    let Preview { would_win, refusals, obstacles, may_lose } =
        switchover::preview(&view, request.to.as_ref());
    let accepted = obstacles.is_empty() && would_win.is_some();
    let epoch = seen.record.epoch;
    let from = seen.record.primary.as_ref().map(|reign| &reign.instance);
    let expected = match (&would_win, from) {
        // Who only asks is told all the same, as if nothing stood in the way.
        (Some(to), Some(from)) if accepted || request.dry_run => {
            Some(outage::of_switchover(&view, from, to, epoch.next()))
        }
        _ => None,
    };
    if accepted
        && !request.dry_run
        && let Some(to) = would_win.clone()
    {
        core.propose(name, Command::BeginSwitchover { epoch, to }).await?;
    }
    Ok(FailoverReply {
        accepted,
        epoch: epoch.next(),
        would_win,
        refusals: refusals.iter().map(ToString::to_string).collect(),
        waits: obstacles,
        expected,
        may_lose,
    })
}
