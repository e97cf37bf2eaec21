//! Commit rules as obligations: when may a failover elect?
//!
//! A rule `(e, p, k, S)` says: in epoch `e` primary `p` acknowledged a commit only once `k` of the standbys `S` had
//! flushed it. The record lists every rule under which something *may* have been acknowledged that is not yet known
//! to be covered by the newest. Let `R` be a set of sealed instances, each whole, each refusing every older epoch
//! before its position was read.
//!
//! **Claim.** If `|R ∩ S| ≥ |S| − k + 1`, then (a) every commit acknowledged under the rule is held by a member of
//! `R`, and (b) `p` can acknowledge nothing more under it.
//!
//! *Proof.* An acknowledged commit was flushed by some `A ⊆ S` with `|A| = k`. `|A| + |R ∩ S| ≥ |S| + 1`, so `A` and
//! `R ∩ S` share a member `r`. Either `r` flushed before it was sealed: then its sealed position, read after its
//! receiver was gone, includes the commit (a). Or it would have to flush after: it cannot, its receiver is gone and no
//! other comes back under an older epoch (b). ∎
//!
//! If `p` itself is sealed *and stopped*, its end of WAL was read after the last of its processes was gone: it holds
//! all that it ever acknowledged, and acknowledges no more. So `p ∈ R` satisfies the rule by itself. `k = 0` is
//! satisfied by that alone. A rule with `k > |S|` never let anything through and is satisfied by the empty set.
//!
//! **Winners.** Of a satisfying `R` the highest position is taken. Every member of `R` is on the winner's line or
//! behind it, so the winner holds what (a) speaks of. A lower instance may win if those not above it satisfy every
//! rule by themselves ([`below`] is the largest set among which it is highest).
//!
//! **Covered rules** (PROTOCOL.md clause 13). At an election each listed rule notes the winner's position as
//! `covered_at`: from then on whoever reaches that position holds what the rule protects, and (b) holds already since
//! `S` was sealed. The least such position is kept.

use crate::ids::InstanceName;
use crate::record::{Cluster, CommitRule};
use crate::report::Seal;
use crate::wal::{Position, TimelineId};
use std::collections::BTreeMap;

/// The sealed instances of a failover.
pub type Seals = BTreeMap<InstanceName, Seal>;

/// True when the sealed instances satisfy the rule.
pub fn satisfied(rule: &CommitRule, seals: &Seals) -> bool {
    missing(rule, seals).is_none()
}

/// How many more seals the rule needs, and whose would do; `None` when it is satisfied.
pub fn missing(rule: &CommitRule, seals: &Seals) -> Option<Missing> {
    let by_primary = seals.get(&rule.primary).is_some_and(|seal| seal.stopped);
    let reaches = |at: Position| seals.values().any(|seal| seal.position >= at);
    if by_primary || rule.covered_at.is_some_and(reaches) {
        return None;
    }
    let unsealed = rule.standbys.iter().filter(|standby| !seals.contains_key(*standby));
    let open: Vec<InstanceName> = unsealed.cloned().collect();
    if rule.k == 0 {
        return Some(Missing { more: 1, from: vec![rule.primary.clone()] });
    }
    let sealed = rule.standbys.len() - open.len();
    let needed = (rule.standbys.len() + 1).saturating_sub(rule.k as usize);
    let more = needed.saturating_sub(sealed);
    if more == 0 {
        return None;
    }
    let from = if open.is_empty() { vec![rule.primary.clone()] } else { open };
    Some(Missing { more: u32::try_from(more).unwrap_or(u32::MAX), from })
}

/// What a rule still needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// How many more seals.
    pub more: u32,
    /// Whose would do. The old primary's own, once stopped, always does.
    pub from: Vec<InstanceName>,
}

/// The seals that are not above `position`: the largest set among which its owner is highest.
pub fn below(seals: &Seals, position: Position) -> Seals {
    seals
        .iter()
        .filter(|(_, seal)| seal.position <= position)
        .map(|(name, seal)| (name.clone(), *seal))
        .collect()
}

