//! What agents said last, and when: in memory, never in the log. Every coordinator keeps them warm, so that a new
//! leader knows at once how things are.
//!
//! Silence is judged by this memory, so it has to know when it was itself away: a coordinator that was stopped or
//! starved for a while forgets what it heard, and listens anew. Else its own pause would look like everybody's death.
//! What it never forgets is who said what last ([`crate::voices`]): an old word is not taken for a new one.

use crate::voices::Voice;
use interrex_api::session::Serial;
use interrex_cluster::ids::{ClusterName, DirectoryId, Incarnation, InstanceName};
use interrex_cluster::report::{Report, Sender, Server};
use interrex_cluster::time::Instant;
use interrex_cluster::view::Heard;
use interrex_cluster::wal::Position;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The newest reports of one cluster, by instance.
pub(crate) type Room = BTreeMap<InstanceName, Heard>;

/// Strangers under one member's name of whom it is remembered what they said last.
const STRANGERS: usize = 8;

/// One message of an agent, as it came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came {
    /// Which word of its agent it is.
    pub(crate) serial: Serial,
    /// How long ago the agent last looked when it sent it; zero while that is fresh testimony.
    pub(crate) stale: Duration,
    /// When it came.
    pub(crate) at: Instant,
}

impl Came {
    /// When the agent saw what it says: on arrival, unless it was stale when it left.
    fn seen(&self) -> Instant {
        let stale = u64::try_from(self.stale.as_millis()).unwrap_or(u64::MAX);
        Instant(self.at.0.saturating_sub(stale))
    }
}

/// The newest reports of every cluster.
#[derive(Debug)]
pub(crate) struct Reports {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    listening_since: Instant,
    rooms: BTreeMap<ClusterName, Room>,
    voices: BTreeMap<(ClusterName, InstanceName), BTreeMap<DirectoryId, Voice>>,
    /// The highest position heard of each member's newest copy, by itself or by the primary that serves it. It outlasts
    /// pauses of this coordinator: it is no testimony of how things are, but of what was durable once.
    highest: BTreeMap<(ClusterName, InstanceName), (Incarnation, Position)>,
    /// One for each cluster whose news somebody waits for.
    news: BTreeMap<ClusterName, Arc<Notify>>,
}

impl Reports {
    /// Nothing was heard before `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            inner: Mutex::new(Inner {
                listening_since: now,
                rooms: BTreeMap::new(),
                voices: BTreeMap::new(),
                highest: BTreeMap::new(),
                news: BTreeMap::new(),
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a report of a member whose registered directory is `registered`. A stranger under the same name is
    /// heard only while the member itself has been silent for `patience`: it must not drown its voice. False when the
    /// report was overtaken by a newer one of its agent.
    pub(crate) fn take(
        &self,
        cluster: &ClusterName,
        report: Report,
        registered: &DirectoryId,
        patience: Duration,
        came: Came,
    ) -> bool {
        let mut inner = self.inner();
        if !inner.hears(cluster, &report.instance, &report.directory, registered, patience, came) {
            return false;
        }
        let now = came.at;
        let room = inner.rooms.entry(cluster.clone()).or_default();
        let known = room.get(&report.instance);
        let drowned = |heard: &Heard| {
            heard.report.directory == *registered
                && report.directory != *registered
                && now.since(heard.at) < patience
        };
        if known.is_some_and(drowned) {
            return true;
        }
        let news = known.is_none_or(|heard| heard.report.lasting() != report.lasting());
        if report.directory == *registered {
            for (instance, incarnation, position) in durable(&report) {
                raise(&mut inner.highest, (cluster.clone(), instance.clone()), (incarnation, position));
            }
        }
        let room = inner.rooms.entry(cluster.clone()).or_default();
        room.insert(report.instance.clone(), Heard { report, at: came.seen() });
        if news && let Some(waiting) = inner.news.get(cluster) {
            waiting.notify_one();
        }
        true
    }

    /// Takes note of a registration of a member; false when it was overtaken by a newer word of its agent.
    pub(crate) fn hears(
        &self,
        cluster: &ClusterName,
        member: &InstanceName,
        directory: &DirectoryId,
        patience: Duration,
        came: Came,
    ) -> bool {
        self.inner().hears(cluster, member, directory, directory, patience, came)
    }

    /// The highest end of WAL that was heard of a member's newest copy.
    pub(crate) fn highest(
        &self,
        cluster: &ClusterName,
        instance: &InstanceName,
    ) -> Option<(Incarnation, Position)> {
        self.inner().highest.get(&(cluster.clone(), instance.clone())).copied()
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
        inner.voices.values_mut().flat_map(BTreeMap::values_mut).for_each(|voice| voice.listen_anew(now));
    }
}

impl Inner {
    fn hears(
        &mut self,
        cluster: &ClusterName,
        instance: &InstanceName,
        directory: &DirectoryId,
        registered: &DirectoryId,
        patience: Duration,
        came: Came,
    ) -> bool {
        let voices = self.voices.entry((cluster.clone(), instance.clone())).or_default();
        if let Some(voice) = voices.get_mut(directory) {
            return voice.hears(came.serial, patience, came.at);
        }
        if voices.len() > STRANGERS {
            voices.retain(|known, _| known == registered);
        }
        voices.insert(directory.clone(), Voice::new(came.serial, came.at));
        true
    }
}

