//! A decision as text, for logs, `interrex explain` and the scenes; a cluster as one screen of facts.

use crate::decide::Decision;
use crate::diagnose::standby::{in_short, in_words};
use crate::ids::InstanceName;
use crate::record::{Cluster, Copy, Failover, Operation};
use crate::report::{Report, Server, Standby};
use crate::status::{ClusterStatus, InstanceStatus, ProblemLine};
use crate::time::span;
use crate::view::View;
use crate::wal::{Lsn, TimelineId};

/// The decision, a line each: what is wrong and who says so, what is done, what is waited for.
pub fn lines(decision: &Decision) -> Vec<String> {
    let mut lines = Vec::new();
    for problem in &decision.problems {
        lines.push(format!("problem {}: {}", problem.kind.code(), problem.kind));
        lines.extend(problem.evidence.iter().map(|evidence| format!("  {evidence}")));
    }
    lines.extend(decision.commands.iter().map(|command| format!("do {command}")));
    lines.extend(decision.waits.iter().map(|wait| format!("wait: {wait}")));
    if lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    lines
}

/// One cluster on one screen.
pub fn status(view: &View<'_>, decision: &Decision) -> ClusterStatus {
    let record = view.record;
    ClusterStatus {
        name: record.name.clone(),
        id: record.id,
        spec: record.spec.clone(),
        system: record.system,
        epoch: record.epoch,
        revision: record.revision,
        operation: operation(record),
        primary: record.primary.as_ref().map(|reign| reign.instance.clone()),
        open: record.primary.as_ref().is_some_and(|reign| reign.open),
        rule: record.rules.last().map_or_else(|| "none yet".to_owned(), ToString::to_string),
        rules: record.rules.iter().map(ToString::to_string).collect(),
        instances: record.instances.keys().map(|name| instance(view, name)).collect(),
        problems: decision.problems.iter().map(problem_line).collect(),
        waits: decision.waits.iter().map(ToString::to_string).collect(),
        paused: record.paused,
    }
}

fn problem_line(problem: &crate::problem::Problem) -> ProblemLine {
    ProblemLine {
        code: problem.kind.code().to_owned(),
        severity: problem.kind.severity(),
        sentence: problem.kind.to_string(),
        evidence: problem.evidence.clone(),
    }
}

fn operation(record: &Cluster) -> String {
    match (&record.operation, &record.primary) {
        (Operation::Gather, _) => "waits for its instances".to_owned(),
        (Operation::Bootstrap { on }, _) => format!("{on} creates the first copy"),
        (Operation::Adopt(_), _) => "takes in an existing PostgreSQL".to_owned(),
        (Operation::None, _) => "steady".to_owned(),
        (Operation::Switchover(under_way), _) => format!("switchover to {}: checkpoint", under_way.to),
        (Operation::Failover(Failover { hand_over: Some(hand_over), .. }), None) => {
            let stage =
                if record.handed_over_at().is_some() { "sealing" } else { "stopping the old primary" };
            format!("switchover to {}: {stage}", hand_over.to)
        }
        (Operation::Failover(_), None) => "failover: sealing".to_owned(),
        (Operation::Failover(_), Some(reign)) if reign.fork.is_none() => {
            format!("promoting {}", reign.instance)
        }
        (Operation::Failover(_), Some(reign)) => format!("opening {}", reign.instance),
    }
}

