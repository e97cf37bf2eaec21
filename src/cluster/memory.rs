//! What a leader remembers between two looks at a cluster: since when something has been so. It lives in memory only;
//! a new leader begins with an empty one, which leans toward waiting.

use crate::ids::{Epoch, InstanceName, Revision, Stamp};
use crate::mutants::{self, Mutant};
use crate::record::{Cluster, Copy, Operation};
use crate::report::{Server, Standby};
use crate::time::Instant;
use crate::view::View;
use crate::wal::Lsn;
use std::collections::BTreeMap;
use std::time::Duration;

/// Since when things have been as they are, by the reader's own clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// The phase that the cluster is in, and since when.
    phase: Option<(Phase, Instant)>,
    /// Members of `S`, or able to join it, that cannot acknowledge at the moment, and since when.
    unable: BTreeMap<InstanceName, Instant>,
    /// Since when nobody has been able to acknowledge, without the time in which the primary's server could not say so.
    alone: Option<Instant>,
    /// When it was looked last.
    looked: Option<Instant>,
    /// The proposed change that is to be judged, and since when it is known.
    proposed: Option<(Revision, Instant)>,
    /// How far the elected instance had come with its recovery, and since when it has not moved.
    recovery: Option<(Option<Lsn>, Instant)>,
}

/// What tells one phase of an operation from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phase {
    epoch: Epoch,
    elected: bool,
    confirmed: bool,
    open: bool,
    /// A switchover is being prepared.
    preparing: bool,
    /// The old primary of a switchover is still to stop.
    handing_over: bool,
    /// Whether a preferred instance fetches what it lacks, or did.
    fetching: Option<bool>,
}

impl Phase {
    fn of(record: &Cluster) -> Phase {
        let reign = record.primary.as_ref();
        let fetch = record.failover().and_then(|failover| failover.fetch.as_deref());
        Phase {
            epoch: record.epoch,
            elected: reign.is_some(),
            confirmed: reign.is_some_and(|r| r.fork.is_some()),
            open: reign.is_some_and(|r| r.open),
            preparing: matches!(record.operation, Operation::Switchover(_)),
            handing_over: record.handing_over().is_some(),
            fetching: fetch.map(|fetch| fetch.end.is_none()),
        }
    }
}

impl Memory {
    /// Takes in what the view shows now. Called once before each decision.
    pub fn look(&mut self, view: &View<'_>) {
        let phase = Phase::of(view.record);
        if self.phase.is_none_or(|(known, _)| known != phase) {
            self.phase = Some((phase, view.now));
            self.unable.clear();
            self.alone = None;
            self.recovery = None;
        }
        self.watch_recovery(view);
        let proposed = view.record.proposed.as_ref().map(|proposed| proposed.number);
        if self.proposed.map(|(number, _)| number) != proposed {
            self.proposed = proposed.map(|number| (number, view.now));
        }
        let mut anybody = false;
        for (name, member) in view.record.instances.iter().filter(|(_, m)| m.copy != Copy::Empty) {
            if able_to_acknowledge(view, name) {
                self.unable.remove(name);
                anybody |= member.copy == Copy::Whole;
            } else {
                self.unable.entry(name.clone()).or_insert(view.now);
            }
        }
        // A primary whose agent is silent, or whose server does not answer it, says nothing about its standbys: that it is
        // alone is known only from itself.
        let primary = view.record.primary.as_ref().and_then(|reign| view.server(&reign.instance));
        // A cluster that was never open is not alone, it is not finished: its first standby is still being cloned.
        // Once nobody else speaks, it is alone all the same.
        // One that was adopted was open before, and goes on as it may.
        let created = view.record.failover().is_some_and(|f| f.from.is_none() && f.seals.is_empty());
        let never_open = created && !view.record.primary.as_ref().is_some_and(|r| r.open);
        let mut others = view.record.instances.keys().filter(|name| !is_primary(view.record, name));
        let unfinished = never_open && others.any(|name| view.fresh(name).is_some());
        let passed = self.looked.replace(view.now).map_or(Duration::ZERO, |last| view.now.since(last));
        self.alone = match primary {
            Some(Server::Primary(_)) if !anybody && !unfinished => self.alone.or(Some(view.now)),
            Some(Server::Silent { .. }) if mutants::on(Mutant::SilenceSaysNothing) => {
                self.alone.or(Some(view.now))
            }
            // It neither was heard to be alone meanwhile, nor not to be.
            Some(Server::Silent { .. }) => self.alone.map(|since| since.plus(passed)),
            _ => None,
        };
    }

    /// An elected instance that recovers is not stuck while replay moves, or while it does not let anybody in yet.
    fn watch_recovery(&mut self, view: &View<'_>) {
        let server = view.record.primary.as_ref().and_then(|reign| view.server(&reign.instance));
        let at = match server {
            Some(Server::Standby(standby)) => Some(standby.replayed),
            _ => None,
        };
        let moves = matches!(server, Some(Server::Starting { .. }));
        if moves || self.recovery.is_none_or(|(known, _)| known != at) {
            self.recovery = Some((at, view.now));
        }
    }

    /// How long the elected instance has made no progress on its way to being promoted.
    pub fn stuck_for(&self, now: Instant) -> Duration {
        self.recovery.map_or(Duration::ZERO, |(_, since)| now.since(since))
    }

    /// How long a proposed change has been waiting to be judged.
    pub fn proposed_for(&self, now: Instant) -> Duration {
        self.proposed.map_or(Duration::ZERO, |(_, since)| now.since(since))
    }

    /// How long the current phase (an election outstanding, a promotion outstanding, …) has lasted, seen from here.
    pub fn in_phase_for(&self, now: Instant) -> Duration {
        self.phase.map_or(Duration::ZERO, |(_, since)| now.since(since))
    }

    /// How long the instance has been unable to acknowledge; zero while it is able.
    pub fn unable_for(&self, instance: &InstanceName, now: Instant) -> Duration {
        self.unable.get(instance).map_or(Duration::ZERO, |since| now.since(*since))
    }

    /// How long nobody has been able to acknowledge, by the primary's own word.
    pub fn alone_for(&self, now: Instant) -> Duration {
        self.alone.map_or(Duration::ZERO, |since| now.since(since))
    }
}

fn is_primary(record: &Cluster, name: &InstanceName) -> bool {
    record.primary.as_ref().is_some_and(|reign| reign.instance == *name)
}

/// True when the primary says that the instance streams from it under its present name and answers.
pub fn able_to_acknowledge(view: &View<'_>, instance: &InstanceName) -> bool {
    let record = view.record;
    let Some(Server::Primary(primary)) = record.primary.as_ref().and_then(|r| view.server(&r.instance))
    else {
        return false;
    };
    let Some(member) = view.member(instance) else { return false };
    primary.senders.iter().any(|sender| {
        sender.instance == *instance
            && sender.incarnation == member.incarnation
            && sender.streaming
            && Duration::from_millis(sender.reply_age_ms) <= view.policy.leaves_after
    })
}

/// True when the instance's own agent says that it receives this epoch's timeline, first-hand (F17).
pub fn receives_this_epoch(view: &View<'_>, instance: &InstanceName) -> bool {
    let epoch = view.record.epoch;
    let obeyed = view.fresh(instance).map(|report| report.obeyed).unwrap_or_default();
    match view.server(instance) {
        Some(Server::Standby(Standby { receiver: Some(receiver), .. })) => {
            receiver.streaming
                && receiver.timeline.0 == epoch.0
                && obeyed >= Stamp { epoch, ..Stamp::default() }
        }
        _ => false,
    }
}
