//! The catalogue of what can be wrong, what may not happen yet, and who may not be chosen. Each has a stable code for
//! programs and a sentence for people; each sentence can be printed as it stands.

use crate::ids::{InstanceName, MachineName};
use crate::time::span;
use crate::wal::Position;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Works, with less in hand than wanted.
    Warning,
    /// Writes or reads do not work, or will not after one more failure.
    Critical,
}

/// What is wrong, who says so, and how serious it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What.
    pub kind: ProblemKind,
    /// First-hand and inferred testimony, a sentence each.
    pub evidence: Vec<String>,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProblemKind {
    /// The primary's own agent says that its server is down.
    PrimaryDown {
        /// The primary.
        instance: InstanceName,
    },
    /// The primary's agent is silent, and peers confirm that the server is out of reach.
    PrimaryUnreachable {
        /// The primary.
        instance: InstanceName,
    },
    /// The agent of the primary is silent past its lease, and no standby still receives.
    PrimarySilent {
        /// The primary.
        instance: InstanceName,
    },
    /// The server answers nothing, although its process is there.
    PrimaryHung {
        /// The primary.
        instance: InstanceName,
    },
    /// Its standbys are there, whole and within reach, and none streams from it: it is cut off from them.
    PrimaryCutOff {
        /// The primary.
        instance: InstanceName,
    },
    /// Promotion was granted and does not come about.
    PromotionStuck {
        /// The elected instance.
        instance: InstanceName,
    },
    /// The primary's agent is silent, and nothing says yet that the primary failed.
    AgentSilent {
        /// Whose agent.
        instance: InstanceName,
    },
    /// A standby is silent, down, or does not stream.
    StandbyAway {
        /// Which.
        instance: InstanceName,
    },
    /// A copy is being rebuilt or waits for it.
    CopyNotWhole {
        /// Which.
        instance: InstanceName,
    },
    /// Fewer standbys can acknowledge than asked for.
    FewerAcks {
        /// How many are asked for.
        wanted: u32,
        /// How many the rule in force asks.
        in_force: u32,
    },
    /// A standby streams perhaps, and its server answers its agent nothing: nobody could promote it as it is.
    StandbyHung {
        /// Which.
        instance: InstanceName,
    },
    /// Nobody can acknowledge: writes wait, or go on asynchronously.
    Alone,
    /// An instance must not be promoted as it is.
    NotPromotable {
        /// Which.
        instance: InstanceName,
    },
    /// A data directory of another identity speaks under this name.
    Impostor {
        /// Under which name.
        instance: InstanceName,
    },
    /// PostgreSQL keeps ending while it is starting, and another copy did not help.
    DoesNotStart {
        /// Which.
        instance: InstanceName,
    },
    /// Agents obeyed what the record does not know: entries of the coordinators' log are lost.
    RecordBehind {
        /// Who obeyed the most.
        instance: InstanceName,
    },
    /// Node files name other coordinators than there are.
    StaleCoordinators {
        /// On which instance's machine.
        instance: InstanceName,
    },
    /// A position lies below one that the same copy reported before: a rolled-back volume, or lost state.
    RolledBack {
        /// Which.
        instance: InstanceName,
    },
    /// The existing PostgreSQL cannot be taken in as it is.
    AdoptionRefused,
    /// An instance of a node file is no member, and is not taken in as one.
    TurnedAway {
        /// Under which name it asks.
        instance: InstanceName,
        /// On which machine.
        machine: MachineName,
    },
}