/// True when `instance` may win without losing an acknowledged commit: it is sealed, and those not above it satisfy
/// every rule.
pub fn may_win(rules: &[CommitRule], seals: &Seals, instance: &InstanceName) -> bool {
    seals.get(instance).is_some_and(|own| {
        let below = below(seals, own.position);
        rules.iter().all(|rule| satisfied(rule, &below))
    })
}

/// Whether commits may have been acknowledged that waited for nobody, and that nobody elected since is known to hold.
pub fn asynchronous(rules: &[CommitRule]) -> bool {
    rules.iter().any(|rule| rule.k == 0 && rule.covered_at.is_none())
}

/// The rules under which commits waited for standbys.
pub fn synchronous(rules: &[CommitRule]) -> Vec<CommitRule> {
    rules.iter().filter(|rule| rule.k > 0).cloned().collect()
}

/// Which position the seal of an instance counts for. Nothing it counts for where it shares no known timeline with the
/// cluster, and where the copy ends below what it was sealed with before: what it lacks it may have acknowledged
/// (PROTOCOL.md clause 8).
///
/// # Errors
/// Why it counts for nothing.
pub fn counted(cluster: &Cluster, instance: &InstanceName, seal: Seal) -> Result<Position, String> {
    let stands = seal.position;
    let Some(counted) = on_a_known_timeline(cluster, seal) else {
        return Err(format!("{instance} stands at {stands}, off every line of this cluster"));
    };
    let held = cluster.instances.get(instance).and_then(|member| member.held);
    match held.filter(|held| counted < *held) {
        Some(held) => {
            Err(format!("{instance} ends at {stands} and was sealed at {held} before: it was rolled back"))
        }
        None => Ok(counted),
    }
}

/// A position counts as it stands when its timeline is in the record, or was opened by somebody who was elected for
/// it and holds what the rules before that election protect. Anything else is a promotion by hand, whose number says
/// nothing about a reign: it counts for what it shares with its parent.
fn on_a_known_timeline(cluster: &Cluster, seal: Seal) -> Option<Position> {
    let timeline = seal.position.timeline;
    let known = |timeline: TimelineId| cluster.timelines.iter().find(|fork| fork.epoch.0 == timeline.0);
    let Some(fork) = seal.fork.filter(|fork| fork.epoch.0 == timeline.0) else {
        return known(timeline).map(|_| seal.position);
    };
    let origin = Position { timeline: fork.parent, lsn: fork.begin };
    let granted = match known(timeline) {
        Some(recorded) => recorded.parent == fork.parent && recorded.begin == fork.begin,
        None => {
            let elected = cluster.rules.iter().any(|rule| rule.epoch.0 == timeline.0);
            let before = cluster.rules.iter().filter(|rule| rule.epoch.0 < timeline.0);
            elected && before.filter_map(|rule| rule.covered_at).all(|covered| origin >= covered)
        }
    };
    match (granted, known(fork.parent)) {
        (true, _) => Some(seal.position),
        (false, Some(_)) => Some(origin),
        (false, None) => None,
    }
}

/// Notes at an election that everything the rules protect is held by whoever reaches the winner's position.
pub fn cover(rules: &mut [CommitRule], winner: Position) {
    for rule in rules {
        rule.covered_at = Some(rule.covered_at.map_or(winner, |at| at.min(winner)));
    }
}

