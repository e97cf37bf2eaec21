//! What a commit rule asks of a set of sealed instances, said once more and differently than the rules say it: not by the
//! arithmetic of majorities, but by what could have been acknowledged. The properties about refusals and losses judge by
//! it.

use interrex_cluster::ids::InstanceName;
use interrex_cluster::record::CommitRule;
use interrex_cluster::report::Seal;
use std::collections::BTreeMap;

/// Those of a rule who may have acknowledged a commit that none of the sealed holds. Absent: there is no such commit.
pub fn unheard<'a>(
    rule: &'a CommitRule,
    seals: &BTreeMap<InstanceName, Seal>,
) -> Option<Vec<&'a InstanceName>> {
    let stopped = seals.get(&rule.primary).is_some_and(|seal| seal.stopped);
    let covered = rule.covered_at.is_some_and(|at| seals.values().any(|seal| seal.position >= at));
    if stopped || covered {
        return None;
    }
    let unsealed: Vec<&InstanceName> =
        rule.standbys.iter().filter(|standby| !seals.contains_key(*standby)).collect();
    // Any `k` of them together were enough to acknowledge; `k = 0` needed nobody.
    (unsealed.len() >= rule.k as usize).then_some(unsealed)
}