impl ProblemKind {
    /// Stable code, in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PrimaryDown { .. } => "primary-down",
            Self::PrimaryUnreachable { .. } => "primary-unreachable",
            Self::PrimarySilent { .. } => "primary-silent",
            Self::PrimaryHung { .. } => "primary-hung",
            Self::PrimaryCutOff { .. } => "primary-cut-off",
            Self::PromotionStuck { .. } => "promotion-stuck",
            Self::AgentSilent { .. } => "agent-silent",
            Self::StandbyAway { .. } => "standby-away",
            Self::StandbyHung { .. } => "standby-hung",
            Self::CopyNotWhole { .. } => "copy-not-whole",
            Self::FewerAcks { .. } => "fewer-acks",
            Self::Alone => "alone",
            Self::NotPromotable { .. } => "not-promotable",
            Self::Impostor { .. } => "impostor",
            Self::DoesNotStart { .. } => "does-not-start",
            Self::RecordBehind { .. } => "record-behind",
            Self::StaleCoordinators { .. } => "stale-coordinators",
            Self::RolledBack { .. } => "rolled-back",
            Self::AdoptionRefused => "adoption-refused",
            Self::TurnedAway { .. } => "turned-away",
        }
    }

    /// How serious.
    pub fn severity(&self) -> Severity {
        match self {
            Self::AgentSilent { .. }
            | Self::StandbyAway { .. }
            | Self::StandbyHung { .. }
            | Self::CopyNotWhole { .. }
            | Self::FewerAcks { .. }
            | Self::DoesNotStart { .. }
            | Self::StaleCoordinators { .. }
            | Self::NotPromotable { .. }
            | Self::TurnedAway { .. } => Severity::Warning,
            _ => Severity::Critical,
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrimaryDown { instance } => write!(f, "PostgreSQL on primary {instance} is down"),
            Self::PrimaryUnreachable { instance } => write!(f, "primary {instance} is unreachable"),
            Self::PrimarySilent { instance } => write!(f, "primary {instance} is silent past its lease"),
            Self::PrimaryHung { instance } => write!(f, "PostgreSQL on primary {instance} does not answer"),
            Self::PrimaryCutOff { instance } => write!(f, "primary {instance} is cut off from its standbys"),
            Self::PromotionStuck { instance } => write!(f, "the promotion of {instance} does not come about"),
            Self::AgentSilent { instance } => write!(f, "the agent of primary {instance} is silent"),
            Self::StandbyAway { instance } => write!(f, "standby {instance} does not stream"),
            Self::StandbyHung { instance } => {
                write!(f, "PostgreSQL on standby {instance} does not answer; as it is, nobody can promote it")
            }
            Self::CopyNotWhole { instance } => write!(f, "the copy on {instance} is not whole"),
            Self::FewerAcks { wanted, in_force } => {
                write!(f, "commits wait for {in_force} standby(s) instead of {wanted}")
            }
            Self::Alone => write!(f, "no standby can acknowledge commits"),
            Self::NotPromotable { instance } => write!(f, "{instance} must not be promoted as it is"),
            Self::Impostor { instance } => {
                write!(f, "another data directory speaks under the name {instance}")
            }
            Self::DoesNotStart { instance } => write!(f, "PostgreSQL on {instance} does not start"),
            Self::RecordBehind { instance } => {
                write!(f, "the record is older than what {instance} obeyed")
            }
            Self::StaleCoordinators { instance } => {
                write!(f, "the node file of {instance} does not list the coordinators as they are")
            }
            Self::RolledBack { instance } => {
                write!(f, "the copy on {instance} was rolled back and counts for nothing")
            }
            Self::AdoptionRefused => {
                write!(f, "the existing PostgreSQL is not taken in as it is; nothing of it was changed")
            }
            Self::TurnedAway { instance, machine } => {
                write!(f, "{instance} on machine {machine} asks to be let in and is turned away")
            }
        }
    }
}

