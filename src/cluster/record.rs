//! What has been decided about one cluster: the replicated record. Only [`crate::apply`] changes it.

use crate::ids::{
    ClusterId, ClusterName, DirectoryId, Epoch, Incarnation, InstanceName, MachineName, Revision, RuleNumber,
    Stamp, SystemId,
};
use crate::receipt::{Kept, Receipt};
use crate::report::{Promotion, Rebuild, Seal};
use crate::spec::Spec;
use crate::time::WallMs;
use crate::wal::{Ancestor, History, Lsn, Position, TimelineId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The record of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its random identity.
    pub id: ClusterId,
    /// What the operator wants of it.
    pub spec: Spec,
    /// What the operator wants of it next, while the primary's PostgreSQL says whether it takes the parameters.
    pub proposed: Option<Proposed>,
    /// Roles and passwords that the agents need; never shown.
    pub secrets: Secrets,
    /// PostgreSQL's identifier; absent until the first directory exists, never changed after.
    pub system: Option<SystemId>,
    /// The reign. Raised by every change of primary.
    pub epoch: Epoch,
    /// Raised by each entry that changes a goal.
    pub revision: Revision,
    /// The instance elected in this epoch; absent during a failover until the election.
    pub primary: Option<Reign>,
    /// What is under way.
    pub operation: Operation,
    /// Every rule under which a commit *may* have been acknowledged that is not known to be covered by the newest
    /// one. Oldest first; the last is that of the current epoch once a primary is elected.
    pub rules: Vec<CommitRule>,
    /// What the primary's setting has to say. Equal to the last rule except while that rule is joint.
    pub sync: SyncTarget,
    /// Members, by name.
    pub instances: BTreeMap<InstanceName, Instance>,
    /// Every timeline that was ever confirmed, by epoch, oldest first. Contents of history files are judged by it.
    pub timelines: Vec<Fork>,
    /// While true nothing automatic happens; a superseded primary is fenced all the same.
    pub paused: bool,
    /// Every override of a safety rule by an operator, for ever.
    pub overrides: Vec<Override>,
    /// What copies held that nobody else had when they were given up; the newest last.
    pub receipts: Vec<Kept>,
    /// Instances that were removed: their directory is not taken in again, and their name goes on from their incarnation.
    pub removed: BTreeMap<InstanceName, Removed>,
}

/// A change of the spec that is still to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// Under which number the primary's agent gives the answer.
    pub number: Revision,
    /// The whole spec, as it would be.
    pub spec: Spec,
}

/// Roles that Interrex uses in PostgreSQL, and the one that the operator asked for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Password of `interrex`, a superuser: the agents' own.
    pub superuser: String,
    /// Password of `interrex_repl`, for replication, clones and rewinds.
    pub replication: String,
    /// An application's role, made with the cluster: name and password.
    pub owner: Option<(String, String)>,
}

impl std::fmt::Debug for Secrets {
    /// Never prints a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("owner", &self.owner.as_ref().map(|(name, _)| name))
            .finish_non_exhaustive()
    }
}

/// An elected primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reign {
    /// The instance elected.
    pub instance: InstanceName,
    /// Its promotion, once its agent reported it; until then the grant stands and cannot be taken back.
    pub fork: Option<Promotion>,
    /// True once clients were let in: the epoch's first synchronous commit came back.
    pub open: bool,
}

/// A longer change, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Created; waits for its instances to register.
    Gather,
    /// `on` creates the first directory.
    Bootstrap {
        /// The instance chosen.
        on: InstanceName,
    },
    /// Nothing under way.
    None,
    /// A change of primary. Lasts until the new primary is open.
    Failover(Failover),
    /// A planned change of primary that is being prepared: the primary serves on, and writes its dirty pages out first,
    /// so that its shutdown is short.
    Switchover(Switchover),
    /// Created to take in an existing PostgreSQL; waits for its instances to say what they hold.
    Adopt(Adoption),
}

/// Taking in an existing PostgreSQL: nothing of it is touched before everything fits together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// Servers that run may be stopped.
    pub take_over: bool,
    /// Whose server is to be stopped: the primary's first, so that its standbys receive all of it.
    pub stop: BTreeSet<InstanceName>,
}

