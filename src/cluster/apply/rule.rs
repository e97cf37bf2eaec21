//! Rule changes within an epoch: joint consensus with WAL in place of the log (PROTOCOL.md 'Commit rules').

use super::{Done, Rejected};
use crate::ids::{Epoch, InstanceName, RuleNumber};
use crate::mutants::{self, Mutant};
use crate::record::{Cluster, CommitRule, Copy, SyncTarget};
use std::collections::BTreeSet;

/// Lists the joint rule *before* PostgreSQL hears of the new setting. While it reloads, PostgreSQL can run a mixture
/// of both: the one rule that implies every mixture is `(min(k, k'), S ∪ S')` (F8).
pub(super) fn change(cluster: &mut Cluster, epoch: Epoch, k: u32, standbys: &BTreeSet<InstanceName>) -> Done {
    let Some(reign) = cluster.primary.as_ref().filter(|r| r.fork.is_some() && epoch == cluster.epoch) else {
        return Rejected::because(format!("epoch {epoch} has no confirmed primary"));
    };
    if let Some(bad) = standbys.iter().find(|s| {
        **s == reign.instance || cluster.instances.get(*s).is_none_or(|member| member.copy != Copy::Whole)
    }) {
        return Rejected::because(format!("{bad} may not acknowledge: it is no whole standby"));
    }
    if k == 0 && !cluster.spec.may_be_asynchronous() {
        return Rejected::because("acks may not sink to 0 in this cluster");
    }
    if cluster.sync.k == k && cluster.sync.standbys == *standbys {
        return Ok(Vec::new());
    }
    let Some(current) = cluster.rules.last_mut().filter(|rule| rule.epoch == epoch) else {
        return Rejected::because(format!("epoch {epoch} has no rule"));
    };
    let number = cluster.sync.number.max(current.number).next();
    current.number = number;
    if mutants::on(Mutant::JointRules) {
        (current.k, current.standbys) = (k, standbys.clone());
    } else {
        current.k = current.k.min(k);
        current.standbys.extend(standbys.iter().cloned());
    }
    cluster.sync = SyncTarget { number, k, standbys: standbys.clone(), proved: false };
    cluster.revision = cluster.revision.next();
    let names: Vec<&str> = standbys.iter().map(InstanceName::as_str).collect();
    let text = match k {
        0 => format!("{} goes on alone: commits are asynchronous from now on", reign.instance),
        _ if names.is_empty() => format!("commits are to wait for {k} standby, and none can acknowledge"),
        _ => format!("commits are to wait for {k} of {}", names.join(", ")),
    };
    Ok(vec![("rule-changing", text)])
}

/// The primary proved rule `number`: whatever was acknowledged before is held by `k` of the new `S`, so everything
/// older goes, and the joint rule becomes the plain one.
pub(super) fn retire(cluster: &mut Cluster, epoch: Epoch, number: RuleNumber) -> Done {
    let Some(reign) = cluster.primary.as_ref().filter(|r| r.fork.is_some() && epoch == cluster.epoch) else {
        return Rejected::because(format!("epoch {epoch} has no confirmed primary"));
    };
    if number != cluster.sync.number {
        return Rejected::because(format!("rule {number} is not the newest, {}", cluster.sync.number));
    }
    if cluster.sync.proved {
        return Ok(Vec::new());
    }
    cluster.sync.proved = true;
    cluster.rules = vec![CommitRule {
        number,
        epoch,
        primary: reign.instance.clone(),
        k: cluster.sync.k,
        standbys: cluster.sync.standbys.clone(),
        covered_at: None,
    }];
    Ok(vec![("rule-in-force", format!("rule in force: {}", cluster.rules[0]))])
}