/// Why nothing happens yet. A wait is an answer: it names what would end it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Wait {
    /// Instances have still to register.
    Registrations {
        /// Those that are there.
        have: Vec<InstanceName>,
        /// How many are wanted.
        want: u32,
    },
    /// The first copy is being made.
    Bootstrap {
        /// On which instance.
        on: InstanceName,
    },
    /// Too few sealed instances to satisfy a rule.
    SealsMissing {
        /// The rule, in words.
        rule: String,
        /// How many more of `from` are needed.
        more: u32,
        /// Whose seals would do.
        from: Vec<InstanceName>,
    },
    /// An asynchronous primary's lease has to run out, or its stop to be proved.
    LeaseRunning {
        /// The holder.
        holder: InstanceName,
        /// How long that may still take.
        left: Duration,
    },
    /// With `k = 0` only the old primary knows what it acknowledged.
    LossUnbounded {
        /// The old primary.
        holder: InstanceName,
    },
    /// The rules are satisfied; standbys within reach are given a moment to be sealed too.
    StandbyGrace {
        /// For how much longer.
        left: Duration,
    },
    /// A preferred instance fetches WAL that it lacks.
    Fetch {
        /// Who.
        to: InstanceName,
        /// From whom.
        from: InstanceName,
    },
    /// Sealed instances satisfy the rules, and none of them may be promoted.
    NoCandidate {
        /// Why not, one by one.
        refusals: Vec<Refusal>,
    },
    /// The elected instance has to report its promotion.
    Promotion {
        /// Which.
        instance: InstanceName,
    },
    /// The epoch's first synchronous commit has to come back.
    FirstCommit {
        /// From which primary.
        instance: InstanceName,
    },
    /// A changed rule has to be proved by the primary.
    RuleProof {
        /// The primary.
        instance: InstanceName,
    },
    /// A rebuild is under way: one at a time from one source.
    Rebuild {
        /// Of which instance.
        instance: InstanceName,
    },
    /// An operator asked for a restart.
    Restart {
        /// Of which instance.
        instance: InstanceName,
    },
    /// An instance that is to leave has to stop first.
    Leaving {
        /// Which.
        instance: InstanceName,
    },
    /// Proposed parameters are to be judged.
    Judgement {
        /// By which primary.
        instance: InstanceName,
    },
    /// The cluster is paused.
    Paused,
    /// The record may lack entries that agents obeyed: it was made anew out of one coordinator's log.
    Recovered {
        /// Who has still to be heard.
        silent: Vec<InstanceName>,
    },
    /// What was decided cannot be written yet: a coordinator would stop at it.
    OlderCoordinator {
        /// On which machine.
        machine: MachineName,
        /// The level of log entries that it would have to read.
        level: u32,
    },
    /// A switchover is prepared: the primary makes a checkpoint and serves on.
    Checkpoint {
        /// The primary.
        instance: InstanceName,
    },
    /// A switchover: the old primary has to stop first.
    HandOver {
        /// The old primary.
        from: InstanceName,
        /// Who is to be primary.
        to: InstanceName,
    },
    /// An existing PostgreSQL is to be taken in, and what stands in the way is the operator's to move.
    Adoption,
    /// The server of an existing PostgreSQL has to stop first.
    TakeOver {
        /// On which instance.
        instance: InstanceName,
    },
    /// An instance that is to leave acknowledges until those who stay can.
    NeededYet {
        /// Which.
        instance: InstanceName,
        /// How many of those who stay can acknowledge now.
        able: u32,
        /// How many have to.
        wanted: u32,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registrations { have, want } => {
                write!(f, "waits for instances: {} of {want} registered", have.len())?;
                if have.is_empty() { Ok(()) } else { write!(f, " ({})", list(have)) }
            }
            Self::Bootstrap { on } => write!(f, "waits for {on} to create the first copy"),
            Self::SealsMissing { rule, more, from } => {
                write!(f, "waits for {more} more of {} to be sealed (rule {rule})", list(from))
            }
            Self::LeaseRunning { holder, left } => {
                write!(f, "waits up to {} for the lease of {holder} to run out", span(*left))
            }
            Self::LossUnbounded { holder } => write!(
                f,
                "waits for {holder}: commits were asynchronous, and only it knows what it acknowledged; \
                 to go on without it: interrex failover --accept-loss"
            ),
            Self::StandbyGrace { left } => {
                write!(f, "gives reachable standbys {} more to be sealed too", span(*left))
            }
            Self::Fetch { to, from } => {
                write!(f, "waits for {to}, which is preferred, to have all that {from} has")
            }
            Self::NoCandidate { refusals } => {
                write!(f, "waits for somebody who may be promoted: ")?;
                join(f, refusals)
            }
            Self::Promotion { instance } => write!(f, "waits for {instance} to be promoted"),
            Self::FirstCommit { instance } => {
                write!(f, "waits for the first synchronous commit on {instance}; clients are let in after it")
            }
            Self::RuleProof { instance } => {
                write!(f, "waits for {instance} to prove the changed commit rule")
            }
            Self::Rebuild { instance } => write!(f, "waits for the rebuild of {instance}"),
            Self::Restart { instance } => write!(f, "waits for {instance} to be restarted, as asked"),
            Self::Judgement { instance } => {
                write!(f, "waits for {instance} to say whether PostgreSQL takes the parameters")
            }
            Self::Leaving { instance } => {
                write!(f, "waits for {instance} to stop; it is to leave the cluster")
            }
            Self::Paused => {
                write!(
                    f,
                    "paused: no failover and no rebuild begins by itself; to go on: interrex resume CLUSTER"
                )
            }
            Self::Recovered { silent } => write!(
                f,
                "waits until {} is heard: the record was made anew out of one log, and may lack what it obeyed",
                list(silent)
            ),
            Self::OlderCoordinator { machine, level } => write!(
                f,
                "waits until the coordinator on {machine} is known to read log entries of level {level}; see: interrex \
                 coordinator list"
            ),
            Self::Checkpoint { instance } => {
                write!(f, "waits for the checkpoint of {instance}, which serves on meanwhile")
            }
            Self::HandOver { from, to } if from == to => write!(f, "waits for {from} to stop"),
            Self::HandOver { from, to } => write!(f, "waits for {from} to stop and hand over to {to}"),
            Self::Adoption => write!(f, "waits for the directories to fit together; then they are taken in"),
            Self::TakeOver { instance } => {
                write!(f, "waits for the PostgreSQL that runs on {instance} to stop, to be taken over")
            }
            Self::NeededYet { instance, able, wanted } => write!(
                f,
                "waits for other standbys before {instance} leaves: acks = {wanted}, and {able} of those who stay can \
                 acknowledge now; with fewer acks it leaves at once"
            ),
        }
    }
}

