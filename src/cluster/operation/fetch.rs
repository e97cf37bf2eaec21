//! Who holds most wins, unless somebody is preferred who can have the rest in a moment (PROTOCOL.md 'Failover', 4;
//! RELIABILITY.md 9): it receives what it lacks from the one that holds most, is sealed again, and then both hold the
//! same, which leaves the choice to preference. If it does not come along, choosing starts again without it.

use super::Advance;
use crate::candidate;
use crate::command::Command;
use crate::ids::InstanceName;
use crate::memory::Memory;
use crate::problem::Wait;
use crate::record::{Failover, Fetch, FetchEnd};
use crate::report::Server;
use crate::view::View;

/// Somebody else than the winner is preferred, and lacks little.
pub(super) fn begin(view: &View<'_>, failover: &Failover, winner: &InstanceName) -> Option<Advance> {
    let to = candidate::worth_fetching_for(view, failover, winner)?;
    let epoch = view.record.epoch;
    Some(Advance::command(Command::BeginFetch { epoch, to, from: winner.clone() }))
}

/// A fetch is under way, or is over and has not been proved by a new seal yet.
pub(super) fn go_on(view: &View<'_>, memory: &Memory, failover: &Failover) -> Option<Advance> {
    let fetch = failover.fetch.as_deref()?;
    let epoch = view.record.epoch;
    let end = |given_up: Option<String>| Some(Advance::command(Command::EndFetch { epoch, given_up }));
    let took = memory.in_phase_for(view.now);
    let late = took >= view.policy.fetch_patience;
    let reached = failover.seals.get(&fetch.to).is_some_and(|seal| seal.position >= fetch.until);
    let gone = |name: &InstanceName| view.fresh(name).is_none();
    let wait = || Some(Advance::wait(Wait::Fetch { to: fetch.to.clone(), from: fetch.from.clone() }));
    match fetch.end {
        None if has_it(view, fetch) => end(None),
        None if gone(&fetch.from) => end(Some(format!("{} is silent", fetch.from))),
        None if gone(&fetch.to) => end(Some("it is silent".to_owned())),
        None if late => end(Some(format!("it took longer than {} s", took.as_secs()))),
        None => wait(),
        // Its receiver has to end once more; whoever is ahead wins if that takes too long.
        Some(FetchEnd::Told) if !(reached || late || gone(&fetch.to)) => wait(),
        Some(FetchEnd::Told | FetchEnd::GivenUp) => None,
    }
}

/// By its own word, which counts for nothing until it is sealed again.
fn has_it(view: &View<'_>, fetch: &Fetch) -> bool {
    let Some(Server::Standby(standby)) = view.server(&fetch.to) else { return false };
    let received =
        standby.receiver.as_ref().filter(|receiver| receiver.upstream.as_ref() == Some(&fetch.from));
    let received = received.filter(|receiver| receiver.timeline == fetch.until.timeline);
    let at = received.map_or(standby.replayed, |receiver| receiver.flushed.max(standby.replayed));
    at >= fetch.until.lsn
}
