//! What may be written to the log. A command re-states what it was decided on (epoch, instance, incarnation), and
//! [`crate::apply`] checks that against the record as it is by then: a deposed leader's command changes nothing.

use crate::ids::{
    ClusterId, ClusterName, DirectoryId, Epoch, Incarnation, InstanceName, MachineName, Revision, RuleNumber,
    SystemId,
};
use crate::receipt::Receipt;
use crate::record::{Address, Secrets};
use crate::report::{Promotion, Rebuild, Seal};
use crate::spec::Spec;
use crate::time::WallMs;
use crate::wal::{History, Position};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An entry: which cluster, what, and when by the leader's wall clock (for display alone).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The cluster concerned.
    pub cluster: ClusterName,
    /// What is to change.
    pub command: Command,
    /// The proposing leader's wall clock.
    pub at: WallMs,
}

/// A change to one cluster's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Make the record of a new cluster.
    Create {
        /// Random identity, drawn by the leader.
        id: ClusterId,
        /// What is wanted.
        spec: Spec,
        /// Passwords, drawn by the leader.
        secrets: Secrets,
        /// Take in an existing PostgreSQL instead of making the first copy; absent: make it. Said again of a cluster
        /// that has no data yet, it is wanted from then on; everything else of the command is void then.
        adopt: Option<Adopting>,
    },
    /// An instance presents itself, or presents itself anew (address, zone, priority).
    Register(Registration),
    /// All instances are there and none has data: one creates the first copy.
    BeginBootstrap {
        /// The chosen one.
        on: InstanceName,
    },
    /// The first copy exists, stopped: it is elected for epoch 2.
    EndBootstrap {
        /// Who made it.
        instance: InstanceName,
        /// Its identifier, from now on the cluster's.
        system: SystemId,
        /// Its end of WAL.
        position: Position,
    },
    /// A change of primary begins: the epoch rises, nobody is primary.
    BeginFailover {
        /// The epoch that begins; refused unless it follows the current one.
        epoch: Epoch,
        /// Why, in words.
        reason: String,
        /// Who the operator wants, if somebody.
        wanted: Option<InstanceName>,
    },
    /// A planned change of primary is prepared: the primary serves on, and makes a checkpoint.
    BeginSwitchover {
        /// The epoch that it is to end.
        epoch: Epoch,
        /// Who is to be primary; the primary itself: it is restarted.
        to: InstanceName,
    },
    /// The preparation is over: the epoch rises, nobody is primary, and the old one stops in good order while the
    /// others still receive from it.
    BeginHandOver {
        /// The epoch that begins; refused unless it follows the current one.
        epoch: Epoch,
        /// Who is to be primary.
        to: InstanceName,
    },
    /// A planned change does not go as planned. While it is prepared, the primary stays; later, what is left is an
    /// ordinary failover of the same epoch.
    AbandonSwitchover {
        /// The epoch in which it was seen.
        epoch: Epoch,
        /// Why, in words.
        why: String,
    },
    /// The operator wants something else of the cluster. Parameters of PostgreSQL are judged by the primary first.
    SetSpec {
        /// What was wanted when this was asked; refused when it is something else by now.
        before: Spec,
        /// What is wanted.
        spec: Spec,
    },
    /// The primary judged the parameters: the proposed spec is in force, or dropped.
    SettleSpec {
        /// Number of the proposal.
        number: Revision,
        /// Why not, in words; absent: in force.
        refused: Option<String>,
    },
    /// An operator asks something of one instance.
    Ask {
        /// Of whom.
        instance: InstanceName,
        /// What. The number of a restart is given by the record.
        what: Asking,
    },
    /// The restart that was asked for is done.
    EndRestart {
        /// Whose.
        instance: InstanceName,
        /// Under which number it was asked for.
        number: Revision,
    },
    /// An instance that was to leave acknowledges nothing any more and is stopped, or silent: it leaves the record.
    Remove {
        /// Who.
        instance: InstanceName,
        /// The epoch in which that was seen.
        epoch: Epoch,
    },
    /// Nothing automatic begins from now on, or does again.
    SetPaused {
        /// Which of the two.
        paused: bool,
    },
    /// An instance has proved its seal.
    RecordSeal {
        /// Whose.
        instance: InstanceName,
        /// Of which copy.
        incarnation: Incarnation,
        /// The proof.
        seal: Seal,
    },
    /// Elect the primary of the epoch that began. At most once in an epoch.
    Elect {
        /// The epoch.
        epoch: Epoch,
        /// The winner.
        instance: InstanceName,
        /// The rule for the new epoch: how many.
        k: u32,
        /// And which.
        standbys: BTreeSet<InstanceName>,
        /// The rules that the seals do not satisfy and what may be lost with them, in words; absent for an election
        /// that loses nothing. Kept in the record for ever.
        loss: Option<String>,
    },
    /// A preferred instance that is behind receives what it lacks before somebody is elected.
    BeginFetch {
        /// The epoch of the failover; refused in any other.
        epoch: Epoch,
        /// The preferred one.
        to: InstanceName,
        /// From whom.
        from: InstanceName,
    },
    /// It holds that, or is not waited for any longer; it is sealed again.
    EndFetch {
        /// The epoch of the failover; refused in any other.
        epoch: Epoch,
        /// Why it is given up, in words; absent: it has what it lacked.
        given_up: Option<String>,
    },
    /// An operator accepts that acknowledged commits may be lost, so that the failover under way can elect.
    AcceptLoss {
        /// The epoch of the failover; refused in any other.
        epoch: Epoch,
        /// Unsealed members that the operator asserts to be stopped.
        fenced: BTreeSet<InstanceName>,
    },
    /// The elected instance reported its promotion: the fork enters the record.
    ConfirmPrimary {
        /// The winner.
        instance: InstanceName,
        /// Its promotion.
        promotion: Promotion,
        /// Ancestry of the new timeline, from its history file.
        line: History,
        /// What the operator should know of how it came to be, a sentence each; empty but for what was adopted.
        notes: Vec<String>,
    },
    /// The epoch's first synchronous commit came back and clients are in.
    OpenPrimary {
        /// The epoch.
        epoch: Epoch,
    },
    /// Change who must acknowledge within the epoch: lists the joint rule, before PostgreSQL hears of it.
    ChangeRule {
        /// The epoch.
        epoch: Epoch,
        /// The target: how many.
        k: u32,
        /// And which.
        standbys: BTreeSet<InstanceName>,
    },
    /// The primary proved the rule: everything older is covered by it.
    RetireRules {
        /// The epoch.
        epoch: Epoch,
        /// The proved rule's number.
        number: RuleNumber,
    },
    /// Leave to rewind or clone; raises the incarnation. Refused to the primary, and to the last whole copy.
    GrantRebuild {
        /// Who.
        instance: InstanceName,
        /// The copy that is given up.
        incarnation: Incarnation,
        /// How.
        how: Rebuild,
        /// What the primary had at this moment. Its timeline names the epoch of the grant; refused in any other.
        until: Position,
    },
    /// What a copy held that nobody else had, when it was given up. Recorded once.
    RecordReceipt {
        /// Whose copy.
        instance: InstanceName,
        /// What it held.
        receipt: Receipt,
    },
    /// The agent finished the rebuild; it streams now.
    EndRebuild {
        /// Who.
        instance: InstanceName,
        /// Under which incarnation.
        incarnation: Incarnation,
    },
    /// The copy holds what was asked of it: it counts again.
    MarkWhole {
        /// Who.
        instance: InstanceName,
        /// Which copy.
        incarnation: Incarnation,
        /// The epoch in which it was seen.
        epoch: Epoch,
    },
    /// The PostgreSQL that runs on a directory that is to be adopted is stopped, in good order.
    TakeOver {
        /// Whose.
        instance: InstanceName,
    },
    /// The existing directories are there, stopped, and fit together: the one of a primary is elected for the first
    /// epoch, the others become copies that count for nothing yet.
    Adopt(Adopted),
}

