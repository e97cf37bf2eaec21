//! The coordinators themselves, as operators ask for them: who there is, and one more or one less. What a change means
//! and when it is refused is `raft::change`'s.

use super::unchanged;
use crate::core::Core;
use crate::raft::{MemberInfo, Peer, Progress, Wish};
use crate::yielding::hosts_of_primaries;
use interrex_api::admin::{ChangeProgress, Coordinator, CoordinatorChange};
use interrex_api::dial::Target;
use interrex_api::refused::Refused;
use interrex_cluster::ids::MachineName;

/// The members, as this coordinator knows them.
///
/// # Errors
/// It is none of them: what it knows is old, or nothing.
pub(super) async fn list(core: &Core) -> Result<Vec<Coordinator>, Refused> {
    // A removal is the last entry that it would have needed to hear of: where no leader vouches for its list, it asks.
    let leads = core.reign().is_some();
    if !leads && let Some(line) = core.node.removed().await {
        return Err(Refused::NotMember(line));
    }
    let leader = core.leader();
    let coordinator = |member: MemberInfo| {
        let machine: MachineName = member.machine.parse().ok()?;
        let leads = leader.as_ref().is_some_and(|leader| leader.machine == machine);
        Some(Coordinator {
            leader: leads && member.voter,
            machine,
            address: member.addr,
            raft_id: member.raft_id,
            voter: member.voter,
            heard_ms: member.heard.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
            reads_level: member.reads_level,
        })
    };
    let members: Vec<Coordinator> = core.node.members().into_iter().filter_map(coordinator).collect();
    match members.is_empty() {
        true => Err(forming(core)),
        false => Ok(members),
    }
}

/// There is no member yet, and there will be in a moment.
pub(super) fn forming(core: &Core) -> Refused {
    let waits = core.node.waiting().borrow().clone();
    Refused::Unavailable(waits.unwrap_or_else(|| "the group is being formed".to_owned()))
}

/// Changes the group, or tells how far that is.
pub(super) async fn change(core: &Core, change: CoordinatorChange) -> Result<ChangeProgress, Refused> {
    let wish = match change {
        CoordinatorChange::Add { machine, address } => {
            Target::of(&address, Some(machine.as_str()))
                .map_err(|_| Refused::Invalid(format!("'{address}' is no host:port for {machine}")))?;
            Wish::Add(Peer { machine: machine.to_string(), addr: address })
        }
        CoordinatorChange::Remove { machine } => Wish::Remove(machine.to_string()),
    };
    if let (Wish::Add(_), Some(why)) = (&wish, core.unsettled()) {
        return Err(Refused::Rejected(why));
    }
    Ok(match core.node.change_members(wish, hosts_of_primaries(core)).await.map_err(unchanged)? {
        Progress::Doing(stage) => ChangeProgress::Doing(stage),
        // Names of members were names when they were added.
        Progress::Done { voters, already } => {
            let voters = voters.iter().filter_map(|name| name.parse().ok()).collect();
            ChangeProgress::Done { voters, already }
        }
    })
}
