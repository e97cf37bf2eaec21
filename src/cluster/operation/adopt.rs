//! How an existing PostgreSQL becomes a cluster: every instance says what it holds, and only when all of it fits together
//! is anything touched. What does not fit is told with the way out, and waits for the operator.

use super::{Advance, ahead};
use crate::command::{Adopted, Command};
use crate::ids::{Epoch, InstanceName};
use crate::problem::{Wait, list};
use crate::record::{Adoption, Operation};
use crate::report::{Found, Server};
use crate::view::View;
use std::collections::BTreeSet;

/// What the instances hold, as far as they say so freshly.
struct Holdings<'a> {
    found: Vec<(&'a InstanceName, &'a Found)>,
    empty: Vec<&'a InstanceName>,
    /// Whose directory could not be looked at, and why.
    unseen: Vec<(&'a InstanceName, &'a str)>,
}

fn holdings<'a>(view: &'a View<'_>) -> Holdings<'a> {
    let mut all = Holdings { found: Vec::new(), empty: Vec::new(), unseen: Vec::new() };
    for name in view.record.instances.keys() {
        let Some(report) = view.fresh(name) else { continue };
        match (&report.found, &report.unseen, &report.server) {
            (_, Some(why), _) => all.unseen.push((name, why)),
            (Some(found), None, _) => all.found.push((name, found)),
            (None, None, Server::NoData) => all.empty.push(name),
            (None, None, _) => {}
        }
    }
    all
}

impl<'a> Holdings<'a> {
    /// Whose directories could be looked at, by name.
    fn seen(&self) -> Vec<InstanceName> {
        let found = self.found.iter().map(|(name, _)| *name);
        let names: BTreeSet<_> = found.chain(self.empty.iter().copied()).cloned().collect();
        names.into_iter().collect()
    }

    /// Whether directories of fewer than `wanted` instances could be looked at.
    fn fewer_than(&self, wanted: u32) -> bool {
        u32::try_from(self.empty.len() + self.found.len()).is_ok_and(|seen| seen < wanted)
    }

    fn primaries(&self) -> Vec<(&'a InstanceName, &'a Found)> {
        self.found.iter().filter(|(_, found)| !found.standby).copied().collect()
    }

    /// The primary first: what it sends while it stops, its standbys receive.
    fn running(&self) -> Option<&'a InstanceName> {
        let running = self.found.iter().filter(|(_, found)| found.running.is_some());
        running.min_by_key(|(name, found)| (found.standby, *name)).map(|(name, _)| *name)
    }
}

/// What stands in the way of the adoption, a sentence each with the way out; empty: nothing, as far as is known.
pub fn refusals(view: &View<'_>) -> Vec<String> {
    let Operation::Adopt(adoption) = &view.record.operation else { return Vec::new() };
    let all = holdings(view);
    let refused =
        |(name, found): &(&InstanceName, &Found)| found.refused.as_ref().map(|why| format!("{name}: {why}"));
    let mut refusals: Vec<String> = all.unseen.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    refusals.extend(all.found.iter().filter_map(refused));
    refusals.extend(strangers(&all));
    refusals.extend(majors(view));
    let primaries = all.primaries();
    if let [primary] = primaries[..] {
        refusals.extend(all.found.iter().filter_map(|copy| ahead::refusal(primary, *copy)));
    }
    if primaries.len() > 1 {
        let names: Vec<InstanceName> = primaries.iter().map(|(name, _)| (*name).clone()).collect();
        refusals.push(format!(
            "{} hold a data directory without standby.signal each, and only one can be the primary; move the others away \
             (they are cloned then)",
            list(&names)
        ));
    }
    if primaries.is_empty() && !all.fewer_than(view.record.spec.instances) {
        refusals.push(
            "no instance holds the data directory of a primary (one without standby.signal); name it as pgdata in its \
             node file"
                .to_owned(),
        );
    }
    if !adoption.take_over {
        refusals.extend(all.found.iter().filter_map(|(name, found)| {
            let postmaster = found.running?;
            Some(format!(
                "{name}: PostgreSQL runs on its data directory (postmaster {postmaster}) and is left alone; stop it and \
                 disable the service that started it, or have it stopped: interrex create {} --instances {} --adopt \
                 --take-over",
                view.record.name, view.record.spec.instances
            ))
        }));
    }
    if !refusals.is_empty() {
        refusals.extend(stopped_in_vain(&all, adoption));
    }
    refusals
}