/// What is to become of the PostgreSQL that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopting {
    /// A server that runs is stopped, and started again under its guard. False: it is left alone, and waited for.
    pub take_over: bool,
}

/// An existing PostgreSQL, as it is taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The first epoch: above every timeline that any of the directories knows, and bears its number.
    pub epoch: Epoch,
    /// Who holds the directory of the primary.
    pub instance: InstanceName,
    /// The system identifier of all of them.
    pub system: SystemId,
    /// Where the primary's WAL ends.
    pub position: Position,
    /// Ancestry of the timeline of `position`, from the primary's own history file.
    pub line: History,
    /// Who else holds a copy.
    pub copies: BTreeSet<InstanceName>,
    /// What the operator should know of it, a sentence each: settings of his that ours override, slots that stay.
    pub notes: Vec<String>,
}

/// What can be asked of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asking {
    /// See [`crate::record::Asked::Restart`].
    Restart,
    /// See [`crate::record::Asked::Reinit`].
    Reinit {
        /// The old copy goes first.
        discard_old: bool,
    },
    /// See [`crate::record::Asked::Leave`].
    Leave,
    /// Nothing any more: what was asked is taken back.
    Nothing,
}

/// How an instance presents itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Its name.
    pub instance: InstanceName,
    /// Its machine.
    pub machine: MachineName,
    /// Failure domain; empty when not given.
    pub zone: String,
    /// Identity of its agent's data directory.
    pub directory: DirectoryId,
    /// Where PostgreSQL listens.
    pub address: Address,
    /// Promotion preference; absent: never.
    pub priority: Option<u8>,
    /// Major version of its binaries.
    pub major: u32,
    /// System identifier of the data that it already has; absent: none.
    pub system: Option<SystemId>,
    /// The silent directory whose name this one takes over; absent in the ordinary case. Set by the leader, who knows
    /// how long the other one has been silent.
    pub replaces: Option<DirectoryId>,
}
