//! The highest end of WAL that was told of the copy (PROTOCOL.md clause 8): whoever was told of it may rely on it, so a
//! copy that ends below it was rolled back, and counts for nothing.
//!
//! Where it is kept, and what each place is for. In the agent's memory, raised every few seconds and with each seal: a
//! data directory that was put back ends below it. In the data directory, as a serial that counts the raises: an
//! agent's memory that was put back is behind it. At the coordinators, who hear positions with each heartbeat and tell
//! the highest when the agent registers: both put back together are found by it, and so is what a disk lost that lied
//! about a flush a moment ago.
//!
//! What follows a fork of the record is given up on purpose: following it lowers what was told to what lies on the line.

use crate::identity::{self, Identity};
use crate::instance::{Instance, lock};
use crate::postgres::{Observed as Raw, ObservedRole};
use crate::state::{State, StateError};
use crate::steps::StepError;
use interrex_api::session::Welcome;
use interrex_cluster::goal::{Goal, StandbyGoal};
use interrex_cluster::instance::observed::Server;
use interrex_cluster::wal::{History, Position};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// How often what was seen is compared with what is written down.
const LOOKED_EVERY: Duration = Duration::from_millis(500);
/// How often it is written down at the most, while it moves. What is told in between, the coordinators remember.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);
/// And only once it has come so much further, or onto another timeline: an idle cluster writes nothing but beats, and an
/// idle agent nothing at all.
const WRITTEN_AFTER: u64 = 1 << 20;

/// What the coordinators heard of this very copy is as good as what the agent remembers itself.
pub(crate) fn told_elsewhere(state: &Mutex<State>, welcome: &Welcome) -> Result<(), StateError> {
    let mut state = lock(state);
    let copy = state.memory().incarnation;
    let made = state.memory().sentinel.is_none();
    match welcome.told.filter(|(incarnation, _)| made && *incarnation == copy) {
        Some((_, told)) => state.update(|memory| memory.told = memory.told.max(Some(told))),
        None => Ok(()),
    }
}

impl Instance {
    /// Takes note of how far the copy is. A receiver that has only begun on a timeline tells the start of a segment under
    /// the new number: that is no position on it yet.
    pub(crate) fn note_position(&self, seen: &Server, raw: Option<&Raw>, goal: Option<&Goal>) {
        let position = match (seen, raw.map(|raw| &raw.role), goal) {
            (Server::Standby(standby), _, Some(Goal::Standby(goal))) => {
                let receiver = standby.receiver.filter(|receiver| receiver.streaming);
                receiver.zip(goal.line.as_ref()).and_then(|(receiver, line)| {
                    let begins = line.ancestors.last().map(|ancestor| ancestor.end).unwrap_or_default();
                    let on_it = receiver.timeline == line.timeline && receiver.flushed > begins;
                    on_it.then_some(Position { timeline: receiver.timeline, lsn: receiver.flushed })
                })
            }
            (Server::Primary(_), Some(ObservedRole::Primary(primary)), Some(Goal::Primary(goal))) => {
                let reigns = goal.confirmed && primary.timeline.0 == goal.epoch.0;
                reigns.then_some(Position { timeline: primary.timeline, lsn: primary.flushed })
            }
            _ => None,
        };
        if let Some(position) = position {
            let mut known = self.known();
            known.highest = known.highest.max(Some(position));
        }
    }

