//! The first copy of a cluster: initdb into a sibling directory, our files in it, everything fsynced, then renamed.
//! Killed at any point, it leaves either nothing at `pgdata` or the whole.

use super::error::{Error, Result};
use super::files::{
    blocking, make_private_dir, remove_file, remove_tree, rename, replace, sync_tree, with_suffix,
};
use super::hba::Clients;
use super::history::IDENTITY;
use super::layout::SUPERUSER;
use super::server::{DataDir, Server};
use super::settings::Role;
use super::tool::Tool;
use std::path::Path;
use std::time::Duration;

/// initdb copies some ten megabytes and fsyncs them; a slow disk may take its time.
const INITDB_PATIENCE: Duration = Duration::from_secs(120);

impl Server {
    /// Creates the data directory: checksums on, SCRAM, superuser `interrex`, UTF-8. It is to be started as a standby,
    /// without upstream, and becomes a primary by promotion only (F27). Does nothing when a directory is there whose
    /// creation was finished.
    ///
    /// # Errors
    /// Refused when `pgdata` holds anything else, or is a mount point.
    pub async fn initdb(&self) -> Result<()> {
        match self.has_data().await? {
            DataDir::Missing | DataDir::Empty => {}
            DataDir::Postgres { .. } => {
                return Err(Error::Refused(format!(
                    "{} holds a data directory already; point pgdata at an empty one, or move that away",
                    self.layout().pgdata.display()
                )));
            }
            DataDir::Foreign { why } => {
                return Err(Error::Refused(format!("{why}; point pgdata at an empty directory")));
            }
        }
        let fresh = with_suffix(&self.layout().pgdata, ".init");
        let pwfile = self.layout().private_dir.join("init.pass");
        let (server, dir, pass) = (self.clone(), fresh.clone(), pwfile.clone());
        blocking(move || {
            remove_tree(&dir)?;
            make_private_dir(server.layout(), &server.layout().private_dir)?;
            make_private_dir(server.layout(), &dir)?;
            replace(
                server.layout(),
                &pass,
                format!("{}\n", server.credentials().superuser).as_bytes(),
                0o600,
            )?;
            Ok(())
        })
        .await?;
        let made = self.run_initdb(&fresh, &pwfile).await;
        let server = self.clone();
        blocking(move || {
            remove_file(&pwfile)?;
            made?;
            server.open_hba_in(&fresh)?;
            server.our_files_in(&fresh)?;
            sync_tree(&fresh)?;
            rename(&fresh, &server.layout().pgdata)
        })
        .await
    }

    async fn run_initdb(&self, dir: &Path, pwfile: &Path) -> Result<()> {
        let run = |locale: &'static str| {
            let tool = Tool::new(self.layout(), "initdb")
                .args(&["--data-checksums", "--no-sync", "--encoding=UTF8", "--auth-host=scram-sha-256"])
                .args(&["--auth-local=scram-sha-256", "--username", SUPERUSER, locale]);
            tool.arg("--pgdata").arg(dir).arg("--pwfile").arg(pwfile).output(INITDB_PATIENCE)
        };
        match run("--locale=C.UTF-8").await {
            // The same order of text on every machine, whatever its libraries: C.UTF-8 where it exists, else C.
            Err(Error::Tool { said, .. }) if said.contains("locale") => run("--locale=C").await.map(|_| ()),
            other => other.map(|_| ()),
        }
    }

    /// What every fresh copy gets before anything may start it: settings without upstream, clients out, no keys of
    /// ours left over from the source, `standby.signal`.
    pub(super) fn our_files_in(&self, dir: &Path) -> Result<()> {
        remove_file(&dir.join(IDENTITY))?;
        self.drop_stray_keys(dir)?;
        self.write_settings_in(dir, &Role::Idle, false)?;
        self.write_hba_in(dir, Clients::Out)?;
        self.put_standby_signal_in(dir)
    }
}
