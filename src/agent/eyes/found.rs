//! Looking at a data directory that was there before Interrex, while its adoption is wanted. What is told of it stands in the
//! agent's memory first: only a directory that was offered is ever taken in.

use crate::instance::Instance;
use crate::postgres::{self, DataDir, Existing};
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
    /// What is told of it, or why nothing can be; absent: there is nothing, or it is not asked for.
    pub(super) async fn look_at_found(&self, goal: Option<&Goal>) -> Option<Result<Found, String>> {
        let Some(Goal::Adopt { incarnation, .. }) = goal else {
            self.known().found = None;
            return None;
        };
        let kept = self.known().found.clone();
        let told = kept.as_ref().and_then(|kept| kept.found.as_ref().err()).cloned();
        let looked = match kept {
            Some(Looked { at, found, .. }) if now().since(at) < LOOK_EVERY => return Some(found),
            kept => self.examine(kept.and_then(|kept| kept.existing)).await,
        };
        let (found, existing) = match looked {
            Ok(None) => {
                self.known().found = None;
                return None;
            }
            Ok(Some((found, existing))) => match self.offer(*incarnation, &found).await {
                Ok(()) => (Ok(found), Some(existing)),
                Err(error) => {
                    (Err(format!("what is to be adopted cannot be written down: {error}")), Some(existing))
                }
            },
            Err(why) => (Err(why), None),
        };
        if let Err(why) = &found
            && told.as_ref() != Some(why)
        {
            tracing::warn!(cluster = %self.config.cluster, "what is to be adopted is not offered: {why}");
        }
        self.known().found = Some(Looked { at: now(), found: found.clone(), existing });
        Some(found)
    }

    /// `None`: there is no data. Why it cannot be told what there is, with the way out: to be corrected by its operator,
    /// who has no other way to hear of it.
    async fn examine(&self, before: Option<Existing>) -> Result<Option<(Found, Existing)>, String> {
        // Nobody but its operator changes it meanwhile, and he does as he likes.
        self.known().data = None;
        let unreadable = |error: postgres::Error| {
            let pgdata = self.config.pgdata.display();
            format!(
                "data directory {pgdata} cannot be looked at: {error}; correct its owner and mode, or its contents"
            )
        };
        match self.server.has_data().await.map_err(unreadable)? {
            DataDir::Postgres { .. } => {}
            DataDir::Missing | DataDir::Empty => return Ok(None),
            DataDir::Foreign { why } => {
                return Err(format!("{why}; name another pgdata in its node file, or move that away"));
            }
        }
        let processes = leftovers(&self.config.pgdata);
        let (running, hidden) = match processes {
            Ok(processes) => (foremost(&processes).map(|process| process.pid), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let runs = running.is_some() || hidden.is_some();
        let existing = self.server.existing(runs, before).await.map_err(unreadable)?;
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
            timeline: Some(existing.timeline),
        };
        Ok(Some((found, existing)))
    }

    /// Written down before it is told, and only of a directory that stands still.
    async fn offer(&self, incarnation: Incarnation, found: &Found) -> Result<(), crate::state::StateError> {
        if found.running.is_some() || found.refused.is_some() {
            return Ok(());
        }
        let end = found.end.as_ref().map(|(position, _)| *position);
        let offered =
            Offered { incarnation, system: found.system, standby: found.standby, end, roles: false };
        if self.memory().offered == Some(offered) {
            return Ok(());
        }
        self.remember(move |memory| memory.offered = Some(offered)).await
    }
}
