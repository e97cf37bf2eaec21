//! A change of primary, entry by entry: begin, seals, election, confirmation, opening.

use super::{Done, Rejected, switchover};
use crate::ids::{Epoch, Incarnation, InstanceName, RuleNumber};
use crate::quorum;
use crate::record::{
    Cluster, CommitRule, Copy, Failover, Fork, Operation, Override, PhaseTimes, Reign, SyncTarget,
};
use crate::report::{Promotion, Seal};
use crate::time::WallMs;
use crate::wal::{History, Lsn, Position, TimelineId};
use std::collections::BTreeSet;

/// The epoch rises and nobody is primary. Refused while a failover has not elected, so that its seals survive
/// (PROTOCOL.md clause 14).
pub(super) fn begin(
    cluster: &mut Cluster,
    epoch: Epoch,
    reason: &str,
    wanted: Option<&InstanceName>,
    at: WallMs,
) -> Done {
    let from = end_reign(cluster, epoch, reason, wanted, at)?;
    Ok(vec![("failover-begun", format!("failover from {from} begins epoch {epoch}: {reason}"))])
}

/// A reign ends, however: the epoch rises, and nobody is primary until somebody is elected. Gives the old primary: the
/// instance last elected, confirmed or not, because a promotion once granted may yet come about.
pub(super) fn end_reign(
    cluster: &mut Cluster,
    epoch: Epoch,
    reason: &str,
    wanted: Option<&InstanceName>,
    at: WallMs,
) -> Result<InstanceName, Rejected> {
    if epoch != cluster.epoch.next() {
        return Rejected::because(format!("epoch {epoch} does not follow epoch {}", cluster.epoch));
    }
    let Some(reign) = &cluster.primary else {
        return Rejected::because(match cluster.operation {
            Operation::Failover(_) => "a failover is under way and has not elected yet",
            _ => "the cluster never had a primary",
        });
    };
    if let Some(wanted) = wanted.filter(|wanted| !cluster.instances.contains_key(*wanted)) {
        return Rejected::because(format!("{wanted} is not an instance of cluster {}", cluster.name));
    }
    let from = reign.instance.clone();
    cluster.epoch = epoch;
    cluster.primary = None;
    cluster.operation = Operation::Failover(Failover {
        wanted: wanted.cloned(),
        times: PhaseTimes { begun: at, ..PhaseTimes::default() },
        ..Failover::begun(Some(from.clone()), reason)
    });
    cluster.revision = cluster.revision.next();
    Ok(from)
}

pub(super) fn record_seal(
    cluster: &mut Cluster,
    instance: &InstanceName,
    incarnation: Incarnation,
    seal: Seal,
    at: WallMs,
) -> Done {
    let (epoch, elected) = (cluster.epoch, cluster.primary.is_some());
    let Some(member) = cluster.instances.get(instance) else {
        return Rejected::because(format!("{instance} is not a member"));
    };
    if member.copy != Copy::Whole || member.incarnation != incarnation {
        return Rejected::because(format!(
            "the copy on {instance} (incarnation {incarnation}) does not count"
        ));
    }
    let counted = quorum::counted(cluster, instance, seal);
    let Operation::Failover(failover) = &mut cluster.operation else {
        return Rejected::because("no failover is under way");
    };
    if elected || seal.epoch != epoch {
        return Rejected::because(format!("the seal of {instance} belongs to epoch {}", seal.epoch));
    }
    if !failover.is_news(instance, seal) {
        return Ok(Vec::new());
    }
    let how = if seal.stopped { "stopped" } else { "sealed" };
    let (position, text) = match counted {
        Ok(position) if position == seal.position => {
            failover.astray.remove(instance);
            (position, format!("{instance} is {how} at {position}"))
        }
        Ok(position) => {
            failover.astray.insert(instance.clone());
            let stands = seal.position;
            (
                position,
                format!(
                    "{instance} is {how} at {stands}, which nobody was elected to open; counts for {position}"
                ),
            )
        }
        Err(why) => return Rejected::because(why),
    };
    failover.seals.insert(instance.clone(), Seal { position, ..seal });
    failover.times.sealed = at;
    if failover.hand_over.is_some() && failover.from.as_ref() == Some(instance) && seal.stopped {
        // The others learn that they are to be sealed now.
        cluster.revision = cluster.revision.next();
    }
    let straight = !failover.astray.contains(instance);
    if let Some(member) = cluster.instances.get_mut(instance).filter(|_| straight) {
        member.held = member.held.max(Some(position));
    }
    Ok(vec![("sealed", text)])
}

