//! Looking at the server: what it answers, put into the words of the rules.

use super::ANSWER_WITHIN;
use crate::instance::Instance;
use crate::postgres::{
    Clients, Error, HistoryFile, InRecovery, NotInRecovery, Observed as Raw, ObservedRole, Role, SyncText,
};
use crate::session::now;
use interrex_cluster::goal::{Goal, StandbyGoal};
use interrex_cluster::instance::observed::{
    Primary, Receiver, Server as Seen, Standby, SyncShown, Upstream, UpstreamSetting,
};
use interrex_cluster::wal::{History, Lsn, Position, TimelineId};
use std::collections::BTreeMap;
use std::time::Duration;

/// With an archive to fetch from, replay has to stand still for so long before WAL counts as gone. Leans towards
/// waiting: a clone of a large copy takes hours.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(30);
/// A process that never answered is starting for so long; then it is silent.
const STARTING_FOR: Duration = Duration::from_secs(60);

impl Instance {
    pub(super) async fn look_at_server(&self, goal: Option<&Goal>) -> (Seen, Option<Raw>) {
        if self.is_gone() {
            return (Seen::Gone, None);
        }
        match self.server.observe(ANSWER_WITHIN).await {
            Ok(raw) => {
                self.run().answered = Some(now());
                self.not_in_vain().await;
                let seen = match &raw.role {
                    ObservedRole::Standby(standby) => Seen::Standby(self.standby(&raw, standby, goal).await),
                    ObservedRole::Primary(primary) => Seen::Primary(self.primary(&raw, primary, goal).await),
                };
                (seen, Some(raw))
            }
            // Its end was perhaps not told yet.
            Err(_) if self.is_gone() => (Seen::Gone, None),
            Err(Error::Starting { .. }) if !self.run().is_silent() => (Seen::Starting, None),
            Err(error) => (self.unanswered(&error), None),
        }
    }

    fn is_gone(&self) -> bool {
        self.running().is_none_or(|running| running.exited().borrow().is_some())
    }

    /// No answer: while a server comes up that is nothing, later it is silence.
    fn unanswered(&self, error: &Error) -> Seen {
        let (answered, since) = {
            let mut run = self.run();
            run.unanswered = Some(error.to_string());
            (run.answered, run.seen_since.unwrap_or_default())
        };
        let silent = now().since(answered.unwrap_or(since));
        match (answered, error) {
            (None, Error::Down { .. }) if silent < STARTING_FOR => Seen::Starting,
            _ => Seen::Silent { since: silent },
        }
    }

    async fn standby(&self, raw: &Raw, standby: &InRecovery, goal: Option<&Goal>) -> Standby {
        let (role, clients) = {
            let run = self.run();
            (run.role.clone(), run.clients)
        };
        let receiver = match (&standby.receiver, standby.receiver_process) {
            (Some(receiver), _) => Some(Receiver {
                streaming: receiver.streaming,
                timeline: receiver.timeline,
                flushed: receiver.flushed,
            }),
            // It exists and shows nothing: it counts as there (F40).
            (None, true) => {
                Some(Receiver { streaming: false, timeline: TimelineId(0), flushed: Default::default() })
            }
            (None, false) => None,
        };
        let upstream = upstream(role.as_ref(), raw);
        let histories = match goal {
            Some(Goal::Primary(_)) => self.server.histories().await.unwrap_or_default(),
            _ => BTreeMap::new(),
        };
        let (replayed, history) = match goal {
            Some(Goal::Standby(goal)) => self.replayed(standby, &upstream, &receiver, goal).await,
            Some(Goal::Primary(_)) => {
                let history = newest(&histories);
                let timeline = history.as_ref().map_or(TimelineId(1), |history| history.timeline);
                (Position { timeline, lsn: standby.replayed.unwrap_or_default() }, history)
            }
            _ => (Position { timeline: TimelineId(0), lsn: standby.replayed.unwrap_or_default() }, None),
        };
        let histories_complete = match goal {
            Some(Goal::Primary(goal)) => (2..goal.epoch.0).all(|n| histories.contains_key(&TimelineId(n))),
            _ => true,
        };
        Standby {
            upstream,
            receiver,
            replayed,
            history,
            sync: sync_shown(raw),
            clients_in: clients != Some(Clients::Out),
            slots: self.run().shown_slots(now()),
            histories_complete,
        }
    }

