//! How long nobody would take writes: what a dry run expects, from what is known before it begins.

use crate::ids::{Epoch, InstanceName};
use crate::quorum;
use crate::report::Server;
use crate::time::span;
use crate::view::View;
use std::collections::BTreeSet;
use std::time::Duration;

/// A promotion and the first synchronous commit after it, with nothing left to replay, as a rule (docs/bench).
const PROMOTION: Duration = Duration::from_millis(500);
/// What a standby replays in a second, leaning low: how much it has to replay is known, how fast it will is not (F24).
const REPLAYED_PER_SECOND: u64 = 32 << 20;
/// Less than this is replayed before anybody notices.
const NOTICED: u64 = 1 << 20;

/// What a failover to `winner` takes that begins `epoch`. `fenced`: who is known to have stopped, by an operator's word.
pub fn of_failover(
    view: &View<'_>,
    fenced: &BTreeSet<InstanceName>,
    winner: &InstanceName,
    epoch: Epoch,
) -> String {
    let policy = view.policy;
    let old = view.record.last_primary().filter(|old| !fenced.contains(old));
    let lease = old.filter(|_| quorum::asynchronous(&view.record.rules));
    let lasts = lease.as_ref().map_or(Duration::ZERO, |_| policy.surely_over_after());
    let until = lease.map_or_else(String::new, |old| {
        format!("up to {} until the lease of {old} has surely run out, then ", span(lasts))
    });
    let (replay, replays) = replay(view, winner);
    let least = PROMOTION + replay;
    format!(
        "{} without writes as a rule, up to {}: {until}up to {} for the seals of those within reach, then {}the \
         promotion of {winner} in epoch {epoch} and its first synchronous commit",
        span(least),
        span(least + policy.seal_grace + lasts),
        span(policy.seal_grace),
        replays.map_or_else(String::new, |replays| format!("{replays}, ")),
    )
}

/// What a switchover takes that begins `epoch`.
pub fn of_switchover(view: &View<'_>, from: &InstanceName, to: &InstanceName, epoch: Epoch) -> String {
    let (replay, replays) = replay(view, to);
    format!(
        "{} without writes as a rule: {from} makes a checkpoint and serves on; then it stops, which cuts its clients, and \
         {to} takes writes in epoch {epoch} after {}its promotion; {from} follows it",
        span(PROMOTION + replay),
        replays.map_or_else(String::new, |replays| format!("{replays} and ")),
    )
}

/// How long `instance` replays what it has received, and that in words; nothing where nobody would notice.
fn replay(view: &View<'_>, instance: &InstanceName) -> (Duration, Option<String>) {
    let left = match view.server(instance) {
        Some(Server::Standby(standby)) => {
            standby.receiver.as_ref().map_or(0, |receiver| receiver.flushed.bytes_since(standby.replayed))
        }
        _ => 0,
    };
    if left < NOTICED {
        return (Duration::ZERO, None);
    }
    let lasts = Duration::from_millis(left.saturating_mul(1_000) / REPLAYED_PER_SECOND);
    let rate = REPLAYED_PER_SECOND >> 20;
    (lasts, Some(format!("the replay of {} MB by {instance} (reckoned at {rate} MB a second)", left >> 20)))
}
