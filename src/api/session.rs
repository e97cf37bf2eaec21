//! What agents and coordinators say to each other, in our own types. The service is proto/session.proto; whoever
//! answers implements [`crate::serve::SessionHandler`], whoever asks uses [`crate::client::SessionClient`].

use interrex_cluster::command::Registration;
use interrex_cluster::goal::StampedGoal;
use interrex_cluster::ids::{
    ClusterId, ClusterName, DirectoryId, Epoch, Incarnation, InstanceName, MachineName, Stamp,
};
use interrex_cluster::record::{Address, Secrets};
use interrex_cluster::report::Report;
use interrex_cluster::wal::Position;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Which word of its agent a message is: messages of one agent are ordered by it, whatever way they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Serial {
    /// How often the agent was started, this time included. May begin anew when its file was lost.
    pub start: u64,
    /// Drawn at this start.
    pub run: u64,
    /// Rises with each message of the run.
    pub number: u64,
}

/// An instance presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRequest {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// How it presents itself. `replaces` is the leader's to set: it arrives as `None`, whatever was sent.
    pub registration: Registration,
    /// Which word of the agent this is.
    pub serial: Serial,
    /// The highest goal that this directory obeyed; absent: an agent that does not tell.
    pub obeyed: Option<Stamp>,
}

/// What the leader says to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// Not a member yet: the cluster is unknown, or another directory holds the name. Ask again in a while.
    Waiting {
        /// Why, with the command that ends the wait.
        why: String,
        /// Who the coordinators are; absent: not told.
        roster: Option<Roster>,
    },
    /// A member.
    Welcome(Box<Welcome>),
}

impl Registered {
    /// Which group of coordinators says so; absent: one that does not tell.
    pub fn group(&self) -> Option<u64> {
        match self {
            Registered::Waiting { roster, .. } => roster.as_ref().map(|roster| roster.id.group),
            Registered::Welcome(welcome) => welcome.group,
        }
    }
}

/// What a member needs to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Random identity of the cluster.
    pub cluster_id: ClusterId,
    /// Obey nothing below it.
    pub floor: Stamp,
    /// The goal as of this answer.
    pub goal: StampedGoal,
    /// Roles that the agent creates, and uses.
    pub secrets: Secrets,
    /// Every member with its PostgreSQL's address, the caller included.
    pub peers: BTreeMap<InstanceName, Address>,
    /// Highest end of WAL that this leader heard of the copy of that incarnation, as far as it lies on the cluster's
    /// line; it may be in the middle of a record. A copy that ends below it was rolled back. Absent: nothing is known.
    pub told: Option<(Incarnation, Position)>,
    /// Which group of coordinators says so; absent: one that does not tell.
    pub group: Option<u64>,
    /// Who the coordinators are; absent: not told.
    pub roster: Option<Roster>,
}

/// An agent tells how its instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    /// The cluster.
    pub cluster: ClusterName,
    /// The testimony.
    pub report: Report,
    /// Epoch to serve in as its primary; absent: wants no lease.
    pub wants_lease: Option<Epoch>,
    /// Which word of the agent this is.
    pub serial: Serial,
    /// How long ago the agent last looked when it sent this, by its own boot clock. Whole milliseconds on the wire.
    pub age: Duration,
    /// The newest list of coordinators that it was told; absent: none.
    pub knows: Option<RosterId>,
}

/// Which list of coordinators: a later one of the same group has a higher index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RosterId {
    /// Id of the group.
    pub group: u64,
    /// Where the list stands in the group's log.
    pub index: u64,
}

/// The coordinators: whom to report to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Which list this is.
    pub id: RosterId,
    /// `host:port` of each, by machine; those that still learn among them.
    pub coordinators: BTreeMap<MachineName, String>,
    /// Groups that this one took the place of.
    pub replaced: BTreeSet<u64>,
}

/// What a coordinator says to that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Who leads, as far as this coordinator knows; absent: it knows nobody.
    pub leader: Option<LeaderHint>,
    /// A lease, when it was wanted and granted. Absence says nothing about one that still runs.
    pub lease: Option<LeaseGrant>,
    /// A newer list of coordinators than the agent's, or that of another group, from its leader; absent: no news.
    pub roster: Option<Roster>,
    /// Which group of coordinators says so; absent: one that does not tell.
    pub group: Option<u64>,
    /// Another coordinator leads: this one can do with news, and a report now and then. False, also from one that is
    /// too old to say so: it wants each heartbeat.
    pub another_leads: bool,
}

/// Leave to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseGrant {
    /// In which epoch.
    pub epoch: Epoch,
    /// For how long, counted by the agent from the moment it *sent* the request; the margin for drift is the agent's
    /// to subtract. Whole milliseconds on the wire.
    pub ttl: Duration,
}

/// The leader of the coordinators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderHint {
    /// Its machine.
    pub machine: MachineName,
    /// `host:port` of its coordinator.
    pub address: String,
}

/// An agent asks for its goals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// The cluster.
    pub cluster: ClusterName,
    /// The instance.
    pub instance: InstanceName,
    /// Its agent's data directory.
    pub directory: DirectoryId,
}

/// The present goal, and who is around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoalUpdate {
    /// What to be; absent: the instance is not a member (any more).
    pub goal: Option<StampedGoal>,
    /// Every member with its PostgreSQL's address, the caller included.
    pub peers: BTreeMap<InstanceName, Address>,
    /// The elected primary; absent: nobody is elected in this epoch.
    pub primary: Option<PrimaryPlace>,
    /// As of this goal every copy is whole and the primary open: what was moved aside may go. False: not so, or not
    /// known.
    pub whole: bool,
    /// Of which group of coordinators the log is that says so; absent: one that does not tell, or is of none.
    pub group: Option<u64>,
}

/// Where to knock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryPlace {
    /// The elected instance.
    pub instance: InstanceName,
    /// In which epoch.
    pub epoch: Epoch,
    /// Where its PostgreSQL listens.
    pub address: Address,
}
