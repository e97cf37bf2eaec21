//! Taking in a data directory that was there before Interrex. Before it is decided nothing of it is touched but, where that
//! was permitted, the server that runs on it, which is stopped in good order. Once it is decided: the roles of Interrex,
//! then `standby.signal`, so that whatever starts the directory starts a standby, then its identity, which makes it ours.

use super::{Done, StepError};
use crate::identity::Identity;
use crate::instance::Instance;
use crate::postgres::ControlState;
use crate::process::{foremost, leftovers, stop_unguarded};
use interrex_cluster::ids::Stamp;
use interrex_cluster::instance::observed::Memory;
use std::time::Duration;

/// A fast shutdown gets half of it: a busy server has to write its dirty pages. Past it, it is ended all the same.
const STOPPED_WITHIN: Duration = Duration::from_secs(1_200);
/// Below the instance's own directory: what taking it in changed, as it was before.
const ORIGINALS: &str = "adopted";

impl Instance {
    pub(super) async fn stop_found(&self, stamp: Stamp) -> Done {
        self.still(stamp)?;
        self.doing(Some("stopping the PostgreSQL that is to be adopted".to_owned()));
        let pgdata = &self.config.pgdata;
        let stopped = stop_unguarded(pgdata, STOPPED_WITHIN).await;
        let count = stopped.map_err(|error| StepError::NotYet(error.to_string()))?;
        self.known().found = None;
        tracing::warn!(
            cluster = %self.config.cluster, processes = count,
            "the PostgreSQL that ran in {} was stopped, to be adopted; disable the service that started it", pgdata.display()
        );
        Ok(())
    }

    /// What keeps it from being taken in is told where operators look first.
    pub(super) async fn take_in(&self, stamp: Stamp) -> Done {
        let done = self.make_ours(stamp).await;
        if let Err(error) = &done {
            self.doing(Some(format!("the existing data directory is not taken in yet: {error}")));
        }
        done
    }

    async fn make_ours(&self, stamp: Stamp) -> Done {
        let Some(offered) = self.memory().offered else {
            return Err(StepError::NotYet("no directory was offered for adoption".to_owned()));
        };
        self.nobody_else_runs()?;
        self.still(stamp)?;
        self.doing(Some("taking in the existing data directory".to_owned()));
        self.server.keep_originals(&self.rooms.own.join(ORIGINALS)).await?;
        let signal = self.server.has_standby_signal().await?;
        let made = offered.standby || (offered.roles && signal);
        if !made {
            self.make_roles(signal, offered.roles).await?;
        }
        // Whatever the goal is by now: the roles are there, and nothing may start it as a primary any more.
        self.server.put_standby_signal().await?;
        self.nobody_else_runs()?;
        let found = self.server.control_data().await?.system;
        if found != offered.system {
            return Err(StepError::NotYet(format!(
                "the data directory has system identifier {found} now, and {} was offered for adoption; put that back",
                offered.system
            )));
        }
        let cluster = self.welcome.cluster_id;
        let incarnation = offered.incarnation;
        let _written_alone = self.writing.lock().await;
        let memory = self.memory();
        self.identify(Identity { cluster, incarnation, epoch: memory.obeyed.epoch, serial: memory.serial })?;
        self.remember(move |memory| {
            memory.incarnation = incarnation;
            memory.offered = None;
            // Of a primary's directory nothing may be missing any more; a standby counts once it has followed.
            memory.told = offered.end.filter(|_| !offered.standby);
            // It answers its agent only once it has received the roles with which that logs in.
            memory.in_vain = u32::from(offered.standby);
        })
        .await?;
        {
            let mut known = self.known();
            known.data = None;
            known.end = None;
            known.found = None;
        }
        tracing::info!(cluster = %self.config.cluster, system = %found, "the existing data directory was taken in");
        Ok(())
    }

    /// Into a primary's directory, before it becomes a standby's: afterwards nobody can, and its agent could never log in.
    /// That they are there stands in the agent's memory: anybody may have put a `standby.signal` into the directory since
    /// it was offered. `signal`: somebody did. `again`: it ended between noting that and `standby.signal`; whoever started the
    /// directory since may have taken the roles away, and those that are there are not news.
    async fn make_roles(&self, signal: bool, again: bool) -> Done {
        if signal {
            let state = self.server.control_data().await?.state;
            let pgdata = self.config.pgdata.display();
            if matches!(state, ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery) {
                return Err(StepError::NotYet(format!(
                    "{pgdata} was offered as the directory of a primary, and was started as a standby since, where no role \
                     can be made; remove its standby.signal, start it and stop it once, with what started it so far"
                )));
            }
            // Nobody started it since. Should this end here, the directory is again what was offered.
            tracing::warn!(cluster = %self.config.cluster, "standby.signal was put into {pgdata} after it was offered");
            self.server.take_standby_signal_away().await?;
        }
        let there = self.server.make_roles_offline().await?;
        if !again {
            self.note_roles(&there);
        }
        let made = |memory: &mut Memory| {
            if let Some(offered) = &mut memory.offered {
                offered.roles = true;
            }
        };
        Ok(self.remember(made).await?)
    }

    /// Roles of our names that somebody had made for himself: he hears of it, once.
    fn note_roles(&self, there: &[String]) {
        let name = &self.config.name;
        let note = |role: &String| {
            format!("{name}: role {role} was there; it has the attributes and the password of Interrex now")
        };
        let noted: Vec<String> = there.iter().map(note).collect();
        for note in &noted {
            tracing::warn!(cluster = %self.config.cluster, "{note}");
        }
        self.known().proofs.noted = noted;
    }

    /// Whatever else started the directory must not write beside us.
    fn nobody_else_runs(&self) -> Done {
        let pgdata = &self.config.pgdata;
        let found = leftovers(pgdata).map_err(|error| StepError::NotYet(error.to_string()))?;
        match foremost(&found) {
            None => Ok(()),
            Some(process) => Err(StepError::NotYet(format!(
                "a PostgreSQL that Interrex did not start runs in {} (process {}); stop it, and disable the service that \
                 started it",
                pgdata.display(),
                process.pid
            ))),
        }
    }
}
