//! What every part of a coordinator shares: the log, the reports, the clocks, and the two things done with them: to
//! look at a cluster, and to propose a change.
//!
//! Looking is the same for the driver, for `status` and for a dry run: one view, one decision. What a leader remembers
//! (since when things are so, when it last granted a lease) belongs to its term and is gone with it.

use crate::machine::{Records, read_reply};
use crate::raft::{Peer, ProposeError, RaftNode};
use crate::reports::{Reports, Room};
use crate::trust::Trust;
use crate::turned_away::TurnedAway;
use interrex_api::log::encode_entry;
use interrex_api::refused::Refused;
use interrex_api::session::{LeaderHint, Roster, RosterId};
use interrex_cluster::command::{Command, Entry};
use interrex_cluster::decide::{Decision, decide};
use interrex_cluster::ids::{ClusterName, MachineName};
use interrex_cluster::memory::Memory;
use interrex_cluster::policy::Policy;
use interrex_cluster::record::Cluster;
use interrex_cluster::time::{Instant, WallMs, span};
use interrex_cluster::view::View;
use interrex_rt::{Clock, Rng, Spawner};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// For one entry to be on a quorum's disks and applied here. Leans towards waiting: past it nothing is known.
pub(crate) const PROPOSAL: Duration = Duration::from_millis(1_500);

/// How often a coordinator notes that it is awake.
pub(crate) const AWAKE_EVERY: Duration = Duration::from_millis(250);
/// One that has not noted it for so long was itself away (stopped, suspended, starved). Shorter than any silence that
/// is held against an instance.
const AWAY: Duration = Duration::from_millis(750);

/// Shared by every part of one coordinator.
pub(crate) struct Core {
    pub(crate) machine: MachineName,
    pub(crate) node: RaftNode<Records>,
    pub(crate) reports: Reports,
    /// Whether the records are known to be the newest.
    pub(crate) trust: Trust,
    pub(crate) turned_away: TurnedAway,
    pub(crate) policy: Policy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) spawner: Arc<dyn Spawner>,
    /// True once the coordinator is to end: streams end with it.
    pub(crate) ending: watch::Sender<bool>,
    /// True once calls under way have had their time: connections end.
    pub(crate) cut: watch::Sender<bool>,
    reign: Mutex<Reign>,
    awake: Mutex<Instant>,
}

/// What belongs to one term of this coordinator's leadership.
#[derive(Debug, Default)]
pub(crate) struct Reign {
    term: u64,
    /// When this coordinator first saw itself lead in the term: later than any grant of an earlier leader.
    since: Instant,
    memories: BTreeMap<ClusterName, Memory>,
    grants: BTreeMap<ClusterName, Instant>,
}

impl Reign {
    /// When a lease may last have been granted to anybody in the cluster.
    fn last_grant(&self, cluster: &ClusterName) -> Instant {
        self.grants.get(cluster).copied().unwrap_or_default().max(self.since)
    }

    /// A lease is about to be granted. To be called before the record is read that the grant depends on.
    pub(crate) fn granting(&mut self, cluster: &ClusterName, now: Instant) {
        self.grants.insert(cluster.clone(), now);
    }
}

/// One look at a cluster: all that the decision knew, and the decision.
pub(crate) struct Look {
    pub(crate) record: Cluster,
    pub(crate) decision: Decision,
    pub(crate) memory: Memory,
    /// The thresholds as this cluster's operator wants them.
    policy: Policy,
    room: Room,
    listening_since: Instant,
    last_grant: Instant,
    now: Instant,
}

impl Look {
    /// The view that was decided on.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            record: &self.record,
            heard: &self.room,
            listening_since: self.listening_since,
            last_grant: self.last_grant,
            policy: &self.policy,
            now: self.now,
        }
    }
}