impl std::fmt::Display for CommitRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.standbys.iter().map(InstanceName::as_str).collect();
        let (epoch, primary, k) = (self.epoch, &self.primary, self.k);
        match (k, names.as_slice()) {
            (0, _) => write!(f, "epoch {epoch}: {primary} acknowledges alone"),
            (_, []) => write!(f, "epoch {epoch}: {primary} waits for {k} of nobody"),
            (_, _) => write!(f, "epoch {epoch}: {primary} waits for {k} of {}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, RuleNumber};
    use crate::wal::Lsn;

    fn name(text: &str) -> InstanceName {
        text.parse().unwrap()
    }

    fn rule(k: u32, standbys: &[&str]) -> CommitRule {
        CommitRule {
            number: RuleNumber(1),
            epoch: Epoch(7),
            primary: name("n1"),
            k,
            standbys: standbys.iter().map(|s| name(s)).collect(),
            covered_at: None,
        }
    }

    fn sealed(who: &[(&str, u64)]) -> Seals {
        let at = |lsn| Position { timeline: TimelineId(7), lsn: Lsn(lsn) };
        let seal = |lsn| Seal { epoch: Epoch(8), position: at(lsn), stopped: false, fork: None };
        who.iter().map(|(who, lsn)| (name(who), seal(*lsn))).collect()
    }

    /// POSTGRES.md §5: how many of S must be sealed.
    #[test]
    fn the_number_of_seals_needed_is_the_size_of_s_less_k_plus_one() {
        for (k, s, need) in [(1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 4, 3), (3, 4, 2), (3, 2, 0)] {
            let all = ["n2", "n3", "n4", "n5"];
            let rule = rule(k, &all[..s]);
            let enough: Vec<_> = all[..need].iter().map(|n| (*n, 5)).collect();
            assert!(satisfied(&rule, &sealed(&enough)), "k={k} |S|={s}");
            if need > 0 {
                let short = missing(&rule, &sealed(&enough[1..])).unwrap();
                assert_eq!(short.more, 1, "k={k} |S|={s}");
            }
        }
    }

    #[test]
    fn the_stopped_primary_satisfies_alone_and_a_running_one_does_not() {
        let mut seals = sealed(&[("n1", 9)]);
        assert!(!satisfied(&rule(1, &["n2", "n3"]), &seals));
        assert!(!satisfied(&rule(0, &[]), &seals));
        seals.get_mut(&name("n1")).unwrap().stopped = true;
        assert!(satisfied(&rule(1, &["n2", "n3"]), &seals));
        assert!(satisfied(&rule(0, &[]), &seals));
    }

    #[test]
    fn sealed_instances_outside_s_do_not_count() {
        assert_eq!(
            missing(&rule(1, &["n2", "n3"]), &sealed(&[("n3", 5), ("n4", 5), ("n5", 5)])),
            Some(Missing { more: 1, from: vec![name("n2")] })
        );
    }

    #[test]
    fn the_lower_of_two_may_not_win_where_both_are_needed_and_may_where_either_will_do() {
        let seals = sealed(&[("n2", 5), ("n3", 9)]);
        assert!(!may_win(&[rule(1, &["n2", "n3"])], &seals, &name("n2")));
        assert!(may_win(&[rule(1, &["n2", "n3"])], &seals, &name("n3")));
        assert!(may_win(&[rule(2, &["n2", "n3"])], &seals, &name("n2")));
    }

    #[test]
    fn every_listed_rule_has_to_be_satisfied() {
        let rules = [rule(1, &["n2"]), rule(1, &["n3"])];
        assert!(!may_win(&rules, &sealed(&[("n3", 9)]), &name("n3")));
        assert!(may_win(&rules, &sealed(&[("n2", 5), ("n3", 9)]), &name("n3")));
    }

    #[test]
    fn a_covered_rule_is_satisfied_by_whoever_reaches_the_covered_position() {
        let mut covered = [rule(1, &["n2", "n3"])];
        cover(&mut covered, Position { timeline: TimelineId(7), lsn: Lsn(8) });
        cover(&mut covered, Position { timeline: TimelineId(8), lsn: Lsn(20) });
        assert!(satisfied(&covered[0], &sealed(&[("n4", 8)])));
        assert!(!satisfied(&covered[0], &sealed(&[("n4", 7)])));
    }
}