    /// Where replay is, with its timeline and ancestry, as far as the goal needs it: a number without its timeline
    /// says nothing (F19). The timeline of a standby without a receiver is read from the WAL itself, once.
    async fn replayed(
        &self,
        standby: &InRecovery,
        upstream: &Upstream,
        receiver: &Option<Receiver>,
        goal: &StandbyGoal,
    ) -> (Position, Option<History>) {
        let lsn = standby.replayed.unwrap_or_default();
        let unknown = (Position { timeline: TimelineId(0), lsn }, None);
        let streams =
            matches!(upstream, Upstream::Of(_)) && receiver.is_some_and(|receiver| receiver.streaming);
        if goal.line.is_none() || streams {
            return unknown;
        }
        let kept = self.run().replaying;
        let timeline = match (receiver, kept) {
            (Some(receiver), _) if receiver.timeline.0 > 0 => receiver.timeline,
            (_, Some(timeline)) => timeline,
            _ => match self.server.wal_end(standby.replayed, None).await {
                Ok(end) => {
                    self.run().replaying = Some(end.timeline);
                    end.timeline
                }
                Err(_) => return unknown,
            },
        };
        let history = self.server.history(timeline, goal.line.as_ref()).await;
        (Position { timeline, lsn }, history.unwrap_or_default())
    }

    async fn primary(&self, raw: &Raw, primary: &NotInRecovery, goal: Option<&Goal>) -> Primary {
        let signal_back = self.server.has_standby_signal().await.unwrap_or(false);
        let run = self.run().clone();
        let confirmed = matches!(goal, Some(Goal::Primary(goal)) if goal.confirmed);
        Primary {
            timeline: primary.timeline,
            signal_back,
            sync: sync_shown(raw),
            // What pg_hba.conf says is not known after the agent's restart: then it is written again, the way that
            // the goal has it.
            clients_in: run.clients.map_or(!confirmed, |clients| clients == Clients::In),
            slots: run.shown_slots(now()),
            roles_ready: run.roles_ready,
            beaten: run.beaten.is_some_and(|(epoch, _)| epoch.0 == primary.timeline.0),
        }
    }

    /// The upstream's word that WAL which this copy needs is gone; the receiver leaves it in the server's log only.
    pub(super) fn wal_gone(&self, server: &Seen) -> Option<String> {
        let replayed = match server {
            Seen::Standby(standby) => {
                let receives = standby.receiver.is_some_and(|receiver| receiver.streaming);
                let waits = matches!(standby.upstream, Upstream::Of(_)) && !receives;
                waits.then_some(standby.replayed.lsn)
            }
            // A copy that was just made lets nobody in, and so tells no place, before it has received the rest of itself.
            Seen::Starting => matches!(self.run().role, Some(Role::Standby { .. })).then_some(Lsn::default()),
            // Nor does one that was adopted, before it has received the roles with which its agent logs in.
            Seen::Silent { .. } if self.run().answered.is_none() => {
                matches!(self.run().role, Some(Role::Standby { .. })).then_some(Lsn::default())
            }
            Seen::Gone | Seen::Silent { .. } | Seen::Primary(_) => return None,
        };
        let Some(replayed) = replayed else {
            self.run().stands = None;
            return None;
        };
        let stands = self.run().stands_for(replayed, now());
        // The archive may have what the upstream has not: then replay goes on.
        if self.config.restore_command.is_some() && stands < ARCHIVE_PATIENCE {
            return None;
        }
        let from = self.run().log_from;
        gone_in(&crate::run::tail(&self.rooms.log(), from)?)
    }
}