/// A switchover in preparation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switchover {
    /// Who is to be primary; the primary itself when it is only to be restarted.
    pub to: InstanceName,
    /// The primary proves its checkpoint under this number.
    pub checkpoint: Revision,
}

/// The old primary stops in good order; the others go on receiving from it until it is gone (PROTOCOL.md clause 18).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// Who is to be primary.
    pub to: InstanceName,
    /// The reign that ends: its standbys stream under the names of this epoch.
    pub epoch: Epoch,
}

/// A failover under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// The instance that was last elected, confirmed or not; absent when there never was one.
    pub from: Option<InstanceName>,
    /// Why, as the problem said it.
    pub reason: String,
    /// Operator's wish, by `failover --to` or `switchover`; the old primary itself where a crash is to be answered by a
    /// restart.
    pub wanted: Option<InstanceName>,
    /// Set while the change goes as planned; taken away when the old primary does not stop as it should, which leaves
    /// an ordinary failover of the same epoch.
    pub hand_over: Option<HandOver>,
    /// Seals of this epoch. One counts even when its instance has died since, if the winner is not behind it.
    pub seals: BTreeMap<InstanceName, Seal>,
    /// Sealed instances that stand on a timeline which nobody was ever elected to open (a promotion by hand). They
    /// count for what they share with the line, and are never elected.
    pub astray: BTreeSet<InstanceName>,
    /// Set when an operator accepted loss: the members that they assert to be stopped (may be none).
    pub loss_accepted: Option<BTreeSet<InstanceName>>,
    /// A preferred instance fetches what it lacks first; at most one in an epoch. Absent: nobody has.
    pub fetch: Option<Box<Fetch>>,
    /// When each phase ended, by the proposing leader's wall clock: for people and figures only.
    pub times: PhaseTimes,
}

/// Before somebody is elected, one sealed standby receives what it lacks from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The preferred one.
    pub to: InstanceName,
    /// Who holds most, and is promoted if this comes to nothing.
    pub from: InstanceName,
    /// Where that was sealed.
    pub until: Position,
    /// Set when it is over: `to` is to be sealed again, and that seal may be higher than its first.
    pub end: Option<FetchEnd>,
}

impl Failover {
    /// One that has just begun: nobody is sealed, and there is no plan.
    pub fn begun(from: Option<InstanceName>, reason: impl Into<String>) -> Self {
        Self {
            from,
            reason: reason.into(),
            wanted: None,
            hand_over: None,
            seals: BTreeMap::new(),
            astray: BTreeSet::new(),
            loss_accepted: None,
            fetch: None,
            times: PhaseTimes::default(),
        }
    }

    /// True when a seal of this epoch says something new: the first of an instance, or one after its server was stopped,
    /// or after it fetched WAL.
    pub fn is_news(&self, instance: &InstanceName, seal: Seal) -> bool {
        let Some(known) = self.seals.get(instance) else { return true };
        let fetched = self.fetch.as_ref().is_some_and(|fetch| fetch.end.is_some() && fetch.to == *instance);
        !known.stopped && (seal.stopped || (fetched && seal.position > known.position))
    }

    /// True when an instance may hold WAL past `end`, where a winner was sealed, though its own seal is below: it fetched
    /// up to a higher place, and was not sealed with all of that yet. What it has past the winner's end is not on the
    /// winner's line, and pointed at the winner it would acknowledge what it does not hold.
    pub fn may_exceed(&self, instance: &InstanceName, end: Position) -> bool {
        let sealed = self.seals.get(instance).map(|seal| seal.position);
        self.fetch.as_ref().is_some_and(|fetch| {
            fetch.to == *instance && end < fetch.until && sealed.is_none_or(|at| at < fetch.until)
        })
    }
}

/// How a fetch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchEnd {
    /// It said that it has all of it; its new seal is to prove that.
    Told,
    /// It is not waited for any longer. What it received meanwhile is no loss.
    GivenUp,
}

/// Wall-clock marks of a failover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTimes {
    /// Begun.
    pub begun: WallMs,
    /// The last seal that came before the election.
    pub sealed: WallMs,
    /// Elected.
    pub elected: WallMs,
    /// Promotion confirmed.
    pub promoted: WallMs,
}

