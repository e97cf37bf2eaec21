//! Who leads, and when this member may say that it does.
//!
//! `mine` needs three things at once, because each alone is known to lie: openraft calls this node leader (true right
//! after a restart although another one leads), an entry of this very term has been applied here (before that the
//! state may be older than what earlier leaders answered), and a quorum has answered within the lease. Even so it is
//! only a hint of when to begin: whatever a leader does goes through the log or asks for confirmation.

use std::time::Duration;

use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::metrics::RaftServerMetrics;
use openraft::{Instant as _, RaftMetrics, ServerState};
use tokio::sync::watch;
use tokio::time::Instant;

use super::RaftNode;
use super::machine::{Machine, MachineStore};
use super::types::{Peer, Types};

/// A voter that leads nothing and that no leader called for so long asks whether it still belongs to the group. Several
/// elections would have come and gone.
const UNCALLED: Duration = Duration::from_secs(4);

/// The state of leadership as this member sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Who leads; `None`: nobody that is known, or this member without a quorum.
    pub leader: Option<Peer>,
    /// This member leads, has applied an entry of its own term, and was answered by a quorum within the lease.
    pub mine: bool,
    /// The newest term seen. Rises with each election.
    pub term: u64,
}

impl<M: Machine> RaftNode<M> {
    /// Whether this node leads, or a leader of its group called it a moment ago.
    pub(crate) fn in_touch(&self) -> bool {
        let called = *self.inner.called.borrow();
        self.leadership().borrow().mine || called.is_some_and(|at| at.elapsed() < UNCALLED)
    }

    /// The same, and nobody said meanwhile that the group goes on without it: what its log says, the group says.
    pub(crate) fn belongs(&self) -> bool {
        self.in_touch() && self.outside().is_none()
    }

    /// Follows when a leader of the group last called.
    pub(crate) fn called(&self) -> watch::Receiver<Option<Instant>> {
        self.inner.called.subscribe()
    }
}

/// What [`follow`] tells.
pub(crate) struct Told {
    pub(crate) leadership: watch::Sender<Leadership>,
    /// Why the node stopped by itself; `None` while it runs.
    pub(crate) stopped: watch::Sender<Option<String>>,
}

/// What openraft tells of itself.
pub(crate) struct Metrics {
    /// All of it: changed by every answer to a heartbeat.
    pub(crate) all: WatchReceiverOf<Types, RaftMetrics<Types>>,
    /// Who leads whom: changed by elections and changes of members.
    pub(crate) server: WatchReceiverOf<Types, RaftServerMetrics<Types>>,
}

impl Metrics {
    /// False once raft was shut down.
    async fn changed(&mut self) -> bool {
        self.all.changed().await.is_ok()
    }

    /// The same for one that leads: it looks at the answers to its heartbeats only when those that it saw last do not
    /// count any more, after `lapses`.
    async fn changed_or_lapsed(&mut self, lapses: Duration) -> bool {
        match tokio::time::timeout(lapses, self.server.changed()).await {
            // It ends; why is in all of them.
            Ok(Err(_)) => self.changed().await,
            Ok(Ok(())) | Err(_) => true,
        }
    }
}

/// Follows openraft's metrics until the node stops.
pub(crate) async fn follow<M: Machine>(
    mut metrics: Metrics,
    machine: MachineStore<M>,
    lease: Duration,
    told: Told,
) {
    loop {
        let (now, lapses, fatal) = {
            let seen = metrics.all.borrow_watched();
            let fatal = seen.running_state.as_ref().err().map(ToString::to_string);
            let left = lease_left(&seen, lease);
            (judge(&seen, &metrics.server.borrow_watched(), &machine, left), left, fatal)
        };
        if let Some(why) = fatal {
            tell(&told.leadership, Leadership { leader: None, mine: false, term: now.term });
            told.stopped.send_replace(Some(why));
            return;
        }
        let mine = now.mine;
        tell(&told.leadership, now);
        let runs = match lapses.filter(|_| mine) {
            Some(lapses) => metrics.changed_or_lapsed(lapses).await,
            None => metrics.changed().await,
        };
        if !runs {
            tell(&told.leadership, Leadership::default());
            told.stopped.send_replace(Some("raft was shut down".to_owned()));
            return;
        }
    }
}

fn tell(to: &watch::Sender<Leadership>, now: Leadership) {
    to.send_if_modified(|before| {
        if *before == now {
            return false;
        }
        if before.mine != now.mine || before.leader != now.leader {
            let machine = now.leader.as_ref().map(|leader| leader.machine.as_str());
            let leads = if machine.is_some() { "leads" } else { "nobody leads" };
            tracing::info!(term = now.term, machine, mine = now.mine, "raft leadership changed: {leads}");
        }
        *before = now;
        true
    });
}

/// How long the newest answer of a quorum still counts; `None`: not any more.
fn lease_left(seen: &RaftMetrics<Types>, lease: Duration) -> Option<Duration> {
    let mut voters = seen.membership_config.membership().voter_ids();
    if voters.next() == Some(seen.id) && voters.next().is_none() {
        return Some(lease);
    }
    let age = seen.last_quorum_acked.as_ref()?.elapsed();
    lease.checked_sub(age).filter(|left| !left.is_zero())
}

/// Each of the two is told by itself: this node leads where both say so.
fn judge<M: Machine>(
    seen: &RaftMetrics<Types>,
    server: &RaftServerMetrics<Types>,
    machine: &MachineStore<M>,
    left: Option<Duration>,
) -> Leadership {
    let own = Some(seen.id);
    let leads = [(seen.state, seen.current_leader), (server.state, server.current_leader)]
        .iter()
        .all(|(state, leader)| *state == ServerState::Leader && *leader == own);
    let own_entry =
        || machine.last_applied().is_some_and(|id| **id.committed_leader_id() == seen.current_term);
    let leader = server.current_leader.filter(|id| Some(*id) != own || (leads && left.is_some()));
    let leader = leader.and_then(|id| seen.membership_config.membership().get_node(&id).cloned());
    Leadership { leader, mine: leads && left.is_some() && own_entry(), term: seen.current_term }
}