pub(super) fn accept_loss(
    cluster: &mut Cluster,
    epoch: Epoch,
    fenced: &BTreeSet<InstanceName>,
    at: WallMs,
) -> Done {
    let (current, elected) = (cluster.epoch, cluster.primary.is_some());
    let Operation::Failover(failover) = &mut cluster.operation else {
        return Rejected::because("no failover is under way: there is nothing to accept a loss for");
    };
    if elected || epoch != current {
        return Rejected::because(format!("the failover of epoch {epoch} is over"));
    }
    let names: Vec<&str> = fenced.iter().map(InstanceName::as_str).collect();
    let asserted = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let what = format!("loss of acknowledged commits accepted; asserted to be stopped: {asserted}");
    failover.loss_accepted = Some(fenced.clone());
    cluster.overrides.push(Override { epoch, at, what: what.clone() });
    Ok(vec![("loss-accepted", what)])
}

/// An election as it was decided.
pub(super) struct Election<'a> {
    pub(super) epoch: Epoch,
    pub(super) instance: &'a InstanceName,
    pub(super) k: u32,
    pub(super) standbys: &'a BTreeSet<InstanceName>,
    pub(super) loss: Option<&'a str>,
}

/// At most one election in an epoch; the rules are checked once more here, where it counts.
pub(super) fn elect(cluster: &mut Cluster, election: &Election<'_>, at: WallMs) -> Done {
    let Election { epoch, instance, k, standbys, loss } = *election;
    if epoch != cluster.epoch {
        return Rejected::because(format!("epoch {epoch} is not the current one, {}", cluster.epoch));
    }
    if cluster.primary.is_some() {
        return Rejected::because(format!("epoch {epoch} has its primary already"));
    }
    let Operation::Failover(failover) = &cluster.operation else {
        return Rejected::because("no failover is under way");
    };
    let Some(won) = failover.seals.get(instance).copied() else {
        return Rejected::because(format!("{instance} is not sealed in epoch {epoch}"));
    };
    if failover.astray.contains(instance) {
        return Rejected::because(format!("{instance} stands on a timeline that nobody was elected to open"));
    }
    let lossless = quorum::may_win(&cluster.rules, &failover.seals, instance);
    // Within `max_data_loss` only what was acknowledged asynchronously may go.
    let bounded = cluster.spec.max_data_loss > 0
        && quorum::may_win(&quorum::synchronous(&cluster.rules), &failover.seals, instance);
    let lawful = lossless || (loss.is_some() && (failover.loss_accepted.is_some() || bounded));
    if !lawful {
        return Rejected::because(format!("electing {instance} could lose acknowledged commits"));
    }
    let below = quorum::below(&failover.seals, won.position);
    let strays = |s: &InstanceName| failover.astray.contains(s) || failover.may_exceed(s, won.position);
    let may_follow = |s: &InstanceName| s != instance && below.contains_key(s) && !strays(s);
    if let Some(other) = standbys.iter().find(|s| !may_follow(s)) {
        return Rejected::because(format!(
            "{other} may not acknowledge for {instance} before the fork is known"
        ));
    }
    if k == 0 && !cluster.spec.may_be_asynchronous() {
        return Rejected::because("acks may not sink to 0 in this cluster");
    }
    adopt_unconfirmed_timeline(cluster, instance, won);
    let number =
        cluster.rules.last().map_or(RuleNumber(1), |rule| rule.number).max(cluster.sync.number).next();
    quorum::cover(&mut cluster.rules, won.position);
    cluster.rules.push(CommitRule {
        number,
        epoch,
        primary: instance.clone(),
        k,
        standbys: standbys.clone(),
        covered_at: None,
    });
    cluster.sync = SyncTarget { number, k, standbys: standbys.clone(), proved: false };
    cluster.primary = Some(Reign { instance: instance.clone(), fork: None, open: false });
    // Asked of a standby, and a primary neither leaves nor gives its copy up.
    let taken_back = cluster.instances.get_mut(instance).and_then(|winner| winner.asked.take());
    if let Operation::Failover(failover) = &mut cluster.operation {
        failover.times.elected = at;
    }
    cluster.revision = cluster.revision.next();
    let mut told =
        vec![("elected", format!("{instance} is elected primary of epoch {epoch} at {}", won.position))];
    told.extend(
        taken_back
            .map(|_| ("taken-back", format!("what was asked of {instance} is void: it is primary now"))),
    );
    told.extend(switchover::missed(cluster, instance).map(|why| ("switchover-missed", why)));
    if let Some(loss) = loss.filter(|_| !lossless) {
        cluster.overrides.push(Override { epoch, at, what: loss.to_owned() });
        told.push(("loss", loss.to_owned()));
    }
    Ok(told)
}

/// A winner may stand on a timeline whose promotion was granted, happened, and never came to be confirmed. Its fork
/// enters the record with the election, or the line of descent would have a gap.
fn adopt_unconfirmed_timeline(cluster: &mut Cluster, winner: &InstanceName, seal: Seal) {
    let known = |timeline: TimelineId| cluster.timelines.iter().any(|fork| fork.epoch.0 == timeline.0);
    if let Some(fork) = seal.fork.filter(|fork| fork.epoch.0 == seal.position.timeline.0)
        && !known(seal.position.timeline)
    {
        let fork =
            Fork { epoch: fork.epoch, instance: winner.clone(), parent: fork.parent, begin: fork.begin };
        // A later reign may have been confirmed meanwhile, and lost out to this one.
        let place = cluster.timelines.partition_point(|known| known.epoch < fork.epoch);
        cluster.timelines.insert(place, fork);
    }
}

