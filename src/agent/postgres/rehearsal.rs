//! Whether PostgreSQL would start with a configuration, while the server it is for goes on. Reading values is not enough: that
//! two of them do not go together, and that a library is not there, PostgreSQL finds out when it starts.
//!
//! Asked for a parameter that it has to compute (`postgres -C shared_memory_size`, from version 15 on), it starts as far as it
//! goes without shared memory: it checks which values go together, loads `shared_preload_libraries`, tells, and ends. For that
//! it locks its data directory, which is taken: so it gets one of its own, of links to all that is in the real one.

use super::error::{Error, Result};
use super::files::{blocking, make_private_dir, remove_tree, replace, with_suffix};
use super::parameters::PARAMETERS;
use super::server::{DataDir, Server, TOOL_PATIENCE};
use super::tool::Tool;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Beside the data directory, so that what its configuration includes by a path such as `../more.conf` is found.
const SUFFIX: &str = ".rehearsal";
/// What a server of its own would have of its own.
const OWN: [&str; 2] = ["postmaster.pid", "postmaster.opts"];
/// Since this version.
const COMPUTES: u32 = 15;

impl Server {
    /// What PostgreSQL complains of when it is to start with the directory's configuration; none: it would start, as far as
    /// its configuration goes. `parameters`: a text in place of the file that has the cluster's. `over`: settings that are
    /// set over all files, checked first.
    ///
    /// A version before 15 reads values only, and is asked for the one pair that does not go together.
    ///
    /// # Errors
    /// It cannot be tried. Nothing is left behind but, at worst, a directory of links that the next one replaces.
    pub(super) async fn rehearse(
        &self,
        parameters: Option<String>,
        over: &[(String, String)],
    ) -> Result<Option<String>> {
        let computes = matches!(self.has_data().await?, DataDir::Postgres { major } if major >= COMPUTES);
        let stage = with_suffix(&self.layout().pgdata, SUFFIX);
        let (server, at) = (self.clone(), stage.clone());
        blocking(move || server.set_up(&at, parameters.as_deref())).await?;
        let mut tool = Tool::new(self.layout(), "postgres").arg("-D").arg(&stage);
        tool = tool.args(&["-C", if computes { "shared_memory_size" } else { "max_connections" }]);
        for (name, value) in over {
            tool = tool.arg("-c").arg(format!("{name}={value}"));
        }
        // Above all files. What certificates are there, PostgreSQL may read by groups that its tools do not have.
        tool = tool.arg("-c").arg(format!("data_directory={}", stage.display())).args(&["-c", "ssl=off"]);
        let said = tool.output(TOOL_PATIENCE).await;
        blocking(move || remove_tree(&stage)).await?;
        match said {
            Ok(connections) if !computes => Ok(too_few(&connections)),
            Ok(_) => Ok(None),
            Err(Error::Tool { said, .. }) => Ok(Some(first_complaint(&said))),
            Err(other) => Err(other),
        }
    }

    /// A directory of links to all that is in the real one.
    fn set_up(&self, stage: &Path, parameters: Option<&str>) -> Result<()> {
        let pgdata = &self.layout().pgdata;
        remove_tree(stage)?;
        make_private_dir(self.layout(), stage)?;
        let entries = fs::read_dir(pgdata).map_err(|e| Error::io("list", pgdata, &e))?;
        for name in entries.flatten().map(|entry| PathBuf::from(entry.file_name())) {
            let own = OWN.iter().any(|own| name == Path::new(own));
            if !own && (parameters.is_none() || name != Path::new(PARAMETERS)) {
                let link = stage.join(&name);
                symlink(pgdata.join(&name), &link).map_err(|e| Error::io("create", &link, &e))?;
            }
        }
        if let Some(text) = parameters {
            replace(self.layout(), &stage.join(PARAMETERS), text.as_bytes(), 0o600)?;
        }
        Ok(())
    }
}

/// What version 14 says of it when it starts (`PostmasterMain`).
fn too_few(connections: &str) -> Option<String> {
    let connections = connections.trim();
    let few = connections.parse::<u32>().is_ok_and(|n| n <= RESERVED);
    few.then(|| {
        format!(
            "superuser_reserved_connections ({RESERVED}) must be less than max_connections ({connections})"
        )
    })
}

/// Our `superuser_reserved_connections`.
pub(super) const RESERVED: u32 = 6;

/// What PostgreSQL complained of first, without the marks of its log.
fn first_complaint(said: &str) -> String {
    let complaint = said.lines().find_map(|line| {
        let at =
            ["FATAL:", "ERROR:", "LOG:"].into_iter().find_map(|mark| Some(line.find(mark)? + mark.len()));
        at.map(|at| line[at..].trim().to_owned())
    });
    // It has no log yet for what it says of values that do not go together.
    let plain = said.trim();
    complaint.unwrap_or_else(|| plain.strip_prefix("postgres: ").unwrap_or(plain).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{first_complaint, too_few};

    #[test]
    fn a_complaint_is_told_in_postgresql_s_own_words() {
        let said = "2026-11-22 10:00:00.000 UTC [1] FATAL:  invalid value for parameter \"work_mem\": \"lots\"\nHINT: units";
        assert_eq!(first_complaint(said), "invalid value for parameter \"work_mem\": \"lots\"");
        assert_eq!(first_complaint("postgres: a must be less than b"), "a must be less than b");
        assert_eq!(first_complaint("killed\n"), "killed");
    }

    #[test]
    fn of_connections_some_are_left_to_others_than_superusers() {
        assert_eq!(too_few("7\n"), None);
        assert!(too_few("6\n").is_some_and(|why| why.contains("less than max_connections (6)")));
    }
}
