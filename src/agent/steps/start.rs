//! Starting: always as a standby, with its settings and `standby.signal` in place before the process exists. A server
//! becomes a primary by promotion only (F27).

use super::{Done, StepError};
use crate::instance::Instance;
use crate::postgres::{Clients, ControlData, ControlState, Role, Settings, Upstream};
use crate::process::{StartSpec, leftovers, start, stop_unguarded};
use crate::run::Run;
use crate::session::now;
use interrex_cluster::goal::StandbyGoal;
use interrex_cluster::ids::Stamp;
use interrex_cluster::wal::{History, TimelineId};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

/// A server that somebody else started on our directory gets so long to end.
const STRANGERS_WITHIN: Duration = Duration::from_secs(10);

impl Instance {
    /// Starts it, following `goal`'s upstream or receiving from nobody. `line`: the ancestry that the goal speaks of;
    /// `parameters`: the cluster's, where the goal has them.
    pub(super) async fn start(
        &self,
        stamp: Stamp,
        goal: Option<&StandbyGoal>,
        line: Option<&History>,
        parameters: Option<&BTreeMap<String, String>>,
    ) -> Done {
        self.not_in_a_hurry()?;
        self.end_strangers().await?;
        let role = goal.map_or(Role::Sealed, |goal| Role::Standby { upstream: upstream(goal) });
        // Who follows may be read from; who may be promoted next lets clients in when it has.
        let clients = if goal.is_some() { Clients::In } else { Clients::Out };
        self.write_role(&role).await?;
        if let Some(parameters) = parameters {
            self.server.write_parameters_offline(parameters).await?;
        }
        self.server.write_hba(clients).await?;
        self.server.put_standby_signal().await?;
        let control = self.server.control_data().await?;
        self.removed_abandoned(self.own_timeline(&control, line).await, line).await?;
        self.server.free_numbers().await?;
        let floor = self.server.floor(&control).await?;
        let lowers = goal.is_none() && control.state == ControlState::ShutDown && !floor.is_empty();
        let log_from = self.rooms.log_end();
        // The server is gone and would come up as a standby: no promotion is in flight any more.
        self.remember(|memory| memory.promoted = None).await?;
        self.still(stamp)?;
        if let Some(goal) = goal {
            self.give_up_past_the_fork(goal).await?;
        }
        let running = start(self.start_spec(floor)).await?;
        *self.run() = Run {
            role: Some(role),
            upstream: goal.map(|goal| goal.upstream.clone()),
            clients: Some(clients),
            log_from,
            lowers,
            ..Run::begun()
        };
        {
            let mut known = self.known();
            known.exit = None;
            known.end = None;
            known.endless = None;
            known.too_low = Vec::new();
            if let Some(goal) = goal {
                known.proofs.restarted = goal.restart;
                known.proofs.sealed = None;
            }
        }
        tracing::info!(cluster = %self.config.cluster, postmaster = running.postmaster(), "PostgreSQL was started as a standby");
        self.process.send_replace(Some(running));
        Ok(())
    }

    /// The newest timeline that the stopped copy is on, by its WAL and by its data.
    async fn own_timeline(&self, control: &ControlData, line: Option<&History>) -> TimelineId {
        let known = self.known().end.as_ref().map(|end| end.position.timeline);
        let by_wal = match known {
            Some(timeline) => timeline,
            // A copy that was just rewound has not all of its WAL yet: its data tell.
            None => self.server.wal_end(None, line).await.map(|end| end.timeline).unwrap_or_default(),
        };
        by_wal.max(control.data_timeline())
    }

    /// The directory is ours, and whoever else starts a server on it (the service that did before Interrex) started a
    /// standby of nobody: `standby.signal` is there. Without its end ours would not start.
    async fn end_strangers(&self) -> Done {
        let pgdata = &self.config.pgdata;
        if !pgdata.join("postmaster.pid").exists() {
            return Ok(());
        }
        let failed = |error: crate::process::LeftoverError| StepError::NotYet(error.to_string());
        if leftovers(pgdata).map_err(failed)?.is_empty() {
            return Ok(());
        }
        let count = stop_unguarded(pgdata, STRANGERS_WITHIN).await.map_err(failed)?;
        tracing::warn!(
            cluster = %self.config.cluster, processes = count,
            "a PostgreSQL that Interrex did not start ran in {} and was stopped; disable the service that started it",
            pgdata.display()
        );
        Ok(())
    }

    fn not_in_a_hurry(&self) -> Done {
        let known = self.known();
        match known.start_after {
            Some(after) if now() < after => Err(StepError::NotYet(format!(
                "it ended {} times in a row while it was starting{}; its reason stands in {}",
                known.early_ends,
                known.exit.as_ref().map(|exit| format!(" ({exit})")).unwrap_or_default(),
                self.rooms.log().display()
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// `more`: arguments beside its own, such as what replay demands beyond what is configured.
    pub(super) fn start_spec(&self, more: impl IntoIterator<Item = OsString>) -> StartSpec {
        let (program, mut args) = self.server.start_args();
        args.extend(more);
        StartSpec {
            guard_bin: self.agent.guard.clone(),
            socket: self.rooms.guard_socket(),
            run_as: self.config.run_as.as_ref().map(|user| (user.uid, user.gid)),
            log: self.rooms.log(),
            program,
            args,
        }
    }

    /// Writes the settings of a role; true when the server has to be told.
    pub(super) async fn write_role(&self, role: &Role) -> Result<bool, StepError> {
        let written = self.server.write_settings(&Settings { role: role.clone() }).await?;
        for key in &written.stray {
            tracing::warn!(
                cluster = %self.config.cluster,
                "{key} had been set by ALTER SYSTEM and was reset: it belongs to Interrex"
            );
        }
        Ok(written.changed)
    }
}

/// A goal's upstream, as settings have it.
pub(super) fn upstream(goal: &StandbyGoal) -> Upstream {
    let slot = Some(goal.slot.clone()).filter(|slot| !slot.is_empty());
    Upstream { address: goal.address.clone(), name: goal.name.clone(), slot }
}
