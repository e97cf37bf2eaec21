//! The cluster's PostgreSQL parameters, in a file of their own that ours includes first: whatever Interrex needs wins.
//! And the floor: a standby never starts with less than replay demands of it (F25), whoever lowered it. What is lowered
//! is so on the primary first, when it is promoted anew; then replay demands less.

use super::control_data::ControlData;
use super::error::{Error, Result};
use super::files::{blocking, replace, text};
use super::server::{PATIENCE, Server, TOOL_PATIENCE};
use super::session::{Row, identifier};
use super::setting_line::name_in;
use super::settings::{AUTO, quote};
use super::settings_table::KEYS;
use super::tool::Tool;
use futures::future::try_join_all;
use interrex_cluster::report::REPLAY_CHECKS;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;

/// Included first by our settings.
pub(super) const PARAMETERS: &str = "interrex.parameters.conf";
/// What every new session loads, and fails with.
pub(super) const SESSIONS_LOAD: [&str; 2] = ["session_preload_libraries", "local_preload_libraries"];
/// Where PostgreSQL's own files are, is the node file's to say.
const PLACES: [&str; 5] = ["data_directory", "config_file", "hba_file", "ident_file", "external_pid_file"];

impl Server {
    /// Whether PostgreSQL takes all of them: each value, all together at a start, and what new sessions are to load. By its own
    /// binary and by a session of its own; what others have of the running server stays as it is.
    ///
    /// What a start complains of already, with what is set by now, is no fault of what is proposed, and is passed over.
    ///
    /// # Errors
    /// `Refused` in PostgreSQL's words, or because one is Interrex's own.
    pub async fn judge_parameters(&self, parameters: &BTreeMap<String, String>) -> Result<()> {
        for name in parameters.keys() {
            if KEYS.contains(&name.as_str()) {
                return Err(Error::Refused(format!(
                    "{name} is set by Interrex itself; see docs/settings.md"
                )));
            }
            if PLACES.contains(&name.as_str()) || name.starts_with("include") {
                return Err(Error::Refused(format!("{name} is no parameter of a cluster")));
            }
        }
        let over: Vec<(String, String)> = parameters.clone().into_iter().collect();
        if let Some(why) = self.rehearse(Some(lines(parameters)?), &over).await?
            && self.rehearse(None, &[]).await?.as_ref() != Some(&why)
        {
            return Err(Error::Refused(why));
        }
        self.lets_in(parameters).await
    }

    /// Whether a new session comes about with the libraries that it is to load: where one is missing, nobody gets in.
    async fn lets_in(&self, parameters: &BTreeMap<String, String>) -> Result<()> {
        let chosen = SESSIONS_LOAD.iter().filter_map(|name| parameters.get_key_value(*name));
        let loads: Vec<(&String, &String)> = chosen.collect();
        if loads.is_empty() {
            return Ok(());
        }
        match self.connect_with(&loads, PATIENCE).await {
            Ok(session) => {
                session.close().await;
                Ok(())
            }
            Err(Error::Sql { said, .. }) => {
                // Unless nobody gets in anyway.
                self.connect(PATIENCE).await?.close().await;
                let names: Vec<&str> = loads.iter().map(|(name, _)| name.as_str()).collect();
                Err(Error::Refused(format!("{}: {said}", names.join(", "))))
            }
            Err(other) => Err(other),
        }
    }

    /// Makes the file say so; true when it said something else. What ALTER SYSTEM has of the same names would win and is
    /// taken out.
    ///
    /// # Errors
    /// The file cannot be written, or the server does not answer.
    pub async fn write_parameters(&self, parameters: &BTreeMap<String, String>) -> Result<bool> {
        let (changed, stray) = self.put_parameters(parameters, false).await?;
        self.reset(&stray).await?;
        Ok(changed || !stray.is_empty())
    }

    /// The same for a server that is down: before each start, for it may be down because of what it had, and nobody asks
    /// it to reload.
    ///
    /// # Errors
    /// A file cannot be written.
    pub async fn write_parameters_offline(&self, parameters: &BTreeMap<String, String>) -> Result<()> {
        self.put_parameters(parameters, true).await.map(|_| ())
    }

