//! What agents said last, and when: in memory, never in the log. Every coordinator keeps them warm, so that a new
//! leader knows at once how things are.
//!
//! Silence is judged by this memory, so it has to know when it was itself away: a coordinator that was stopped or
//! starved for a while forgets what it heard, and listens anew. Else its own pause would look like everybody's death.

use interrex_cluster::ids::{ClusterName, DirectoryId, InstanceName};
use interrex_cluster::report::{Report, Server};
use interrex_cluster::time::Instant;
use interrex_cluster::view::Heard;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The newest reports of one cluster, by instance.
pub(crate) type Room = BTreeMap<InstanceName, Heard>;

/// The newest reports of every cluster.
#[derive(Debug)]
pub(crate) struct Reports {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    listening_since: Instant,
    rooms: BTreeMap<ClusterName, Room>,
    /// One for each cluster whose news somebody waits for.
    news: BTreeMap<ClusterName, Arc<Notify>>,
}

impl Reports {
    /// Nothing was heard before `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            inner: Mutex::new(Inner { listening_since: now, rooms: BTreeMap::new(), news: BTreeMap::new() }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a report of a member whose registered directory is `registered`. A stranger under the same name is
    /// heard only while the member itself has been silent for `patience`: it must not drown its voice.
    pub(crate) fn take(
        &self,
        cluster: &ClusterName,
        report: Report,
        registered: &DirectoryId,
        patience: Duration,
        now: Instant,
    ) {
        let mut inner = self.inner();
        let room = inner.rooms.entry(cluster.clone()).or_default();
        let known = room.get(&report.instance);
        let drowned = |heard: &Heard| {
            heard.report.directory == *registered
                && report.directory != *registered
                && now.since(heard.at) < patience
        };
        if known.is_some_and(drowned) {
            return;
        }
        let news = known.is_none_or(|heard| lasting(&heard.report) != lasting(&report));
        room.insert(report.instance.clone(), Heard { report, at: now });
        if news && let Some(waiting) = inner.news.get(cluster) {
            waiting.notify_one();
        }
    }

    /// What is known of a cluster, and since when this coordinator has listened without a break.
    pub(crate) fn of(&self, cluster: &ClusterName) -> (Room, Instant) {
        let inner = self.inner();
        (inner.rooms.get(cluster).cloned().unwrap_or_default(), inner.listening_since)
    }

    /// Woken by each report that says something new about the cluster. For one waiter.
    pub(crate) fn news(&self, cluster: &ClusterName) -> Arc<Notify> {
        self.inner().news.entry(cluster.clone()).or_default().clone()
    }

    /// This coordinator was away until `now`: what it heard before says nothing about silence since.
    pub(crate) fn listen_anew(&self, now: Instant) {
        let mut inner = self.inner();
        inner.listening_since = now;
        inner.rooms.clear();
    }
}

/// A report without what moves all the time (WAL positions, ages, progress in words): two that differ in what is left
/// are news. What moves is looked at on each tick anyway.
fn lasting(report: &Report) -> Report {
    let mut still = Report { doing: None, lease_left_ms: None, ..report.clone() };
    match &mut still.server {
        Server::Silent { for_ms } => *for_ms = 0,
        Server::Standby(standby) => {
            standby.replayed = Default::default();
            if let Some(receiver) = &mut standby.receiver {
                receiver.flushed = Default::default();
                receiver.quiet_ms = 0;
            }
        }
        Server::Primary(primary) => {
            primary.flushed = Default::default();
            primary.beat_age_ms = None;
            for sender in &mut primary.senders {
                sender.flushed = Default::default();
                sender.replayed = Default::default();
                sender.reply_age_ms = 0;
            }
        }
        Server::NoData | Server::Stopped { .. } | Server::Starting { .. } => {}
    }
    if let Some(knock) = &mut still.knock {
        knock.for_ms = 0;
    }
    still
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::{Incarnation, Stamp, SystemId};
    use interrex_cluster::report::{Knock, Proofs, Receiver, Standby};
    use interrex_cluster::wal::{Lsn, TimelineId};

    fn report(directory: &str, flushed: u64) -> Report {
        let receiver = Receiver {
            upstream: None,
            streaming: true,
            timeline: TimelineId(2),
            flushed: Lsn(flushed),
            quiet_ms: flushed,
        };
        Report {
            instance: "n2".parse().unwrap(),
            directory: DirectoryId(directory.to_owned()),
            obeyed: Stamp::default(),
            incarnation: Incarnation(1),
            server: Server::Standby(Standby {
                system: SystemId(7),
                replayed: Lsn(flushed),
                receiver: Some(receiver),
            }),
            proofs: Proofs::default(),
            needs: None,
            knock: None,
            unfit: Vec::new(),
            doing: None,
            lease_left_ms: None,
        }
    }

    fn woken(news: &Notify) -> bool {
        use futures::FutureExt as _;
        news.notified().now_or_never().is_some()
    }

    #[test]
    fn only_what_is_new_wakes_and_a_wal_position_is_not() {
        let (reports, cluster) = (Reports::new(Instant(0)), "orders".parse().unwrap());
        let (ours, patience) = (DirectoryId("d1".to_owned()), Duration::from_secs(9));
        let news = reports.news(&cluster);
        reports.take(&cluster, report("d1", 5), &ours, patience, Instant(10));
        assert!(woken(&news));
        reports.take(&cluster, report("d1", 9), &ours, patience, Instant(20));
        assert!(!woken(&news));
        let knock = Some(Knock { epoch: Default::default(), answered: false, for_ms: 3 });
        reports.take(&cluster, Report { knock, ..report("d1", 9) }, &ours, patience, Instant(30));
        assert!(woken(&news));
        assert_eq!(reports.of(&cluster).0.values().next().unwrap().at, Instant(30));
    }

    #[test]
    fn a_stranger_under_a_member_s_name_is_heard_only_once_that_has_long_been_silent() {
        let (reports, cluster) = (Reports::new(Instant(0)), "orders".parse().unwrap());
        let (ours, patience) = (DirectoryId("d1".to_owned()), Duration::from_secs(9));
        let speaker = || reports.of(&cluster).0.values().next().unwrap().report.directory.0.clone();
        reports.take(&cluster, report("d1", 5), &ours, patience, Instant(10));
        reports.take(&cluster, report("d2", 5), &ours, patience, Instant(20));
        assert_eq!(speaker(), "d1");
        reports.take(&cluster, report("d2", 5), &ours, patience, Instant(9_010));
        assert_eq!(speaker(), "d2");
        reports.take(&cluster, report("d1", 5), &ours, patience, Instant(9_020));
        assert_eq!(speaker(), "d1");
    }

    #[test]
    fn who_was_away_itself_begins_to_listen_anew() {
        let (reports, cluster) = (Reports::new(Instant(0)), "orders".parse().unwrap());
        reports.take(&cluster, report("d1", 5), &DirectoryId("d1".to_owned()), Duration::ZERO, Instant(10));
        reports.listen_anew(Instant(60_000));
        assert_eq!(reports.of(&cluster), (Room::new(), Instant(60_000)));
    }
}
