//! pg_rewind: takes a copy back to where it left the primary's line.
//!
//! It needs a target that ended cleanly. A *former primary* that did not is recovered by pg_rewind itself, in
//! single-user mode, on its own timeline, where its WAL belongs; `standby.signal` has to go for that, and comes back
//! after. A *standby* that did not end cleanly is refused: single-user recovery would end it on whichever timeline
//! comes first (F36). It is to be started sealed and stopped, or cloned.
//!
//! If it dies half-way the directory is worthless (F36): the caller's sentinel stands before, and until after.

use super::control_data::ControlState;
use super::error::{Error, Result};
use super::files::{blocking, remove_file, replace};
use super::server::{DataDir, Server};
use super::settings::Role;
use super::tool::Tool;
use interrex_cluster::ids::SystemId;
use interrex_cluster::record::Address;

/// Whether a copy can be rewound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewindable {
    /// As it is.
    Yes,
    /// It was a standby and did not end cleanly: once it was started, receiving from nobody, and stopped.
    AfterACleanStop,
    /// Only a clone helps, and why.
    Never(String),
}

impl Server {
    /// Rewinds `pgdata` to the line of `source`, a primary that has completed a checkpoint on its timeline (majors up
    /// to 15: [`Server::remote_checkpoint`], F26). The server is down and the caller's sentinel in place. Leaves
    /// settings without upstream, clients out, `standby.signal`. Gives pg_rewind's words.
    ///
    /// # Errors
    /// `Refused` before anything is changed; `Tool` when pg_rewind failed, after which only a clone helps.
    pub async fn rewind_from(&self, source: &Address, system: SystemId) -> Result<String> {
        match self.may_be_rewound(system).await? {
            Rewindable::Yes => {}
            Rewindable::AfterACleanStop => {
                let pgdata = self.layout().pgdata.display();
                return Err(Error::Refused(format!(
                    "{pgdata} was a standby and did not end cleanly; start it sealed and stop it, or clone it"
                )));
            }
            Rewindable::Never(why) => return Err(Error::Refused(why)),
        }
        let server = self.clone();
        let passfile = blocking(move || {
            let pgdata = &server.layout().pgdata;
            // Single-user mode knows no standbys. The caller's sentinel keeps everybody from starting this.
            remove_file(&pgdata.join("standby.signal"))?;
            server.drop_stray_keys(pgdata)?;
            server.write_settings_in(pgdata, &Role::Idle, true)?;
            server.source_passfile()
        })
        .await?;
        let mut tool = Tool::new(self.layout(), "pg_rewind")
            .arg("--target-pgdata")
            .arg(&self.layout().pgdata)
            .arg("--source-server")
            .arg(self.source(source, &passfile));
        if self.layout().restore_command.is_some() {
            tool = tool.arg("--restore-target-wal");
        }
        let mut said = Vec::new();
        tool.lines(|line| said.push(line.trim().to_owned())).await?;
        let server = self.clone();
        blocking(move || {
            let pgdata = &server.layout().pgdata;
            // pg_hba.conf and postgresql.conf came from the source; so did everything of ours in them.
            server.our_files_in(pgdata)?;
            replace(server.layout(), &pgdata.join("standby.signal"), b"", 0o600).map(|_| ())
        })
        .await?;
        Ok(said.join("; "))
    }

    /// Whether `pgdata`, as its server left it, can be rewound. Changes nothing.
    ///
    /// # Errors
    /// `Refused` for what no rebuild may touch as it is: another cluster's directory, another major version's, one
    /// that a server runs on.
    pub async fn may_be_rewound(&self, system: SystemId) -> Result<Rewindable> {
        let pgdata = self.layout().pgdata.display();
        let major = match self.has_data().await? {
            DataDir::Postgres { major } => major,
            other => {
                return Err(Error::Refused(format!("{pgdata} is no data directory to rewind ({other:?})")));
            }
        };
        let ours = self.version().await?;
        if major != ours {
            return Err(Error::Refused(format!(
                "{pgdata} is of major version {major}, the binaries are of {ours}"
            )));
        }
        let control = self.control_data().await?;
        if control.system != system {
            return Err(Error::Refused(format!(
                "{pgdata} has system identifier {}, this cluster has {system}; it is another cluster's",
                control.system
            )));
        }
        let server = self.clone();
        if blocking(move || server.is_running()).await? {
            return Err(Error::Refused(format!("a server runs on {pgdata}; stop it first")));
        }
        if !control.checksums && !control.log_hints {
            return Ok(Rewindable::Never(format!("{pgdata} has neither checksums nor wal_log_hints")));
        }
        Ok(match control.state {
            ControlState::InArchiveRecovery => Rewindable::AfterACleanStop,
            _ => Rewindable::Yes,
        })
    }
}
