//! The roles of Interrex in a directory whose server never heard of them: made in single-user mode, where nobody else can
//! come in, pg_hba.conf is not asked, and whoever ran initdb is superuser under whatever name. It runs crash recovery where
//! the server did not end in good order, and ends with a checkpoint as a primary does.

use super::control_data::ControlState;
use super::error::{Error, Result};
use super::files::{blocking, make_private_dir, replace, text};
use super::layout::{REPLICATION, SUPERUSER};
use super::server::Server;
use super::session::{identifier, literal};
use super::settings::AUTO;
use super::tool::Tool;
use std::path::Path;
use std::time::Duration;

/// Recovery of a busy server with rare checkpoints takes its time.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Whatever is configured: passwords get into no log, none is kept in clear, an error ends the run, and a standby can
/// recover from what is written (`wal_level`, raised where it was minimal).
const ALWAYS: [&str; 7] = [
    "exit_on_error=on",
    "password_encryption=scram-sha-256",
    "log_statement=none",
    "log_min_error_statement=panic",
    "log_min_duration_statement=-1",
    "logging_collector=off",
    "default_transaction_read_only=off",
];

impl Server {
    /// Makes both roles, or gives those of their names that are there our attributes and passwords; gives the names of
    /// the latter. The server is down, and the directory is a primary's: without `standby.signal`. May be done twice.
    ///
    /// # Errors
    /// A server runs; PostgreSQL's words.
    pub async fn make_roles_offline(&self) -> Result<Vec<String>> {
        let asked = format!(
            "select rolname from pg_roles where rolname in ({}, {})\nselect datname from pg_database where datname = \
             'postgres'\n",
            literal(SUPERUSER),
            literal(REPLICATION)
        );
        let said = self.single_user(&asked).await?;
        let there = |name: &str| said.contains(&format!("= {}", identifier(name)));
        let (superuser, replication) = (&self.credentials().superuser, &self.credentials().replication);
        let roles = [
            (SUPERUSER, "SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS", superuser),
            (REPLICATION, "NOSUPERUSER NOCREATEDB NOCREATEROLE REPLICATION NOBYPASSRLS", replication),
        ];
        let mut statements = String::new();
        let mut known = Vec::new();
        for (name, attributes, password) in roles {
            let verb = if there(name) { "ALTER" } else { "CREATE" };
            let role = identifier(name);
            statements.push_str(&format!(
                "{verb} ROLE {role} {attributes} INHERIT LOGIN CONNECTION LIMIT -1 VALID UNTIL 'infinity' PASSWORD {}\n\
                 ALTER ROLE {role} RESET ALL\n",
                literal(password)
            ));
            known.extend(there(name).then(|| name.to_owned()));
        }
        if !there("postgres") {
            // The agent's own connections go there.
            statements.push_str("CREATE DATABASE postgres TEMPLATE template0\n");
        }
        self.single_user(&statements).await?;
        match self.control_data().await?.state {
            ControlState::ShutDown => Ok(known),
            state => Err(Error::Unknown(format!("how single-user mode ended: pg_control says {state:?}"))),
        }
    }

    /// One statement a line, in template1.
    async fn single_user(&self, statements: &str) -> Result<String> {
        let control = self.control_data().await?;
        let mut tool = Tool::new(self.layout(), "postgres").args(&["--single"]);
        tool = tool.arg("-D").arg(&self.layout().pgdata);
        for floor in self.floor(&control).await? {
            tool = tool.arg(floor);
        }
        let has = Tool::new(self.layout(), "postgres").arg("-D").arg(&self.layout().pgdata);
        if has.args(&["-C", "wal_level"]).output(super::server::TOOL_PATIENCE).await?.trim() == "minimal" {
            tool = tool.args(&["-c", "wal_level=replica"]);
        }
        for setting in ALWAYS {
            tool = tool.args(&["-c", setting]);
        }
        tool.args(&["template1"]).fed(statements, PATIENCE).await
    }

    /// Keeps the files that taking the directory in will change, as they are, in `place`; once.
    ///
    /// # Errors
    /// They cannot be read, or copied.
    pub async fn keep_originals(&self, place: &Path) -> Result<()> {
        let (server, place) = (self.clone(), place.to_owned());
        blocking(move || {
            make_private_dir(server.layout(), &place)?;
            for name in ["postgresql.conf", AUTO, "pg_hba.conf"] {
                let kept = place.join(name);
                match text(&server.layout().pgdata.join(name))? {
                    Some(contents) if !kept.exists() => {
                        replace(server.layout(), &kept, contents.as_bytes(), 0o600)?;
                    }
                    Some(_) | None => {}
                }
            }
            Ok(())
        })
        .await
    }
}
