//! Stamps order goals: two goals of one instance under one stamp are the same goal, or an agent that obeyed one could
//! not tell that the other is newer (PROTOCOL.md 'The record').

use crate::{Fact, Property};
use interrex_cluster::goal::{Goal, goal};
use interrex_cluster::ids::{InstanceName, Stamp};
use std::collections::BTreeMap;

/// The goal last given to each instance, with its stamp.
#[derive(Default)]
pub(crate) struct StampsOrderGoals {
    given: BTreeMap<InstanceName, (Stamp, Goal)>,
}

impl Property for StampsOrderGoals {
    fn name(&self) -> &'static str {
        "stamps-order-goals"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::LogCut { record } = fact {
            self.given.retain(|_, (stamp, _)| *stamp <= record.stamp());
        }
        let Fact::Recorded { after, command, .. } = fact else { return Ok(()) };
        for name in after.instances.keys() {
            let Some(now) = goal(after, name) else { continue };
            if let Some((stamp, before)) = self.given.get(name)
                && *stamp == now.stamp
            {
                if *before != now.goal {
                    return Err(format!(
                        "'{command}' changed the goal of {name} under the stamp {stamp}: {before:?} became {:?}",
                        now.goal
                    ));
                }
                continue;
            }
            self.given.insert(name.clone(), (now.stamp, now.goal));
        }
        Ok(())
    }
}
