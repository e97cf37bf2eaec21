//! What operators and their tools ask, in our own types. The service is proto/admin.proto; whoever answers implements
//! [`crate::serve::AdminHandler`], whoever asks uses [`crate::client::Client`].

pub use interrex_cluster::command::Adopting;
use interrex_cluster::ids::{ClusterId, ClusterName, Epoch, InstanceName, MachineName};
use interrex_cluster::record::Address;
use interrex_cluster::spec::Spec;
use interrex_cluster::status::ClusterStatus;
use std::collections::BTreeSet;

/// Make a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct CreateCluster {
    /// Its name.
    pub name: ClusterName,
    /// What is wanted of it.
    pub spec: Spec,
    /// An application's role to make with it; absent: none.
    pub owner: Option<NewOwner>,
    /// Take in an existing PostgreSQL; absent: make the first copy. Said again of a cluster that has no data yet, it is
    /// wanted from then on. Never together with an owner.
    pub adopt: Option<Adopting>,
}

impl std::fmt::Debug for CreateCluster {
    /// Never prints a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owner = self.owner.as_ref().map(|owner| &owner.name);
        f.debug_struct("CreateCluster")
            .field("name", &self.name)
            .field("spec", &self.spec)
            .field("owner", &owner)
            .field("adopt", &self.adopt)
            .finish()
    }
}

/// An application's role, still to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewOwner {
    /// Role name in PostgreSQL.
    pub name: String,
    /// Its password; absent: the leader draws one.
    pub password: Option<String>,
}

impl std::fmt::Debug for NewOwner {
    /// Never prints a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewOwner").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A cluster was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Created {
    /// Its random identity.
    pub id: ClusterId,
    /// The application's role with its password, given or drawn; absent: none was asked for.
    pub owner: Option<(String, String)>,
}

impl std::fmt::Debug for Created {
    /// Never prints a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owner = self.owner.as_ref().map(|(name, _)| name);
        f.debug_struct("Created").field("id", &self.id).field("owner", &owner).finish()
    }
}

/// How an application connects.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Every instance with its PostgreSQL's address, the primary first when there is one.
    pub hosts: Vec<(InstanceName, Address)>,
    /// True when the first host is the open primary.
    pub primary_first: bool,
    /// The application's role; absent: none was made.
    pub user: Option<String>,
    /// Its password; absent: not asked for, or no role was made.
    pub password: Option<String>,
}

impl std::fmt::Debug for ConnectionInfo {
    /// Never prints a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("hosts", &self.hosts)
            .field("primary_first", &self.primary_first)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventsRequest {
    /// Of one cluster; absent: of all.
    pub cluster: Option<ClusterName>,
    /// Only those of log entries after this index; 0: all that are kept.
    pub after: u64,
    /// Go on as they happen; else the stream ends with the newest.
    pub follow: bool,
}

/// What the rules make of a cluster at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// In words, a line each.
    pub lines: Vec<String>,
    /// The state that was explained.
    pub status: ClusterStatus,
}

/// Change the primary without its help, or say what that would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverRequest {
    /// Of which cluster.
    pub name: ClusterName,
    /// The instance wanted; absent: the best.
    pub to: Option<InstanceName>,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Override: elect although a rule is not satisfied, and acknowledged commits may be lost.
    pub accept_loss: bool,
    /// With `accept_loss`: instances that the operator asserts to be stopped.
    pub fenced: BTreeSet<InstanceName>,
}

/// Change the primary with its help, or say what that would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchoverRequest {
    /// Of which cluster.
    pub name: ClusterName,
    /// The instance wanted; absent: the best.
    pub to: Option<InstanceName>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// Change what is wanted of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSpecRequest {
    /// Of which cluster.
    pub name: ClusterName,
    /// Keys and values, in order; see [`interrex_cluster::spec::Spec::set`].
    pub changes: Vec<(String, String)>,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSpecReply {
    /// `key=value`; empty: it was so already.
    pub changed: Vec<String>,
    /// True when the primary's PostgreSQL has to judge it first; an event `set` or `set-refused` follows.
    pub proposed: bool,
}

/// What a change of primary does, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverReply {
    /// True when it was begun; with `dry_run`: when it would be.
    pub accepted: bool,
    /// The epoch that began, or would.
    pub epoch: Epoch,
    /// Who would be elected as things stand; absent: nobody can be yet. When not accepted: but for what stands in the way.
    pub would_win: Option<InstanceName>,
    /// Everybody else, with the reason, in words.
    pub refusals: Vec<String>,
    /// What stands before the election, in words; when not accepted: why not.
    pub waits: Vec<String>,
    /// What will follow, in words; of a dry run that is not accepted: once nothing stands in the way. Absent: cannot be told,
    /// or nothing is done.
    pub expected: Option<String>,
    /// What may be lost, in words; absent: no acknowledged commit, or nothing is done. Of a dry run that is not accepted:
    /// what would be lost by accepting loss.
    pub may_lose: Option<String>,
}

/// A voter, or one that is catching up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinator {
    /// Its machine.
    pub machine: MachineName,
    /// `host:port`.
    pub address: String,
    /// Its id in the group, drawn once for each data directory.
    pub raft_id: u64,
    /// False while it is still catching up.
    pub voter: bool,
    /// True for the leader, as the answering coordinator knows it.
    pub leader: bool,
    /// Milliseconds since the leader last heard of it; absent: unknown, or it is the leader.
    pub heard_ms: Option<u64>,
    /// The highest level of log entries that its build reads; absent: not told to the one that answers.
    pub reads_level: Option<u32>,
}

/// A change of the group of coordinators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoordinatorChange {
    /// The machine is to vote.
    Add {
        /// Its name.
        machine: MachineName,
        /// `host:port` where its coordinator runs, with an empty directory.
        address: String,
    },
    /// The machine is not to belong to the group any more.
    Remove {
        /// Its name.
        machine: MachineName,
    },
}

/// How far a change of the group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeProgress {
    /// Under way, in words; it goes on by itself.
    Doing(String),
    /// It is so, whoever did it.
    Done {
        /// The machines that vote now.
        voters: Vec<MachineName>,
        /// It was so before, and nothing was changed.
        already: bool,
    },
}