/// `(epoch, primary, k, S)`: in that epoch a commit was acknowledged only once `k` of `S` had flushed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRule {
    /// Its number, rising.
    pub number: RuleNumber,
    /// The reign it belongs to.
    pub epoch: Epoch,
    /// The primary it bound.
    pub primary: InstanceName,
    /// How many standbys; 0 is asynchronous.
    pub k: u32,
    /// Which standbys.
    pub standbys: BTreeSet<InstanceName>,
    /// Set at an election: everything acknowledged under this rule is held by whoever reaches this position
    /// (PROTOCOL.md clause 13).
    pub covered_at: Option<Position>,
}

/// The rule that the primary's setting has to reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncTarget {
    /// Number of the rule that is to be proved.
    pub number: RuleNumber,
    /// How many standbys.
    pub k: u32,
    /// Which.
    pub standbys: BTreeSet<InstanceName>,
    /// True once proved: older rules were retired, and the last rule is exactly this one.
    pub proved: bool,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Machine it runs on.
    pub machine: MachineName,
    /// Failure domain; empty when not given.
    pub zone: String,
    /// The agent's data directory; another one under the same name counts for nothing until it is taken over.
    pub directory: DirectoryId,
    /// Where PostgreSQL listens.
    pub address: Address,
    /// Promotion preference, 0 first; absent: never promoted.
    pub priority: Option<u8>,
    /// Major version of its binaries.
    pub major: u32,
    /// The copy that it holds, counted from 1.
    pub incarnation: Incarnation,
    /// What the copy is worth.
    pub copy: Copy,
    /// Highest end of WAL that this copy was sealed with, as far as it lies on the line: ending below it, it was rolled
    /// back and counts for nothing (PROTOCOL.md clause 8). Absent: it was never sealed.
    pub held: Option<Position>,
    /// What an operator asked of it and is not done yet.
    pub asked: Option<Asked>,
}

/// What is left of an instance that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its agent's data directory.
    pub directory: DirectoryId,
    /// The copy that it held last. Whoever bears the name next begins above it: the two never share a standby's name.
    pub incarnation: Incarnation,
}

/// What an operator asks of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// Stop PostgreSQL in good order and start it again, once.
    Restart {
        /// Under which number its agent tells that it is done.
        number: Revision,
    },
    /// Give the copy up and clone it anew.
    Reinit {
        /// The old copy goes first: there is no room for two, or no place to move it to.
        discard_old: bool,
    },
    /// Leave the cluster for good: out of the commit rule, stopped, then out of the record.
    Leave,
}

/// Where PostgreSQL listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What an instance's copy is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Copy {
    /// There is none, or none that was finished.
    Empty,
    /// Under rewind or clone: counts for nothing, neither as sealed nor as an acknowledger.
    Rebuilding {
        /// How.
        how: Rebuild,
        /// Whole once it holds this: what the primary had when the rebuild began, or when the instance began to
        /// follow a new primary.
        until: Position,
        /// True once the agent reported the rebuild itself finished; the copy then streams towards `until`.
        done: bool,
    },
    /// Whole: it counts.
    Whole,
}

/// A confirmed timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The epoch that opened it; the timeline bears the same number.
    pub epoch: Epoch,
    /// Who opened it.
    pub instance: InstanceName,
    /// The timeline that it branched off; 0 for the first.
    pub parent: TimelineId,
    /// Where.
    pub begin: Lsn,
}

/// An operator's override, kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The epoch in which it was given.
    pub epoch: Epoch,
    /// When, for people.
    pub at: WallMs,
    /// What was overridden and what it may lose, in words.
    pub what: String,
}

impl Cluster {
    /// The instance last elected, confirmed or not: "the old primary" of a failover.
    pub fn last_primary(&self) -> Option<InstanceName> {
        match (&self.primary, &self.operation) {
            (None, Operation::Failover(failover)) => failover.from.clone(),
            (Some(reign), Operation::Failover(failover)) if reign.fork.is_none() => failover.from.clone(),
            (Some(reign), _) => Some(reign.instance.clone()),
            (None, _) => None,
        }
    }