/// A promotion may have branched off a timeline that was opened and never confirmed. Such ancestors enter the record
/// with their descendant, or its line would have a gap.
fn adopt_ancestors(timelines: &mut Vec<Fork>, instance: &InstanceName, line: &History) {
    let pairs = line.ancestors.iter().zip(line.ancestors.iter().skip(1));
    for (parent, child) in pairs {
        if !timelines.iter().any(|fork| fork.epoch.0 == child.timeline.0) {
            let epoch = Epoch(child.timeline.0);
            let fork = Fork { epoch, instance: instance.clone(), parent: parent.timeline, begin: parent.end };
            let place = timelines.partition_point(|known| known.epoch < epoch);
            timelines.insert(place, fork);
        }
    }
}

pub(super) fn confirm(
    cluster: &mut Cluster,
    instance: &InstanceName,
    promotion: Promotion,
    line: &History,
    at: WallMs,
) -> Done {
    let epoch = cluster.epoch;
    let Some(reign) = cluster.primary.as_mut().filter(|reign| reign.instance == *instance) else {
        return Rejected::because(format!("{instance} is not the elected primary"));
    };
    if promotion.epoch != epoch {
        return Rejected::because(format!("the promotion belongs to epoch {}, not {epoch}", promotion.epoch));
    }
    if reign.fork.is_some() {
        return Ok(Vec::new());
    }
    let ancestor = line.ancestors.last();
    if line.timeline.0 != epoch.0
        || ancestor.is_none_or(|a| a.timeline != promotion.parent || a.end != promotion.begin)
    {
        return Rejected::because(format!(
            "the history of timeline {} does not tell this promotion",
            line.timeline
        ));
    }
    // Recovery that ended below what was sealed has lost commits: it is not opened, and its timeline never counts.
    if let Operation::Failover(failover) = &cluster.operation
        && let Some(sealed) = failover.seals.get(instance)
        && !line.contains(sealed.position)
    {
        return Rejected::because(format!(
            "{instance} was promoted at {}, below {} where it was sealed: acknowledged commits may be missing",
            promotion.begin, sealed.position
        ));
    }
    reign.fork = Some(promotion);
    adopt_ancestors(&mut cluster.timelines, instance, line);
    cluster.timelines.push(Fork {
        epoch,
        instance: instance.clone(),
        parent: promotion.parent,
        begin: promotion.begin,
    });
    if let Operation::Failover(failover) = &mut cluster.operation {
        failover.times.promoted = at;
    }
    // Copies that were on their way to being whole are measured against the new primary from now on.
    let begin = Position { timeline: TimelineId(epoch.0), lsn: Lsn(promotion.begin.0) };
    for member in cluster.instances.values_mut() {
        if let Copy::Rebuilding { until, done: true, .. } = &mut member.copy {
            *until = begin;
        }
    }
    // What a copy was sealed with past the fork it has to give up to follow: it is not missed any more.
    let line = cluster.line();
    for member in cluster.instances.values_mut() {
        member.held = member.held.and_then(|held| line.as_ref()?.cut(held));
    }
    cluster.revision = cluster.revision.next();
    Ok(vec![(
        "promoted",
        format!(
            "{instance} was promoted: timeline {epoch} off timeline {} at {}",
            promotion.parent, promotion.begin
        ),
    )])
}

pub(super) fn open(cluster: &mut Cluster, epoch: Epoch, at: WallMs) -> Done {
    if epoch != cluster.epoch {
        return Rejected::because(format!("epoch {epoch} is not the current one, {}", cluster.epoch));
    }
    let Some(reign) = cluster.primary.as_mut().filter(|reign| reign.fork.is_some()) else {
        return Rejected::because("the promotion is not confirmed yet");
    };
    if reign.open {
        return Ok(Vec::new());
    }
    reign.open = true;
    let instance = reign.instance.clone();
    let times = match std::mem::replace(&mut cluster.operation, Operation::None) {
        Operation::Failover(failover) if failover.from.is_some() => Some(failover.times),
        _ => None,
    };
    let phases = times.map(|t| {
        let span = |from: WallMs, to: WallMs| to.0.saturating_sub(from.0);
        format!(
            "; seal {} ms, elect {} ms, promote {} ms, first commit {} ms",
            span(t.begun, t.sealed),
            span(t.sealed, t.elected),
            span(t.elected, t.promoted),
            span(t.promoted, at)
        )
    });
    Ok(vec![("opened", format!("{instance} takes writes in epoch {epoch}{}", phases.unwrap_or_default()))])
}
