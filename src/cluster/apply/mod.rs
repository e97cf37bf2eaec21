//! `apply(clusters, entry)`: the only way in which a record changes. Every coordinator runs it over the same log and
//! reaches the same state. Each command is checked against the record as it is *now*, whatever its proposer knew: an
//! old or doubled command is rejected and changes nothing, so that a deposed leader can do no harm.
//!
//! A rejection leaves the record untouched. What happened is told as [`Event`]s.

mod adoption;
mod failover;
mod fetch;
mod maintenance;
mod membership;
mod rebuild;
mod rule;
mod switchover;
mod wishes;

use crate::command::{Command, Entry};
use crate::event::Event;
use crate::ids::ClusterName;
use crate::record::Cluster;
use std::collections::BTreeMap;

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

impl Rejected {
    fn because<T>(why: impl Into<String>) -> Result<T, Rejected> {
        Err(Rejected(why.into()))
    }
}

/// What a command did, in the order in which it happened: kind and sentence of each event.
type Done = Result<Vec<(&'static str, String)>, Rejected>;

/// Applies one entry. `index` is the entry's place in the log.
///
/// # Errors
/// [`Rejected`] when the command does not fit the record; nothing has changed then.
pub fn apply(
    clusters: &mut BTreeMap<ClusterName, Cluster>,
    entry: &Entry,
    index: u64,
) -> Result<Vec<Event>, Rejected> {
    let done = match (&entry.command, clusters.get_mut(&entry.cluster)) {
        (Command::Create { spec, adopt: Some(adopt), .. }, Some(cluster)) => {
            adoption::wish(cluster, spec, *adopt)
        }
        (Command::Create { .. }, Some(_)) => {
            Rejected::because(format!("cluster {} exists already", entry.cluster))
        }
        (Command::Create { id, spec, secrets, adopt }, None) => {
            let made = membership::create(&entry.cluster, *id, spec, secrets, *adopt);
            made.map(|cluster| {
                let what = if adopt.is_some() { ", to take in an existing PostgreSQL" } else { "" };
                let told = vec![("created", format!("cluster {} was created{what}", entry.cluster))];
                clusters.insert(entry.cluster.clone(), cluster);
                told
            })
        }
        (_, None) => Rejected::because(format!("no cluster of the name {}", entry.cluster)),
        (command, Some(cluster)) => apply_to(cluster, command, entry),
    }?;
    let epoch = clusters.get(&entry.cluster).map(|cluster| cluster.epoch).unwrap_or_default();
    let event = |(kind, text): (&str, String)| Event {
        index,
        at: entry.at,
        cluster: entry.cluster.clone(),
        epoch,
        kind: kind.to_owned(),
        text,
    };
    Ok(done.into_iter().map(event).collect())
}

fn apply_to(cluster: &mut Cluster, command: &Command, entry: &Entry) -> Done {
    match command {
        Command::Create { .. } => Rejected::because("the cluster exists already"),
        Command::Register(registration) => membership::register(cluster, registration),
        Command::BeginBootstrap { on } => membership::begin_bootstrap(cluster, on),
        Command::EndBootstrap { instance, system, position } => {
            membership::end_bootstrap(cluster, instance, *system, *position)
        }
        Command::BeginFailover { epoch, reason, wanted } => {
            failover::begin(cluster, *epoch, reason, wanted.as_ref(), entry.at)
        }
        Command::BeginSwitchover { epoch, to } => switchover::begin(cluster, *epoch, to),
        Command::BeginHandOver { epoch, to } => switchover::hand_over(cluster, *epoch, to, entry.at),
        Command::AbandonSwitchover { epoch, why } => switchover::abandon(cluster, *epoch, why),
        Command::SetSpec { before, spec } => wishes::set(cluster, before, spec),
        Command::SettleSpec { number, refused } => wishes::settle(cluster, *number, refused.as_deref()),
        Command::Ask { instance, what } => maintenance::ask(cluster, instance, *what),
        Command::EndRestart { instance, number } => maintenance::end_restart(cluster, instance, *number),
        Command::Remove { instance, epoch } => maintenance::remove(cluster, instance, *epoch),
        Command::SetPaused { paused } => maintenance::set_paused(cluster, *paused),
        Command::RecordSeal { instance, incarnation, seal } => {
            failover::record_seal(cluster, instance, *incarnation, *seal, entry.at)
        }
        Command::BeginFetch { epoch, to, from } => fetch::begin(cluster, *epoch, to, from),
        Command::EndFetch { epoch, given_up } => fetch::end(cluster, *epoch, given_up.as_deref()),
        Command::AcceptLoss { epoch, fenced } => failover::accept_loss(cluster, *epoch, fenced, entry.at),
        Command::Elect { epoch, instance, k, standbys, loss } => {
            let election =
                failover::Election { epoch: *epoch, instance, k: *k, standbys, loss: loss.as_deref() };
            failover::elect(cluster, &election, entry.at)
        }
        Command::ConfirmPrimary { instance, promotion, line, notes } => {
            let mut told = failover::confirm(cluster, instance, *promotion, line, entry.at)?;
            if !told.is_empty() {
                told.extend(notes.iter().map(|note| ("adoption-note", note.clone())));
            }
            Ok(told)
        }
        Command::OpenPrimary { epoch } => failover::open(cluster, *epoch, entry.at),
        Command::ChangeRule { epoch, k, standbys } => rule::change(cluster, *epoch, *k, standbys),
        Command::RetireRules { epoch, number } => rule::retire(cluster, *epoch, *number),
        Command::GrantRebuild { instance, incarnation, how, until } => {
            rebuild::grant(cluster, instance, *incarnation, *how, *until)
        }
        Command::RecordReceipt { instance, receipt } => {
            rebuild::record_receipt(cluster, instance, receipt, entry.at)
        }
        Command::EndRebuild { instance, incarnation } => rebuild::end(cluster, instance, *incarnation),
        Command::MarkWhole { instance, incarnation, epoch } => {
            rebuild::mark_whole(cluster, instance, *incarnation, *epoch)
        }
        Command::TakeOver { instance } => adoption::take_over(cluster, instance),
        Command::Adopt(adopted) => adoption::adopt(cluster, adopted, entry.at),
    }
}

#[cfg(test)]
mod tests;