impl Core {
    pub(crate) fn new(
        machine: MachineName,
        node: RaftNode<Records>,
        trust: Trust,
        policy: Policy,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        spawner: Arc<dyn Spawner>,
    ) -> Self {
        let now = Instant(clock.boot_ms());
        Self {
            machine,
            node,
            reports: Reports::new(now),
            trust,
            turned_away: TurnedAway::default(),
            awake: Mutex::new(now),
            policy,
            clock,
            rng,
            spawner,
            ending: watch::Sender::new(false),
            cut: watch::Sender::new(false),
            reign: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant(self.clock.boot_ms())
    }

    /// Now; and if this coordinator was itself away, it listens anew from here. Whoever takes in a report or judges
    /// silence asks this clock, so that a pause of our own is never taken for silence of others.
    pub(crate) fn awake(&self) -> Instant {
        let mut awake = self.awake.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        let away = now.since(*awake);
        if away > AWAY {
            tracing::warn!(
                "this coordinator was away for {}; it listens anew before it calls anybody silent",
                span(away)
            );
            self.reports.listen_anew(now);
        }
        *awake = now;
        now
    }

    /// How long a directory has to be silent before another one may take over its name.
    pub(crate) fn takeover_after(&self) -> Duration {
        3 * self.policy.lease
    }

    /// Who leads, as far as this coordinator knows.
    pub(crate) fn leader(&self) -> Option<LeaderHint> {
        self.node.leadership().borrow().leader.as_ref().and_then(hint)
    }

    /// The group of coordinators that this one belongs to; `None`: none yet.
    pub(crate) fn group(&self) -> Option<u64> {
        let group = self.node.group_id();
        (group != 0).then_some(group)
    }

    /// Which coordinators there are, for an agent that knows such a list; `None` when that is as good. Any member tells
    /// its own group's newer list, for a newcomer may come to lead before any agent reports to it; the list of another
    /// group than the agent's is a leader's to tell.
    pub(crate) fn roster(&self, known: Option<RosterId>) -> Option<Roster> {
        let group = self.node.group_id();
        let news = match known {
            Some(known) if known.group == group => known.index < self.node.roster_index(),
            Some(_) => self.reign().is_some(),
            None => true,
        };
        let (index, members) = news.then(|| self.node.roster())?;
        let one = |peer: Peer| Some((peer.machine.parse().ok()?, peer.addr));
        (known.is_some() || !members.is_empty()).then(|| Roster {
            id: RosterId { group, index },
            coordinators: members.into_iter().filter_map(one).collect(),
            replaced: self.node.replaced().into_iter().collect(),
        })
    }

    /// The present reign of this coordinator; `None` while it does not lead.
    pub(crate) fn reign(&self) -> Option<MutexGuard<'_, Reign>> {
        let leadership = self.node.leadership().borrow().clone();
        let mut reign = self.reign.lock().unwrap_or_else(PoisonError::into_inner);
        if reign.term < leadership.term && leadership.mine {
            *reign = Reign { term: leadership.term, since: self.now(), ..Reign::default() };
        }
        (leadership.mine && reign.term == leadership.term).then_some(reign)
    }

    /// How long this coordinator has led; `None` while it does not.
    pub(crate) fn led_for(&self) -> Option<Duration> {
        self.reign().map(|reign| self.now().since(reign.since))
    }

    /// Looks at a cluster and decides. `None` while this coordinator does not lead, or when there is no such cluster.
    pub(crate) fn look(&self, cluster: &ClusterName) -> Option<Look> {
        let now = self.awake();
        let record = self.node.read(|records| records.cluster(cluster).cloned())?;
        let policy = self.within_levels(self.policy.of(&record.spec));
        let mut reign = self.reign()?;
        let (room, listening_since) = self.reports.of(cluster);
        let mut look = Look {
            record,
            decision: Decision::default(),
            memory: reign.memories.remove(cluster).unwrap_or_default(),
            policy,
            room,
            listening_since,
            last_grant: reign.last_grant(cluster),
            now,
        };
        let mut memory = std::mem::take(&mut look.memory);
        let view = look.view();
        memory.look(&view);
        let mut decision = decide(&view, &memory);
        if let Some(problem) = self.trust.behind(view.record) {
            decision.commands.clear();
            if !decision.problems.iter().any(|known| known.kind == problem.kind) {
                decision.problems.push(problem);
            }
        } else if let Some(wait) = self.trust.waits(view.record, view.heard) {
            decision.commands.clear();
            decision.waits.insert(0, wait);
        }
        decision.problems.extend(self.turned_away.problems(cluster, now));
        self.leave_unreadable_out(&mut decision);
        reign.memories.insert(cluster.clone(), memory.clone());
        Some(Look { memory, decision, ..look })
    }