fn instance(view: &View<'_>, name: &InstanceName) -> InstanceStatus {
    let record = view.record;
    let member = &record.instances[name];
    let is_primary = record.primary.as_ref().is_some_and(|reign| reign.instance == *name);
    let report = view.fresh(name);
    let (timeline, lsn) = report.map_or((None, None), |report| place(&report.server));
    let sender = sender_of(view, name);
    let primary_lsn =
        record.primary.as_ref().and_then(|r| view.fresh(&r.instance)).and_then(|r| place(&r.server).1);
    InstanceStatus {
        name: name.clone(),
        machine: member.machine.clone(),
        zone: member.zone.clone(),
        address: member.address.clone(),
        role: match (&member.copy, is_primary) {
            (_, true) => "primary",
            (Copy::Whole, false) => "standby",
            (_, false) => "joining",
        }
        .to_owned(),
        server: server_in_words(view, name, report),
        priority: member.priority,
        timeline,
        lsn,
        // Where the primary serves it, one look told both ends.
        lag_bytes: match (is_primary, primary_lsn, sender.map(|sender| sender.flushed).or(lsn)) {
            (false, Some(primary), Some(own)) => Some(primary.bytes_since(own)),
            _ => None,
        },
        lag_ms: sender.map(|sender| sender.behind_ms).filter(|_| !is_primary),
        in_sync_set: record.in_sync_set(name),
        incarnation: member.incarnation,
        report_age_ms: view.heard.get(name).map(|heard| millis(view.now.since(heard.at))),
        lease_left_ms: report.and_then(|report| report.lease_left_ms),
        doing: report.and_then(|report| report.doing.clone()),
        pending_restart: report.map(|report| report.pending_restart.clone()).unwrap_or_default(),
        parameters_read: report.and_then(|report| report.has_read(&record.spec.parameters)) == Some(true),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn sender_of<'a>(view: &'a View<'_>, name: &InstanceName) -> Option<&'a crate::report::Sender> {
    let reign = view.record.primary.as_ref()?;
    match view.server(&reign.instance)? {
        Server::Primary(primary) => primary.senders.iter().find(|sender| sender.instance == *name),
        _ => None,
    }
}

/// Timeline and end of WAL that a server told.
fn place(server: &Server) -> (Option<TimelineId>, Option<Lsn>) {
    match server {
        Server::Primary(primary) => (Some(primary.timeline), Some(primary.flushed)),
        Server::Standby(standby) => match &standby.receiver {
            Some(receiver) => (Some(receiver.timeline), Some(receiver.flushed.max(standby.replayed))),
            None => (None, Some(standby.replayed)),
        },
        _ => (None, None),
    }
}

fn server_in_words(view: &View<'_>, name: &InstanceName, report: Option<&Report>) -> String {
    let Some(report) = report else { return format!("silent for {}", span(view.silence(name))) };
    let copy = view.member(name).map(|member| &member.copy);
    match (copy, &report.server) {
        (Some(copy @ Copy::Rebuilding { .. }), _) => in_words(copy).to_owned(),
        // Still on its way to the fork of this epoch: what it acknowledges there counts for nothing.
        (_, Server::Standby(Standby { receiver: Some(receiver), .. }))
            if receiver.streaming && receiver.timeline.0 != view.record.epoch.0 =>
        {
            format!("streaming timeline {}", receiver.timeline)
        }
        (_, server) => in_short(server),
    }
}

impl std::fmt::Display for crate::command::Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use crate::command::Command as C;
        let names = |set: &std::collections::BTreeSet<InstanceName>| {
            crate::problem::list(&set.iter().cloned().collect::<Vec<_>>())
        };
        match self {
            C::Create { .. } => write!(f, "create"),
            C::Register(new) => write!(f, "register {}", new.instance),
            C::BeginBootstrap { on } => write!(f, "begin bootstrap on {on}"),
            C::EndBootstrap { instance, .. } => write!(f, "end bootstrap by {instance}"),
            C::BeginFailover { epoch, wanted: None, .. } => write!(f, "begin failover, epoch {epoch}"),
            C::BeginFailover { epoch, wanted: Some(wanted), .. } => {
                write!(f, "begin failover to {wanted}, epoch {epoch}")
            }
            C::BeginSwitchover { to, .. } => write!(f, "begin switchover to {to}"),
            C::BeginHandOver { epoch, to } => write!(f, "hand over to {to}, epoch {epoch}"),
            C::AbandonSwitchover { why, .. } => write!(f, "give the switchover up: {why}"),
            C::SetSpec { before, spec } => write!(f, "set {}", spec.changes_since(before).join(" ")),
            C::SettleSpec { refused: None, .. } => write!(f, "settle the proposed change"),
            C::SettleSpec { refused: Some(why), .. } => write!(f, "refuse the proposed change: {why}"),
            C::Ask { instance, what } => write!(f, "ask {instance}: {what:?}"),
            C::EndRestart { instance, .. } => write!(f, "end restart of {instance}"),
            C::Remove { instance, .. } => write!(f, "remove {instance}"),
            C::SetPaused { paused: true } => write!(f, "pause"),
            C::SetPaused { paused: false } => write!(f, "resume"),
            C::RecordSeal { instance, seal, .. } => {
                let how = if seal.stopped { "stopped" } else { "sealed" };
                write!(f, "record {instance} {how} at {}", seal.position)
            }
            C::BeginFetch { to, from, .. } => write!(f, "have {to} fetch what it lacks from {from}"),
            C::EndFetch { given_up: None, .. } => write!(f, "end the fetch"),
            C::EndFetch { given_up: Some(why), .. } => write!(f, "give the fetch up: {why}"),
            C::AcceptLoss { epoch, .. } => write!(f, "accept loss in epoch {epoch}"),
            C::Elect { epoch, instance, k, standbys, loss } => {
                write!(f, "elect {instance} for epoch {epoch}, {k} of {} to acknowledge", names(standbys))?;
                loss.as_ref().map_or(Ok(()), |loss| write!(f, " ({loss})"))
            }
            C::ConfirmPrimary { instance, promotion, .. } => {
                write!(
                    f,
                    "confirm {instance}, branched off timeline {} at {}",
                    promotion.parent, promotion.begin
                )
            }
            C::OpenPrimary { epoch } => write!(f, "open epoch {epoch}"),
            C::ChangeRule { k, standbys, .. } => write!(f, "change rule to {k} of {}", names(standbys)),
            C::RetireRules { number, .. } => write!(f, "retire rules before {number}"),
            C::GrantRebuild { instance, how, .. } => {
                write!(f, "grant {instance} a {}", format!("{how:?}").to_lowercase())
            }
            C::RecordReceipt { instance, .. } => write!(f, "record the receipt of {instance}"),
            C::EndRebuild { instance, .. } => write!(f, "end rebuild of {instance}"),
            C::MarkWhole { instance, .. } => write!(f, "mark {instance} whole"),
            C::TakeOver { instance } => write!(f, "take over the server on {instance}"),
            C::Adopt(adopted) => {
                let (instance, epoch) = (&adopted.instance, adopted.epoch);
                write!(f, "adopt {instance} for epoch {epoch}, copies on {}", names(&adopted.copies))
            }
        }
    }
}

/// A sentence without its durations and sizes, which change from look to look: figures that stand by themselves go,
/// those of names stay. For whoever tells each thing once.
pub fn without_figures(line: &str) -> String {
    let figure = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) || matches!(*word, "ms" | "s");
    line.split(' ').filter(|word| !figure(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_the_same_while_only_its_figures_move() {
        let wait = |left| format!("wait: waits up to {left} for the lease of n1 to run out");
        assert_eq!(without_figures(&wait("2.9 s")), without_figures(&wait("900 ms")));
        assert_ne!(without_figures("n1 is silent"), without_figures("n2 is silent"));
    }
}