    /// The failover under way.
    pub fn failover(&self) -> Option<&Failover> {
        match &self.operation {
            Operation::Failover(failover) => Some(failover),
            _ => None,
        }
    }

    /// The goals of this record bear it.
    pub fn stamp(&self) -> Stamp {
        Stamp { epoch: self.epoch, revision: self.revision }
    }

    /// True when the record has this receipt of an instance already.
    pub fn knows(&self, instance: &InstanceName, receipt: &Receipt) -> bool {
        self.receipts.iter().any(|kept| kept.instance == *instance && kept.receipt.same_as(receipt))
    }

    /// A planned change whose old primary is still to stop: the others receive from it meanwhile.
    pub fn handing_over(&self) -> Option<&HandOver> {
        self.failover()?.hand_over.as_ref().filter(|_| self.handed_over_at().is_none())
    }

    /// The fetch that is under way before an election.
    pub fn fetching(&self) -> Option<&Fetch> {
        self.failover()?.fetch.as_deref().filter(|fetch| fetch.end.is_none() && self.primary.is_none())
    }

    /// Where the old primary of a planned change ended: its server is gone, and nobody can receive anything more.
    pub fn handed_over_at(&self) -> Option<Position> {
        let failover = self.failover()?;
        failover.hand_over.as_ref()?;
        let seal = failover.seals.get(failover.from.as_ref()?)?;
        seal.stopped.then_some(seal.position)
    }

    /// True when `instance` is among those who may acknowledge under the current setting.
    pub fn in_sync_set(&self, instance: &InstanceName) -> bool {
        self.sync.standbys.contains(instance)
    }

    /// Ancestry of the newest confirmed timeline.
    pub fn line(&self) -> Option<History> {
        self.timelines.last().map(|fork| self.history_of(fork))
    }

    /// Ancestry of any confirmed timeline.
    pub fn line_to(&self, timeline: TimelineId) -> Option<History> {
        self.timelines.iter().find(|fork| fork.epoch.0 == timeline.0).map(|fork| self.history_of(fork))
    }

    /// What of a position that was heard lies on the line of the newest confirmed timeline. Before its first record of
    /// a new timeline a server tells a place of an older one under the new number: that is put right. `None`: it is on
    /// no confirmed timeline, or on none of this line.
    pub fn on_line(&self, heard: Position) -> Option<Position> {
        let timeline = self.line_to(heard.timeline)?.owner_of(heard.lsn);
        self.line()?.cut(Position { timeline, ..heard })
    }

    /// Ancestry of a confirmed timeline, by following parents.
    fn history_of(&self, fork: &Fork) -> History {
        let mut ancestors = Vec::new();
        let mut child = fork;
        while let Some(parent) =
            self.timelines.iter().find(|f| f.epoch.0 == child.parent.0 && f.epoch < child.epoch)
        {
            ancestors.push(Ancestor { timeline: child.parent, end: child.begin });
            child = parent;
        }
        ancestors.reverse();
        History { timeline: TimelineId(fork.epoch.0), ancestors }
    }

    /// True when nothing older than the present copies can be needed any more: the primary is open, its commit rule is
    /// proved and the only one listed, and every instance that is wanted is there with a whole copy. What was moved
    /// aside may go then. Every entry that makes it false again raises the revision.
    pub fn is_whole(&self) -> bool {
        let open = self.primary.as_ref().is_some_and(|reign| reign.fork.is_some() && reign.open);
        let all = u32::try_from(self.instances.len()).is_ok_and(|count| count >= self.spec.instances);
        open && all
            && self.operation == Operation::None
            && self.sync.proved
            && self.rules.len() == 1
            && self.instances.values().all(|instance| instance.copy == Copy::Whole)
    }

    /// Whole copies, by name.
    pub fn whole(&self) -> impl Iterator<Item = (&InstanceName, &Instance)> {
        self.instances.iter().filter(|(_, instance)| instance.copy == Copy::Whole)
    }

    /// The rule of the current epoch, once somebody was elected.
    pub fn current_rule(&self) -> Option<&CommitRule> {
        self.rules.last().filter(|rule| rule.epoch == self.epoch && self.primary.is_some())
    }
}
