//! How a new cluster gets its first copy: all instances registered and none with data → one of them creates it.

use super::Advance;
use crate::command::Command;
use crate::ids::InstanceName;
use crate::problem::Wait;
use crate::report::Server;
use crate::view::View;

/// A cluster that has fewer instances than it should waits for them, and says so.
pub fn absent(view: &View<'_>) -> Advance {
    let (have, want) = (&view.record.instances, view.record.spec.instances);
    match u32::try_from(have.len()).is_ok_and(|have| have < want) {
        true => Advance::wait(Wait::Registrations { have: have.keys().cloned().collect(), want }),
        false => Advance::nothing(),
    }
}

/// All are there → the most preferred one begins.
pub fn gather(view: &View<'_>) -> Advance {
    let want = view.record.spec.instances;
    let able: Vec<&InstanceName> = view
        .record
        .instances
        .keys()
        .filter(|name| view.server(name).is_some_and(|server| *server == Server::NoData))
        .collect();
    if u32::try_from(able.len()).is_ok_and(|have| have < want) {
        let have = able.into_iter().cloned().collect();
        return Advance::wait(Wait::Registrations { have, want });
    }
    let rank = |name: &&&InstanceName| {
        let priority = view.member(name).and_then(|member| member.priority);
        (priority.is_none(), priority, (**name).clone())
    };
    match able.iter().min_by_key(rank) {
        Some(on) => Advance::command(Command::BeginBootstrap { on: (*on).clone() }),
        None => Advance::nothing(),
    }
}

/// The chosen one has been silent for long: another one begins. What the first may have made is of another system
/// identifier then, and is refused when it comes back.
fn another(view: &View<'_>, on: &InstanceName) -> Option<InstanceName> {
    if view.silence(on) < view.policy.bootstrap_patience {
        return None;
    }
    let empty = |name: &&InstanceName| view.server(name).is_some_and(|server| *server == Server::NoData);
    view.record.instances.keys().filter(|name| *name != on).find(empty).cloned()
}

/// The chosen one reports the copy that it made.
pub fn created(view: &View<'_>, on: &InstanceName) -> Advance {
    match view.fresh(on).and_then(|report| report.proofs.created) {
        Some((system, position)) => {
            Advance::command(Command::EndBootstrap { instance: on.clone(), system, position })
        }
        None => match another(view, on) {
            Some(on) => Advance::command(Command::BeginBootstrap { on }),
            None => Advance::wait(Wait::Bootstrap { on: on.clone() }),
        },
    }
}
