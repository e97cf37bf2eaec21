//! Looking at a data directory that was there before Interrex, while its adoption is wanted. What is told of it stands in the
//! agent's memory first: only a directory that was offered is ever taken in.

use crate::instance::Instance;
use crate::postgres::{DataDir, Existing};
use crate::process::{foremost, leftovers};
use crate::run::Looked;
use crate::session::now;
use interrex_cluster::goal::Goal;
use interrex_cluster::ids::Incarnation;
use interrex_cluster::instance::observed::Offered;
use interrex_cluster::report::Found;
use std::time::Duration;

/// It takes a few processes to look, and little changes.
const LOOK_EVERY: Duration = Duration::from_millis(1_000);

impl Instance {
    pub(super) async fn look_at_found(&self, goal: Option<&Goal>) -> Option<Found> {
        let Some(Goal::Adopt { incarnation, .. }) = goal else {
            self.known().found = None;
            return None;
        };
        let kept = self.known().found.clone();
        let (found, existing) = match kept {
            Some(Looked { at, found, .. }) if now().since(at) < LOOK_EVERY => return Some(found),
            kept => self.examine(kept.map(|kept| kept.existing)).await?,
        };
        let offered = self.offer(*incarnation, &found).await;
        if let Err(error) = offered {
            tracing::warn!(cluster = %self.config.cluster, "what is to be adopted cannot be written down: {error}");
            return None;
        }
        self.known().found = Some(Looked { at: now(), found: found.clone(), existing });
        Some(found)
    }

    async fn examine(&self, before: Option<Existing>) -> Option<(Found, Existing)> {
        // Nobody but its operator changes it meanwhile, and he does as he likes.
        self.known().data = None;
        match self.server.has_data().await {
            Ok(DataDir::Postgres { .. }) => {}
            Ok(DataDir::Missing | DataDir::Empty | DataDir::Foreign { .. }) | Err(_) => return None,
        }
        let processes = leftovers(&self.config.pgdata);
        let (running, hidden) = match processes {
            Ok(processes) => (foremost(&processes).map(|process| process.pid), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let existing = match self.server.existing(running.is_some() || hidden.is_some(), before).await {
            Ok(existing) => existing,
            Err(error) => {
                tracing::warn!(cluster = %self.config.cluster, "cannot look at what is to be adopted: {error}");
                return None;
            }
        };
        let known = self.memory();
        let used = known.incarnation != Incarnation(0) || known.sentinel.is_some();
        let used = used.then(|| {
            format!(
                "{} remembers an earlier copy; begin with another data_dir, or move that away",
                self.rooms.own.display()
            )
        });
        let found = Found {
            system: existing.system,
            standby: existing.standby,
            running,
            end: existing.end.clone().and_then(Result::ok),
            highest: existing.highest,
            refused: hidden.or(used).or_else(|| existing.refused.clone()),
            notes: existing.notes.clone(),
        };
        Some((found, existing))
    }

    /// Written down before it is told, and only of a directory that stands still.
    async fn offer(&self, incarnation: Incarnation, found: &Found) -> Result<(), crate::state::StateError> {
        if found.running.is_some() || found.refused.is_some() {
            return Ok(());
        }
        let end = found.end.as_ref().map(|(position, _)| *position);
        let offered = Offered { incarnation, system: found.system, standby: found.standby, end };
        if self.memory().offered == Some(offered) {
            return Ok(());
        }
        self.remember(move |memory| memory.offered = Some(offered)).await
    }
}