fn gone_in(log: &str) -> Option<String> {
    let telling = ["has already been removed", "has been invalidated", "can no longer get changes from"];
    let line = log.lines().rev().find(|line| telling.iter().any(|words| line.contains(words)))?;
    // "… FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment … has already been removed"
    let said = line.rsplit("ERROR:").next().unwrap_or(line);
    Some(said.trim().to_owned())
}

/// What the settings say that this agent last wrote.
pub(super) fn told_upstream(role: Option<&Role>) -> Upstream {
    match role {
        Some(Role::Standby { upstream }) => Upstream::Of(UpstreamSetting {
            address: upstream.address.clone(),
            name: upstream.name.clone(),
            slot: upstream.slot.clone().unwrap_or_default(),
        }),
        Some(Role::Sealed | Role::Primary { .. }) => Upstream::Nobody,
        _ => Upstream::Other,
    }
}

/// The same, if a fresh connection shows it.
fn upstream(role: Option<&Role>, raw: &Raw) -> Upstream {
    let conninfo = raw.settings.get("primary_conninfo").map(String::as_str);
    match (told_upstream(role), conninfo) {
        (Upstream::Nobody, Some("")) => Upstream::Nobody,
        (Upstream::Of(told), Some(conninfo)) if conninfo.contains(&told.name) => Upstream::Of(told),
        _ => Upstream::Other,
    }
}

/// The newest real history; none on the first timeline.
fn newest(histories: &BTreeMap<TimelineId, HistoryFile>) -> Option<History> {
    histories.values().rev().find_map(|file| match file {
        HistoryFile::Real(history) => Some(history.clone()),
        HistoryFile::Placeholder | HistoryFile::Damaged(_) => None,
    })
}

/// `synchronous_standby_names` as shown, understood: `''`, `ANY k (a, "b")`, or something else.
fn sync_shown(raw: &Raw) -> SyncShown {
    let Some(shown) = raw.settings.get("synchronous_standby_names") else { return SyncShown::Other };
    read_sync(shown)
}

fn read_sync(shown: &str) -> SyncShown {
    if shown.trim().is_empty() {
        return SyncShown::Async;
    }
    let read = || {
        let (head, names) = shown.trim().strip_suffix(')')?.split_once('(')?;
        let k = head.trim().strip_prefix("ANY ")?.trim().parse().ok()?;
        let mut names: Vec<String> =
            names.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect();
        names.sort();
        let text = SyncText { k, names: names.clone() };
        (text.k > 0 && names.iter().all(|name| !name.is_empty())).then_some(SyncShown::Any { k, names })
    };
    read().unwrap_or(SyncShown::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_synchronous_setting_is_understood_or_it_is_something_else() {
        assert_eq!(read_sync(""), SyncShown::Async);
        let any =
            |k, names: &[&str]| SyncShown::Any { k, names: names.iter().map(|n| (*n).to_owned()).collect() };
        assert_eq!(read_sync("ANY 1 (\"ix1_n3\", ix1_n2)"), any(1, &["ix1_n2", "ix1_n3"]));
        assert_eq!(read_sync("ANY 2 (nobody_00ff)"), any(2, &["nobody_00ff"]));
        for other in ["*", "FIRST 1 (a)", "ANY (a)", "ANY 1 ()", "ANY 0 (a)", "a"] {
            assert_eq!(read_sync(other), SyncShown::Other, "{other}");
        }
    }

    #[test]
    fn the_log_tells_when_wal_is_gone() {
        let log = "2026-11-22 LOG:  started streaming WAL\n2026-11-22 FATAL:  could not receive data from WAL stream: \
                   ERROR:  requested WAL segment 000000010000000000000003 has already been removed\nLOG:  waiting\n";
        assert_eq!(
            gone_in(log).as_deref(),
            Some("requested WAL segment 000000010000000000000003 has already been removed")
        );
        assert_eq!(gone_in("LOG:  started streaming WAL from primary\n"), None);
    }
}