    /// Puts a change into the log and returns what happened, a sentence each; nothing when it changes nothing. What
    /// would be rejected now is not even written.
    pub(crate) async fn propose(
        &self,
        cluster: &ClusterName,
        command: Command,
    ) -> Result<Vec<String>, NotDone> {
        let entry = Entry { cluster: cluster.clone(), command, at: WallMs(self.clock.wall_ms()) };
        let changes = self.node.read(|records| records.trial(&entry));
        if !changes.map_err(|rejected| NotDone::Rejected(rejected.0))? {
            return Ok(Vec::new());
        }
        if let Some(why) = self.untrusted(cluster) {
            return Err(NotDone::Rejected(why));
        }
        self.readable_by_all(&entry.command)?;
        let reply = self.node.propose(encode_entry(&entry), PROPOSAL).await.map_err(NotDone::of)?;
        let story = read_reply(&reply).map_err(|rejected| NotDone::Rejected(rejected.0))?;
        for sentence in &story {
            tracing::info!(cluster = %entry.cluster, "{sentence}");
        }
        Ok(story)
    }

    /// Why nothing may be decided or granted upon a cluster's record, in words; `None`: it is the newest there is.
    pub(crate) fn untrusted(&self, cluster: &ClusterName) -> Option<String> {
        let (room, _) = self.reports.of(cluster);
        self.node.read(|records| {
            let record = records.cluster(cluster)?;
            if let Some(problem) = self.trust.lost_entries(record, &room) {
                return Some(format!("{}: {}", problem.kind, problem.evidence.join("; ")));
            }
            self.trust.waits(record, &room).map(|wait| wait.to_string())
        })
    }

    /// Waits until the coordinator is to end.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.subscribe();
        // Its sender lives in `self`, so the wait cannot fail.
        drop(ending.wait_for(|ending| *ending).await);
    }
}

/// Why a proposal changed nothing, or may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotDone {
    /// It does not fit the record.
    #[error("{0}")]
    Rejected(String),
    /// Another coordinator would stop at it, with the way out.
    #[error("{0}")]
    Unreadable(String),
    /// Another coordinator might stop at it, and may yet tell that it would not.
    #[error("{0}")]
    NotYet(String),
    /// Another coordinator leads.
    #[error("this coordinator does not lead")]
    NotLeader(Option<LeaderHint>),
    /// It may be applied later or never.
    #[error("{0}")]
    Unknown(String),
    /// The log takes nothing any more.
    #[error("{0}")]
    Stopped(String),
}

impl NotDone {
    fn of(e: ProposeError) -> Self {
        match e {
            ProposeError::NotLeader { leader } => Self::NotLeader(leader.as_ref().and_then(hint)),
            e @ ProposeError::UnknownOutcome => Self::Unknown(e.to_string()),
            e @ (ProposeError::TooLarge(_) | ProposeError::Stopped(_)) => Self::Stopped(e.to_string()),
        }
    }
}

impl From<NotDone> for Refused {
    fn from(why: NotDone) -> Self {
        match why {
            NotDone::Rejected(text) | NotDone::Unreadable(text) => Self::Rejected(text),
            NotDone::NotYet(text) => Self::Unavailable(text),
            NotDone::NotLeader(hint) => Self::NotLeader(hint),
            NotDone::Unknown(text) => Self::OutcomeUnknown(text),
            NotDone::Stopped(text) => Self::Internal(text),
        }
    }
}

/// A peer as the wire names it. Names of machines were checked when the group was configured.
pub(crate) fn hint(peer: &Peer) -> Option<LeaderHint> {
    Some(LeaderHint { machine: peer.machine.parse().ok()?, address: peer.addr.clone() })
}
