//! What an operator asked, brought to its end: a restart is told done, an instance that is to leave does so once nothing
//! depends on it, a proposed change is settled. A new copy goes the way of every rebuild ([`super::rejoin`]).

use super::{Advance, rule_change};
use crate::command::Command;
use crate::ids::InstanceName;
use crate::memory::{Memory, able_to_acknowledge, receives_this_epoch};
use crate::problem::Wait;
use crate::record::{Asked, Instance, Proposed, Reign};
use crate::report::Server;
use crate::time::span;
use crate::view::View;

/// What the questions want next.
pub fn advance(view: &View<'_>, memory: &Memory, reign: &Reign) -> Advance {
    let asked = view.record.instances.iter().filter_map(|(name, member)| {
        let asked = member.asked.as_ref()?;
        Some(about(view, memory, reign, name, member, asked))
    });
    asked.fold(Advance::nothing(), Advance::and).and(judgement(view, memory, reign))
}

/// What becomes of a proposed change.
pub fn judgement(view: &View<'_>, memory: &Memory, reign: &Reign) -> Advance {
    let proposed = view.record.proposed.as_ref();
    proposed.map_or_else(Advance::nothing, |proposed| settle(view, memory, reign, proposed))
}

/// By the primary's word, or by its silence.
fn settle(view: &View<'_>, memory: &Memory, reign: &Reign, proposed: &Proposed) -> Advance {
    let number = proposed.number;
    let judged = view.fresh(&reign.instance).and_then(|report| report.proofs.judged.clone());
    if let Some((judged, refused)) = judged.filter(|(judged, _)| *judged == number) {
        return Advance::command(Command::SettleSpec { number: judged, refused });
    }
    let waited = memory.proposed_for(view.now);
    if waited >= view.policy.judged_within {
        let refused = Some(format!("{} did not judge it within {}", reign.instance, span(waited)));
        return Advance::command(Command::SettleSpec { number, refused });
    }
    Advance::wait(Wait::Judgement { instance: reign.instance.clone() })
}

fn about(
    view: &View<'_>,
    memory: &Memory,
    reign: &Reign,
    name: &InstanceName,
    member: &Instance,
    asked: &Asked,
) -> Advance {
    let instance = name.clone();
    match asked {
        Asked::Restart { number } => {
            let told = view.fresh(name).filter(|report| report.incarnation == member.incarnation);
            match told.and_then(|report| report.proofs.restarted) {
                // Done is who streams again, not who was only started: the next one is restarted upon this word.
                Some(done)
                    if done == *number
                        && able_to_acknowledge(view, name)
                        && receives_this_epoch(view, name) =>
                {
                    Advance::command(Command::EndRestart { instance, number: *number })
                }
                _ => Advance::wait(Wait::Restart { instance }),
            }
        }
        Asked::Reinit { .. } => Advance::nothing(),
        Asked::Leave => leave(view, memory, reign, instance),
    }
}

/// Not needed any more, out of the rule, and stopped or silent for so long that it is over.
fn leave(view: &View<'_>, memory: &Memory, reign: &Reign, instance: InstanceName) -> Advance {
    let record = view.record;
    if let Some(able) = rule_change::needed_yet(view, memory, &instance) {
        return Advance::wait(Wait::NeededYet { instance, able, wanted: record.spec.acks });
    }
    let listed = record.rules.iter().any(|rule| rule.standbys.contains(&instance));
    if listed || record.in_sync_set(&instance) || !record.sync.proved {
        return Advance::wait(Wait::RuleProof { instance: reign.instance.clone() });
    }
    // Cut off from us is not stopped: as long as the primary serves it, it holds a slot and a name.
    let served = match view.server(&reign.instance) {
        Some(Server::Primary(primary)) => primary.senders.iter().any(|sender| sender.instance == instance),
        _ => true,
    };
    let stopped = match view.server(&instance) {
        Some(Server::Stopped { .. } | Server::NoData) => true,
        Some(_) => false,
        None => view.silence(&instance) >= view.policy.surely_over_after(),
    };
    match stopped && !served && reign.open && record.proposed.is_none() {
        true => Advance::command(Command::Remove { instance, epoch: record.epoch }),
        false => Advance::wait(Wait::Leaving { instance }),
    }
}
