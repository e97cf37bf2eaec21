//! The cluster's PostgreSQL parameters, in a file of their own that ours includes first: whatever Interrex needs wins.
//! And the floor: a standby never starts with less than replay demands of it (F25), whoever lowered it.

use super::control_data::ControlData;
use super::error::{Error, Result};
use super::files::{blocking, replace, text};
use super::server::{PATIENCE, Server, TOOL_PATIENCE};
use super::session::identifier;
use super::setting_line::name_in;
use super::settings::{AUTO, quote};
use super::settings_table::KEYS;
use super::tool::Tool;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;

/// Included first by our settings.
pub(super) const PARAMETERS: &str = "interrex.parameters.conf";
/// Where PostgreSQL's own files are, is the node file's to say.
const PLACES: [&str; 5] = ["data_directory", "config_file", "hba_file", "ident_file", "external_pid_file"];
/// PostgreSQL keeps its mark on one that was configured and taken back before anybody restarted it: no file sets it, and
/// the server has its default.
const PENDING: &str = "select name from pg_settings s where pending_restart
    and not (source = 'default' and not exists
        (select from pg_file_settings f where lower(f.name) = lower(s.name)))
    order by name";

impl Server {
    /// Whether PostgreSQL takes all of them, by its own binary; the running server is not touched.
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
        let mut tool = Tool::new(self.layout(), "postgres").arg("-D").arg(&self.layout().pgdata);
        tool = tool.args(&["-C", "max_connections"]);
        for (name, value) in parameters {
            tool = tool.arg("-c").arg(format!("{name}={value}"));
        }
        match tool.output(TOOL_PATIENCE).await {
            Ok(_) => self.judge_demands(parameters).await,
            Err(Error::Tool { said, .. }) => Err(Error::Refused(first_complaint(&said))),
            Err(other) => Err(other),
        }
    }

    /// Every server of ours starts as a standby, the next primary too, and a standby does not start with less than its
    /// primary ran with (F25): what was raised once stays.
    async fn judge_demands(&self, parameters: &BTreeMap<String, String>) -> Result<()> {
        for (name, demanded) in &self.control_data().await?.parameters {
            let Some(wanted) = parameters.get(name).and_then(|value| value.parse::<u64>().ok()) else {
                continue;
            };
            if wanted < *demanded {
                return Err(Error::Refused(format!(
                    "{name}={wanted} is lower than the {demanded} that the primary runs with; replay demands as much, so \
                     it cannot be lowered"
                )));
            }
        }
        Ok(())
    }

    /// Makes the file say so; true when it said something else. What ALTER SYSTEM has of the same names would win and is
    /// taken out.
    ///
    /// # Errors
    /// The file cannot be written, or the server does not answer.
    pub async fn write_parameters(&self, parameters: &BTreeMap<String, String>) -> Result<bool> {
        let (changed, stray) = self.put_parameters(parameters, false).await?;
        for name in &stray {
            self.ask(&format!("ALTER SYSTEM RESET {}", dotted(name)), PATIENCE).await?;
        }
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
        let mut lines =
            String::from("# Written by the Interrex agent: the cluster's parameters (interrex set).\n");
        for (name, value) in parameters {
            let _infallible = writeln!(lines, "{name} = {}", quote(value)?);
        }
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

    /// Parameters whose new values wait for a restart.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn pending_restart(&self) -> Result<Vec<String>> {
        let rows = self.ask(PENDING, PATIENCE).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
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

/// What PostgreSQL complained of first, without the marks of its log.
fn first_complaint(said: &str) -> String {
    let complaint = said.lines().find_map(|line| {
        let at =
            ["FATAL:", "ERROR:", "LOG:"].into_iter().find_map(|mark| Some(line.find(mark)? + mark.len()));
        at.map(|at| line[at..].trim().to_owned())
    });
    complaint.unwrap_or_else(|| said.trim().to_owned())
}

/// A name of one or two parts, as a statement wants it.
fn dotted(name: &str) -> String {
    name.split('.').map(identifier).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::{dotted, first_complaint};

    #[test]
    fn a_complaint_is_told_in_postgresql_s_own_words() {
        let said = "2026-11-22 10:00:00.000 UTC [1] FATAL:  invalid value for parameter \"work_mem\": \"lots\"\nHINT: units";
        assert_eq!(first_complaint(said), "invalid value for parameter \"work_mem\": \"lots\"");
        assert_eq!(first_complaint("killed\n"), "killed");
    }

    #[test]
    fn names_are_written_as_a_statement_wants_them() {
        assert_eq!(dotted("auto_explain.log_min_duration"), "\"auto_explain\".\"log_min_duration\"");
    }
}