/// What a report says to be durable, and of which copy: its own, and what a primary hears of its standbys.
fn durable(report: &Report) -> impl Iterator<Item = (&InstanceName, Incarnation, Position)> {
    let (own, standbys): (Option<Position>, &[Sender]) = match &report.server {
        Server::Standby(standby) => {
            let receiver = standby.receiver.as_ref().filter(|receiver| receiver.streaming);
            (receiver.map(|r| Position { timeline: r.timeline, lsn: r.flushed }), &[])
        }
        Server::Primary(primary) => {
            (Some(Position { timeline: primary.timeline, lsn: primary.flushed }), &primary.senders)
        }
        Server::NoData | Server::Stopped { .. } | Server::Starting { .. } | Server::Silent { .. } => {
            (None, &[])
        }
    };
    let timeline = own.map(|own| own.timeline).unwrap_or_default();
    let sealed = report.proofs.sealed.map(|seal| seal.position);
    let own = own.into_iter().chain(sealed).map(|at| (&report.instance, report.incarnation, at));
    let heard = move |sender: &Sender| Position { timeline, lsn: sender.flushed };
    own.chain(standbys.iter().map(move |sender| (&sender.instance, sender.incarnation, heard(sender))))
}

/// A newer copy begins anew; an older one is no longer asked for.
fn raise<K: Ord>(
    highest: &mut BTreeMap<K, (Incarnation, Position)>,
    key: K,
    (incarnation, position): (Incarnation, Position),
) {
    let known = highest.entry(key).or_insert((incarnation, position));
    *known = (incarnation, position).max(*known);
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::{Incarnation, SystemId};
    use interrex_cluster::report::{Knock, Receiver, Standby};
    use interrex_cluster::wal::{Lsn, TimelineId};

    fn report(directory: &str, flushed: u64) -> Report {
        let receiver = Receiver {
            upstream: None,
            streaming: true,
            timeline: TimelineId(2),
            flushed: Lsn(flushed),
            quiet_ms: flushed,
        };
        let server = Server::Standby(Standby {
            system: SystemId(7),
            replayed: Lsn(flushed),
            receiver: Some(receiver),
        });
        let directory = DirectoryId(directory.to_owned());
        Report { incarnation: Incarnation(1), ..Report::of("n2".parse().unwrap(), directory, server) }
    }

    /// The n-th word of an agent's first run.
    fn came(number: u64, at: u64) -> Came {
        Came { serial: Serial { start: 1, run: 9, number }, stale: Duration::ZERO, at: Instant(at) }
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
        reports.take(&cluster, report("d1", 5), &ours, patience, came(1, 10));
        assert!(woken(&news));
        reports.take(&cluster, report("d1", 9), &ours, patience, came(2, 20));
        assert!(!woken(&news));
        let knock = Some(Knock { epoch: Default::default(), answered: false, for_ms: 3 });
        reports.take(&cluster, Report { knock, ..report("d1", 9) }, &ours, patience, came(3, 30));
        assert!(woken(&news));
        assert_eq!(reports.of(&cluster).0.values().next().unwrap().at, Instant(30));
    }

    #[test]
    fn a_stranger_under_a_member_s_name_is_heard_only_once_that_has_long_been_silent() {
        let (reports, cluster) = (Reports::new(Instant(0)), "orders".parse().unwrap());
        let (ours, patience) = (DirectoryId("d1".to_owned()), Duration::from_secs(9));
        let speaker = || reports.of(&cluster).0.values().next().unwrap().report.directory.0.clone();
        reports.take(&cluster, report("d1", 5), &ours, patience, came(1, 10));
        reports.take(&cluster, report("d2", 5), &ours, patience, came(2, 20));
        assert_eq!(speaker(), "d1");
        reports.take(&cluster, report("d2", 5), &ours, patience, came(3, 9_010));
        assert_eq!(speaker(), "d2");
        reports.take(&cluster, report("d1", 5), &ours, patience, came(4, 9_020));
        assert_eq!(speaker(), "d1");
    }

    #[test]
    fn who_was_away_itself_begins_to_listen_anew() {
        let (reports, cluster) = (Reports::new(Instant(0)), "orders".parse().unwrap());
        reports.take(&cluster, report("d1", 5), &DirectoryId("d1".to_owned()), Duration::ZERO, came(1, 10));
        reports.listen_anew(Instant(60_000));
        assert_eq!(reports.of(&cluster), (Room::new(), Instant(60_000)));
    }

    #[test]
    fn a_report_that_was_overtaken_is_dropped_even_after_the_listener_was_away() {
        let (reports, cluster) = (Reports::new(Instant(0)), "orders".parse().unwrap());
        let (ours, patience) = (DirectoryId("d1".to_owned()), Duration::from_secs(9));
        assert!(reports.take(&cluster, report("d1", 9), &ours, patience, came(4, 10)));
        assert!(!reports.take(&cluster, report("d1", 5), &ours, patience, came(3, 20)));
        let heard = reports.of(&cluster).0.into_values().next().unwrap();
        assert_eq!((heard.report, heard.at), (report("d1", 9), Instant(10)));
        reports.listen_anew(Instant(60_000));
        assert!(!reports.take(&cluster, report("d1", 5), &ours, patience, came(3, 60_010)));
        assert!(!reports.hears(&cluster, &"n2".parse().unwrap(), &ours, patience, came(2, 60_020)));
        assert!(reports.of(&cluster).0.is_empty());
    }

    #[test]
    fn what_the_agent_saw_long_ago_is_not_fresh_on_arrival() {
        let (reports, cluster) = (Reports::new(Instant(0)), "orders".parse().unwrap());
        let stale = Came { stale: Duration::from_secs(4), ..came(1, 10_000) };
        reports.take(&cluster, report("d1", 5), &DirectoryId("d1".to_owned()), Duration::ZERO, stale);
        assert_eq!(reports.of(&cluster).0.values().next().unwrap().at, Instant(6_000));
    }
}