    /// Writes down what was seen since: the memory first, the data directory's serial after.
    /// True when it did.
    async fn raise_told(&self) -> Result<bool, StateError> {
        let _written_alone = self.writing.lock().await;
        let memory = self.memory();
        let highest = self.known().highest;
        let Some(highest) = highest.filter(|highest| is_further(*highest, memory.told)) else {
            return Ok(false);
        };
        let ours = |found: &Identity| found.is_of(self.welcome.cluster_id, memory.incarnation);
        let found = identity::read(&self.config.pgdata)?.filter(ours);
        let Some(found) = found.filter(|_| memory.sentinel.is_none()) else { return Ok(false) };
        // After a crash it is one behind, and must not fall further.
        if found.serial + 1 == memory.serial {
            self.identify(Identity { serial: memory.serial, ..found })?;
        } else if found.serial != memory.serial {
            return Ok(false);
        }
        let serial = memory.serial + 1;
        self.remember(move |memory| (memory.told, memory.serial) = (Some(highest), serial)).await?;
        self.identify(Identity { serial, ..found })?;
        Ok(true)
    }

    /// What lies past the fork is given up by following: it is not missed any more.
    pub(crate) async fn give_up_past_the_fork(&self, goal: &StandbyGoal) -> Result<(), StateError> {
        let Some(line) = &goal.line else { return Ok(()) };
        let told = self.memory().told.filter(|told| !line.contains(*told));
        let Some(told) = told else { return Ok(()) };
        let cut = line.cut(told);
        self.known().highest = None;
        self.remember(move |memory| memory.told = cut).await
    }

    /// A server answered: the copy that was made last was not made in vain.
    pub(crate) async fn not_in_vain(&self) {
        if self.memory().in_vain > 0
            && let Err(error) = self.remember(|memory| memory.in_vain = 0).await
        {
            tracing::warn!(cluster = %self.config.cluster, "{error}");
        }
    }

    /// True when the copy, which ends at `end`, lacks what was told of it: noted, so that it counts for nothing from the
    /// next look on.
    pub(crate) async fn was_rolled_back(
        &self,
        end: Position,
        line: Option<&History>,
    ) -> Result<bool, StepError> {
        let memory = self.memory();
        let Some(told) = memory.told.filter(|told| end < *told) else { return Ok(false) };
        // What was flushed may end in the middle of a record, whose rest never came: nobody waited for that one.
        if self.server.lacks_half_a_record(end, told, line).await? {
            return Ok(false);
        }
        let why = format!(
            "the copy ends at {end}, and {told} was told of it before: it was rolled back, or its disk lost what it had \
             flushed"
        );
        tracing::error!(cluster = %self.config.cluster, "{why}; it counts for nothing");
        let mut known = self.known();
        known.doubt = Some((memory.incarnation, why));
        known.data = None;
        Ok(true)
    }
}

fn is_further(highest: Position, told: Option<Position>) -> bool {
    told.is_none_or(|told| match highest.timeline == told.timeline {
        true => highest.lsn.bytes_since(told.lsn) >= WRITTEN_AFTER,
        false => highest > told,
    })
}

/// Writes the highest position down, for ever.
pub(crate) async fn keep_highest(instance: Arc<Instance>) {
    let mut failing = None;
    loop {
        sleep(LOOKED_EVERY).await;
        let raised = instance.raise_told().await;
        if !matches!(raised, Ok(false)) {
            sleep(WRITTEN_EVERY).await;
        }
        let error = raised.err().map(|error| error.to_string());
        if error != failing
            && let Some(error) = &error
        {
            tracing::warn!(cluster = %instance.config.cluster, "how far the copy is cannot be written down: {error}");
        }
        failing = error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::wal::{Lsn, TimelineId};

    #[test]
    fn beats_alone_are_not_written_down() {
        let at = |timeline, lsn| Position { timeline: TimelineId(timeline), lsn: Lsn(lsn) };
        assert!(is_further(at(7, 1), None));
        assert!(!is_further(at(7, WRITTEN_AFTER), Some(at(7, 1))));
        assert!(is_further(at(7, WRITTEN_AFTER + 1), Some(at(7, 1))));
        assert!(is_further(at(8, 5), Some(at(7, 9))), "a new timeline");
        assert!(!is_further(at(6, 1 << 30), Some(at(7, 9))), "an older one is not further");
        assert!(!is_further(at(7, 5), Some(at(7, 9))));
    }
}