/// Servers that were stopped before something showed that stands in the way: some of it shows only then.
fn stopped_in_vain<'a>(all: &'a Holdings<'_>, adoption: &'a Adoption) -> impl Iterator<Item = String> + 'a {
    let stopped =
        all.found.iter().filter(|(name, found)| found.running.is_none() && adoption.stop.contains(*name));
    stopped.map(|(name, _)| {
        format!(
            "{name}: its PostgreSQL was stopped to be taken in, and stays down until this is put right; to run it \
             meanwhile, stop the interrex node of {name} first, then start it with what started it before"
        )
    })
}

/// What the operator should know before it is taken in, as far as it is known: told beside what stands in the way.
pub fn beforehand(view: &View<'_>) -> Vec<String> {
    let told = |(name, found): &(&InstanceName, &Found)| {
        found.notes.iter().map(|note| format!("to know beforehand: {name}: {note}")).collect::<Vec<_>>()
    };
    holdings(view).found.iter().flat_map(told).collect()
}

fn strangers(all: &Holdings<'_>) -> Option<String> {
    let (first, of_first) = all.found.first()?;
    let (other, of_other) = all.found.iter().find(|(_, found)| found.system != of_first.system)?;
    Some(format!(
        "{first} and {other} hold data of different PostgreSQL clusters (system identifiers {} and {}); move away what does \
         not belong here",
        of_first.system, of_other.system
    ))
}

fn majors(view: &View<'_>) -> Option<String> {
    let (first, member) = view.record.instances.iter().next()?;
    let (other, differing) = view.record.instances.iter().find(|(_, other)| other.major != member.major)?;
    Some(format!(
        "{first} runs PostgreSQL {}, {other} {}; correct bin_dir, for a standby is of its primary's major version",
        member.major, differing.major
    ))
}

/// All are there and fit together: what runs is stopped, the primary first; then the cluster begins.
pub fn gather(view: &View<'_>, adoption: &Adoption) -> Advance {
    let all = holdings(view);
    let want = view.record.spec.instances;
    if all.fewer_than(want) {
        return Advance::wait(Wait::Registrations { have: all.seen(), want });
    }
    if !refusals(view).is_empty() {
        return Advance::wait(Wait::Adoption);
    }
    if let Some(instance) = all.running() {
        return match adoption.stop.contains(instance) {
            false => Advance::command(Command::TakeOver { instance: instance.clone() }),
            true => Advance::wait(Wait::TakeOver { instance: instance.clone() }),
        };
    }
    match adopted(&all) {
        Some(adopted) => Advance::command(Command::Adopt(adopted)),
        None => Advance::wait(Wait::Adoption),
    }
}

fn adopted(all: &Holdings<'_>) -> Option<Adopted> {
    let (instance, primary) = all.primaries().into_iter().next()?;
    let (position, line) = primary.end.clone()?;
    let highest = all.found.iter().map(|(_, found)| found.highest).max()?.max(position.timeline);
    let others = all.found.iter().filter(|(name, _)| *name != instance);
    let notes = |(name, found): &(&InstanceName, &Found)| {
        found.notes.iter().map(|note| format!("{name}: {note}")).collect::<Vec<_>>()
    };
    let left = |copy: &(&InstanceName, &Found)| ahead::left_behind((instance, primary), *copy);
    Some(Adopted {
        epoch: Epoch(highest.0.checked_add(1)?),
        instance: instance.clone(),
        system: primary.system,
        position,
        line,
        copies: others.map(|(name, _)| (*name).clone()).collect::<BTreeSet<_>>(),
        notes: all.found.iter().flat_map(notes).chain(all.found.iter().filter_map(left)).collect(),
    })
}
