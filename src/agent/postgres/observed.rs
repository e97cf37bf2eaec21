//! One look at a live server: what the agent's rules and reports need, in one round trip.

use super::control_data::ControlData;
use interrex_cluster::ids::{Incarnation, InstanceName, SystemId};
use interrex_cluster::report::{self, Unfit};
use interrex_cluster::wal::{Lsn, TimelineId};
use std::collections::BTreeMap;

/// What a live server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its system identifier.
    pub system: SystemId,
    /// What it is.
    pub role: ObservedRole,
    /// Settings as the kept connection sees them: `synchronous_standby_names`, `primary_conninfo`, `fsync`,
    /// `full_page_writes` and the five that replay checks (F25).
    pub settings: BTreeMap<String, String>,
    /// Client backends other than the agents' own.
    pub clients: u64,
}

/// In recovery or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedRole {
    /// In recovery.
    Standby(InRecovery),
    /// Not in recovery.
    Primary(NotInRecovery),
}

/// A server in recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InRecovery {
    /// End of replay; absent until replay began.
    pub replayed: Option<Lsn>,
    /// `pg_last_wal_receive_lsn`: says nothing about what was durable before (F16).
    pub received: Option<Lsn>,
    /// Replay is paused, or about to be (F25).
    pub paused: bool,
    /// The walreceiver, when `pg_stat_wal_receiver` shows one.
    pub receiver: Option<ObservedReceiver>,
    /// A walreceiver process exists. It can while the view is empty (F40).
    pub receiver_process: bool,
}

/// A walreceiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedReceiver {
    /// True in state `streaming`.
    pub streaming: bool,
    /// Timeline being received.
    pub timeline: TimelineId,
    /// Flushed up to here.
    pub flushed: Lsn,
    /// Milliseconds since the upstream last spoke.
    pub quiet_ms: u64,
    /// Host it is connected to.
    pub host: String,
    /// Port it is connected to.
    pub port: u16,
}

/// A server that is not in recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotInRecovery {
    /// Timeline being written.
    pub timeline: TimelineId,
    /// Flushed up to here.
    pub flushed: Lsn,
    /// Every walsender, ours or not.
    pub senders: Vec<ObservedSender>,
}

/// A walsender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSender {
    /// Its `application_name`.
    pub name: String,
    /// True in state `streaming`.
    pub streaming: bool,
    /// What the peer says it has flushed; absent before its first answer.
    pub flushed: Option<Lsn>,
    /// What it says it has replayed.
    pub replayed: Option<Lsn>,
    /// Milliseconds since it last answered.
    pub reply_age_ms: u64,
    /// Milliseconds since there has been WAL that it has not replayed; 0: there is none.
    pub behind_ms: u64,
}

impl Observed {
    /// The server part of a report. `standbys` names the walsenders that are ours, `upstream` the instance that the
    /// agent configured; `open` and `beat_age_ms` are the agent's own knowledge.
    pub fn report(
        &self,
        standbys: &[(InstanceName, Incarnation, String)],
        upstream: Option<&InstanceName>,
        open: bool,
        beat_age_ms: Option<u64>,
    ) -> report::Server {
        match &self.role {
            ObservedRole::Standby(standby) => report::Server::Standby(report::Standby {
                system: self.system,
                replayed: standby.replayed.unwrap_or_default(),
                receiver: standby.receiver.as_ref().map(|receiver| report::Receiver {
                    upstream: upstream.cloned(),
                    streaming: receiver.streaming,
                    timeline: receiver.timeline,
                    flushed: receiver.flushed,
                    quiet_ms: receiver.quiet_ms,
                }),
            }),
            ObservedRole::Primary(primary) => report::Server::Primary(report::Primary {
                system: self.system,
                timeline: primary.timeline,
                flushed: primary.flushed,
                senders: primary.senders.iter().filter_map(|sender| sender.report(standbys)).collect(),
                open,
                beat_age_ms,
            }),
        }
    }
}

impl Observed {
    /// Why this server must not be promoted as it is. `control` is its own pg_control, which knows what the primary
    /// ran with (F25). Disk space is not seen from here: [`super::Server::free_bytes`].
    pub fn unfit(&self, control: &ControlData) -> Vec<Unfit> {
        let ours = |name: &str| self.settings.get(name).and_then(|value| value.parse::<u64>().ok());
        let too_low =
            control.parameters.iter().filter(|(name, primarys)| ours(name).is_some_and(|v| v < **primarys));
        let mut unfit: Vec<Unfit> =
            too_low.map(|(name, _)| Unfit::ParameterTooLow { name: name.clone() }).collect();
        if matches!(&self.role, ObservedRole::Standby(standby) if standby.paused) {
            unfit.push(Unfit::ReplayPaused);
        }
        for setting in ["fsync", "full_page_writes"] {
            if self.settings.get(setting).is_some_and(|value| value == "off") {
                unfit.push(Unfit::NotDurable { setting: setting.to_owned() });
            }
        }
        unfit
    }
}

impl ObservedSender {
    fn report(&self, standbys: &[(InstanceName, Incarnation, String)]) -> Option<report::Sender> {
        let (instance, incarnation, _) = standbys.iter().find(|(_, _, name)| *name == self.name)?;
        Some(report::Sender {
            instance: instance.clone(),
            incarnation: *incarnation,
            streaming: self.streaming,
            flushed: self.flushed?,
            replayed: self.replayed?,
            reply_age_ms: self.reply_age_ms,
            behind_ms: self.behind_ms,
        })
    }
}