/// Why an instance is not the one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Not sealed in this epoch.
    NotSealed {
        /// Who.
        instance: InstanceName,
    },
    /// No fresh report: only a reachable instance is elected.
    Unreachable {
        /// Who.
        instance: InstanceName,
    },
    /// Its copy is not whole.
    NotWhole {
        /// Who.
        instance: InstanceName,
    },
    /// Its copy was rolled back, or may have been.
    RolledBack {
        /// Who.
        instance: InstanceName,
        /// Why, in words.
        why: String,
    },
    /// Somebody sealed holds more.
    Behind {
        /// Who.
        instance: InstanceName,
        /// The highest position.
        best: Position,
        /// Its own.
        own: Position,
    },
    /// `priority = "never"`.
    Excluded {
        /// Who.
        instance: InstanceName,
    },
    /// Its agent says that it must not be promoted.
    Unfit {
        /// Who.
        instance: InstanceName,
        /// Why, in words.
        why: String,
    },
    /// Fit, and somebody else is preferred.
    Preferred {
        /// Who.
        instance: InstanceName,
        /// In favour of whom.
        winner: InstanceName,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed { instance } => write!(f, "{instance} is not sealed"),
            Self::Unreachable { instance } => write!(f, "{instance} is silent"),
            Self::NotWhole { instance } => write!(f, "the copy on {instance} is not whole"),
            Self::RolledBack { instance, why } => {
                write!(f, "the copy on {instance} does not count: {why}")
            }
            Self::Behind { instance, best, own } if best.timeline == own.timeline => {
                write!(f, "{instance} is behind by {} bytes ({own})", best.lsn.bytes_since(own.lsn))
            }
            Self::Behind { instance, best, own } => {
                write!(f, "{instance} is on an older timeline ({own}, not {best})")
            }
            Self::Excluded { instance } => write!(f, "{instance} has priority \"never\""),
            Self::Unfit { instance, why } => write!(f, "{instance} is not fit: {why}"),
            Self::Preferred { instance, winner } => write!(f, "{instance} would do, {winner} is preferred"),
        }
    }
}

/// Names in a row: `n2 and n3`.
pub(crate) fn list(names: &[InstanceName]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.to_string(),
        [init @ .., last] => {
            let init: Vec<_> = init.iter().map(InstanceName::as_str).collect();
            format!("{} and {last}", init.join(", "))
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { "" } else { "; " })?;
    }
    Ok(())
}
