//! One cluster on one screen: what `show`, `status` and `list` print. Made from the view, by the leader.

use crate::ids::{ClusterId, ClusterName, Epoch, Incarnation, InstanceName, MachineName, Revision, SystemId};
use crate::problem::Severity;
use crate::record::Address;
use crate::shown;
use crate::spec::Spec;
use crate::wal::{Lsn, TimelineId};
use serde::Serialize;

/// The state of a cluster as its coordinator leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: ClusterName,
    /// Its random identity.
    #[serde(serialize_with = "shown::text")]
    pub id: ClusterId,
    /// What is wanted.
    pub spec: Spec,
    /// PostgreSQL's identifier.
    #[serde(serialize_with = "shown::text_if_known")]
    pub system: Option<SystemId>,
    /// The reign.
    pub epoch: Epoch,
    /// The goal counter.
    pub revision: Revision,
    /// What is under way, in words; "steady" when nothing is.
    pub operation: String,
    /// The elected primary.
    pub primary: Option<InstanceName>,
    /// True when clients are let in to it.
    pub open: bool,
    /// The commit rule in force, in words.
    pub rule: String,
    /// Every listed rule, in words, oldest first.
    pub rules: Vec<String>,
    /// Members.
    pub instances: Vec<InstanceStatus>,
    /// What is wrong, worst first.
    pub problems: Vec<ProblemLine>,
    /// What is waited for.
    pub waits: Vec<String>,
    /// True while paused.
    pub paused: bool,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceStatus {
    /// Its name.
    pub name: InstanceName,
    /// Its machine.
    pub machine: MachineName,
    /// Failure domain; empty when not given.
    pub zone: String,
    /// Where PostgreSQL listens.
    pub address: Address,
    /// "primary" or "standby" by the record; "joining" while the copy is not whole.
    pub role: String,
    /// What its server is doing, in words: "streaming", "down", "silent for 3.2 s", …
    pub server: String,
    /// Promotion preference; absent: never.
    pub priority: Option<u8>,
    /// Timeline it writes or receives.
    pub timeline: Option<TimelineId>,
    /// End of WAL that it told.
    #[serde(serialize_with = "shown::text_if_known")]
    pub lsn: Option<Lsn>,
    /// Bytes of the primary's WAL that it has not flushed; absent when unknown, and for the primary itself.
    pub lag_bytes: Option<u64>,
    /// Milliseconds since there has been WAL of the primary that it has not replayed, 0 where there is none; absent when the
    /// primary does not serve it, and for the primary.
    pub lag_ms: Option<u64>,
    /// True when it may acknowledge commits under the rule in force.
    pub in_sync_set: bool,
    /// The copy it holds.
    pub incarnation: Incarnation,
    /// Milliseconds since its agent's last report; absent when it never reported to this coordinator.
    pub report_age_ms: Option<u64>,
    /// Lease left, as its agent last said.
    pub lease_left_ms: Option<u64>,
    /// What its agent is busy with.
    pub doing: Option<String>,
    /// Parameters whose new values wait for a restart.
    pub pending_restart: Vec<String>,
    /// True once its PostgreSQL has read the cluster's parameters as they are wanted now: what `pending_restart` says is
    /// about these. False while its agent is silent.
    pub parameters_read: bool,
}

/// A problem, ready to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemLine {
    /// Stable code.
    pub code: String,
    /// How serious.
    pub severity: Severity,
    /// The sentence.
    pub sentence: String,
    /// Who says so.
    pub evidence: Vec<String>,
}