    /// The file, and which of the names ALTER SYSTEM has, too. `drop`: they are taken out.
    async fn put_parameters(
        &self,
        parameters: &BTreeMap<String, String>,
        drop: bool,
    ) -> Result<(bool, Vec<String>)> {
        let lines = lines(parameters)?;
        let server = self.clone();
        let names: Vec<String> = parameters.keys().cloned().collect();
        blocking(move || {
            let pgdata = &server.layout().pgdata;
            let changed = replace(server.layout(), &pgdata.join(PARAMETERS), lines.as_bytes(), 0o600)?;
            let auto = text(&pgdata.join(AUTO))?.unwrap_or_default();
            let sets = |name: &String| auto.lines().any(|line| name_in(line).as_ref() == Some(name));
            let stray: Vec<String> = names.into_iter().filter(sets).collect();
            if drop && !stray.is_empty() {
                server.drop_settings(pgdata, |name| stray.iter().any(|stray| stray == name))?;
            }
            Ok((changed, stray))
        })
        .await
    }

    /// Parameters whose new values wait for a restart, and would have them after it: of a standby, what is configured
    /// lower than replay demands is none as long as it does, for it is started with the demands ([`Server::floor`]).
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn pending_restart(&self) -> Result<Vec<String>> {
        let rows = self.ask(&pending(), PATIENCE).await?;
        let text = |row: &Row, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let number = |row: &Row, at: usize| text(row, at).parse::<u64>().ok();
        let standby = rows.first().is_some_and(|row| text(row, 0) == "true");
        let demands = match standby {
            true => self.control_data().await?.parameters,
            false => BTreeMap::new(),
        };
        let waits = |row: &Row| {
            let name = text(row, 1);
            match (number(row, 2), number(row, 3)) {
                (Some(runs), Some(configured)) => {
                    configured.max(demands.get(&name).copied().unwrap_or_default()) != runs
                }
                // Of any other, and of one that is configured in words of its own, PostgreSQL itself knows best.
                _ => text(row, 4) == "true",
            }
        };
        Ok(rows.iter().filter(|row| waits(row)).map(|row| text(row, 1)).collect())
    }

    /// For a start as a standby: arguments that raise to what replay demands whatever is configured lower. On the command
    /// line, which even ALTER SYSTEM does not override.
    ///
    /// # Errors
    /// The configuration cannot be read.
    pub async fn floor(&self, control: &ControlData) -> Result<Vec<OsString>> {
        let raised = control.parameters.iter().map(async |(name, demanded)| {
            let tool = Tool::new(self.layout(), "postgres").arg("-D").arg(&self.layout().pgdata);
            let has = tool.args(&["-C", name]).output(TOOL_PATIENCE).await?;
            let low = has.trim().parse::<u64>().is_ok_and(|has| has < *demanded);
            Ok::<_, Error>(low.then(|| [OsString::from("-c"), format!("{name}={demanded}").into()]))
        });
        // Beside one another: each is a process, and a start waits for them.
        Ok(try_join_all(raised).await?.into_iter().flatten().flatten().collect())
    }
}

/// All that may wait: in recovery, name, value in force and value configured (of what replay checks), waits. Whether one
/// of the five waits has to be asked of the files: for a value of the command line PostgreSQL does not tell. What a
/// primary was started with of `hot_standby` ([`super::ANSWERS_NOBODY`]) is as good as any. And PostgreSQL keeps its mark on
/// one that was configured and taken back before anybody restarted it: no file sets it, and the server has its default.
fn pending() -> String {
    let checks = REPLAY_CHECKS.map(|name| format!("'{name}'")).join(", ");
    format!(
        "select pg_is_in_recovery()::text, s.name,
            case when s.name in ({checks}) then s.setting end,
            case when s.name in ({checks}) then coalesce(f.setting, s.boot_val) end, s.pending_restart::text
            from pg_settings s left join (select distinct on (lower(name)) lower(name) as name, setting
                from pg_file_settings order by lower(name), seqno desc) f on f.name = s.name
            where s.name in ({checks}) or s.pending_restart and s.name <> 'hot_standby'
                and not (s.source = 'default' and f.name is null)
            order by s.name"
    )
}

/// The file's text.
fn lines(parameters: &BTreeMap<String, String>) -> Result<String> {
    let mut lines =
        String::from("# Written by the Interrex agent: the cluster's parameters (interrex set).\n");
    for (name, value) in parameters {
        let _infallible = writeln!(lines, "{name} = {}", quote(value)?);
    }
    Ok(lines)
}

/// A name of one or two parts, as a statement wants it.
pub(super) fn dotted(name: &str) -> String {
    name.split('.').map(identifier).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn names_are_written_as_a_statement_wants_them() {
        assert_eq!(dotted("auto_explain.log_min_duration"), "\"auto_explain\".\"log_min_duration\"");
    }
}
