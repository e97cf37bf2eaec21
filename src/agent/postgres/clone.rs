//! A new copy: pg_basebackup into a sibling directory, verified, our files in it, the old directory moved aside, the
//! new one renamed into place. Killed anywhere and run again, it goes on or begins anew; what lies at `pgdata` is
//! always either the old directory or the whole new one (F37).

use super::error::{Error, Result};
use super::files::{
    blocking, make_private_dir, remove_tree, rename, replace, sync_parent, sync_tree, text, with_suffix,
};
use super::layout::REPLICATION;
use super::server::{DataDir, Server};
use super::settings::{Upstream, conninfo, pass_line};
use super::tool::Tool;
use interrex_cluster::ids::{Incarnation, SystemId};
use interrex_cluster::record::Address;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How far a clone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes copied.
    pub done: u64,
    /// Bytes to copy, as the source estimates it; 0 while unknown.
    pub total: u64,
}

/// `application_name` of a clone's streams. No commit rule ever lists it.
pub(super) const CLONE: &str = "interrex_clone";

/// Verification reads the whole copy once more; what hangs for so long is a broken disk.
const VERIFY_PATIENCE: Duration = Duration::from_secs(24 * 3600);

impl Server {
    /// Replaces whatever is at `pgdata` by a copy of `upstream`. The server is down. Leaves settings without upstream,
    /// clients out and `standby.signal`; the old directory is under `aside`. Done already for this `incarnation`, it
    /// returns at once.
    ///
    /// Dropping the future kills pg_basebackup.
    ///
    /// # Errors
    /// `Refused` when the source is of another cluster, when a server runs on `pgdata`, or when `pgdata` is not a
    /// directory of PostgreSQL's.
    pub async fn clone_from(
        &self,
        upstream: &Upstream,
        incarnation: Incarnation,
        system: SystemId,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<()> {
        let pgdata = &self.layout().pgdata;
        let fresh = with_suffix(pgdata, &format!(".clone-{incarnation}"));
        let marker = with_suffix(&fresh, ".whole");
        let whole = self.look(&fresh, &marker).await?;
        if whole == Whole::InPlace && self.control_data().await?.system == system {
            return Ok(());
        }
        if whole != Whole::Beside {
            self.copy(&fresh, &marker, upstream, system, progress).await?;
        }
        if let DataDir::Foreign { why } = self.has_data().await? {
            return Err(Error::Refused(format!(
                "{why}, and is not replaced; empty it, or point pgdata elsewhere"
            )));
        }
        let server = self.clone();
        blocking(move || server.put_in_place(&fresh)).await
    }

    async fn look(&self, fresh: &Path, marker: &Path) -> Result<Whole> {
        let (server, fresh, marker) = (self.clone(), fresh.to_owned(), marker.to_owned());
        blocking(move || {
            if server.is_running()? {
                let pgdata = server.layout().pgdata.display();
                return Err(Error::Refused(format!("a server runs on {pgdata}; stop it first")));
            }
            let marked = text(&marker)?.is_some();
            let in_place = server.layout().pgdata.join("PG_VERSION").exists();
            Ok(match (marked, fresh.exists()) {
                (true, true) => Whole::Beside,
                (true, false) if in_place => Whole::InPlace,
                _ => Whole::Not,
            })
        })
        .await
    }

    async fn copy(
        &self,
        fresh: &Path,
        marker: &Path,
        upstream: &Upstream,
        system: SystemId,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<()> {
        let (server, dir, mark) = (self.clone(), fresh.to_owned(), marker.to_owned());
        let passfile = blocking(move || {
            server.clear_older_clones()?;
            super::files::remove_file(&mark)?;
            remove_tree(&dir)?;
            make_private_dir(server.layout(), &dir)?;
            server.source_passfile()
        })
        .await?;
        self.run_basebackup(fresh, upstream, &passfile, progress).await?;
        let verify = Tool::new(self.layout(), "pg_verifybackup").args(&["--exit-on-error", "--quiet"]);
        verify.arg(fresh).output(VERIFY_PATIENCE).await?;
        let found = self.control_data_of(fresh).await?.system;
        if found != system {
            return Err(Error::Refused(format!(
                "{} has system identifier {found}, this cluster has {system}; is the address another cluster's?",
                upstream.address
            )));
        }
        let (server, fresh, marker) = (self.clone(), fresh.to_owned(), marker.to_owned());
        blocking(move || {
            server.our_files_in(&fresh)?;
            sync_tree(&fresh)?;
            replace(server.layout(), &marker, b"verified\n", 0o600).map(|_| ())
        })
        .await
    }

    async fn run_basebackup(
        &self,
        fresh: &Path,
        upstream: &Upstream,
        passfile: &Path,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<()> {
        // Not under the standby's name: with a slot, this stream reports what it flushed, and must never be counted.
        let source = conninfo(&upstream.address, CLONE, passfile);
        let mut tool = Tool::new(self.layout(), "pg_basebackup")
            .args(&["--wal-method=stream", "--checkpoint=fast", "--progress", "--no-password", "--no-sync"])
            .arg("--pgdata")
            .arg(fresh)
            .arg("--dbname")
            .arg(source);
        if let Some(slot) = &upstream.slot {
            // WAL is held from here on, so that the copy can follow when it starts.
            tool = tool.arg("--slot").arg(slot);
        }
        tool.lines(|line| {
            if let Some(far) = how_far(line) {
                progress(far);
            }
        })
        .await
        .map(|_| ())
    }

    /// The password for tools, apart from the one that a seal takes away.
    pub(super) fn source_passfile(&self) -> Result<PathBuf> {
        let layout = self.layout();
        make_private_dir(layout, &layout.private_dir)?;
        let path = layout.private_dir.join("source.pass");
        replace(layout, &path, pass_line(REPLICATION, &self.credentials().replication).as_bytes(), 0o600)?;
        Ok(path)
    }

    /// Half copies of clones that are no longer wanted.
    fn clear_older_clones(&self) -> Result<()> {
        let pgdata = &self.layout().pgdata;
        let (Some(parent), Some(name)) = (pgdata.parent(), pgdata.file_name().and_then(|name| name.to_str()))
        else {
            return Err(Error::Refused(format!("{} cannot have a clone beside it", pgdata.display())));
        };
        let prefix = format!("{name}.clone-");
        let entries = match fs::read_dir(parent) {
            // The first clone on a machine makes it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|e| Error::io("list", parent, &e))?,
        };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                let path = entry.path();
                if path.is_dir() { remove_tree(&path)? } else { super::files::remove_file(&path)? }
            }
        }
        Ok(())
    }

    fn put_in_place(&self, fresh: &Path) -> Result<()> {
        let (pgdata, aside) = (&self.layout().pgdata, &self.layout().aside);
        let is_empty = fs::read_dir(pgdata).map(|mut entries| entries.next().is_none()).unwrap_or(true);
        if !is_empty {
            fs::create_dir_all(aside).map_err(|e| Error::io("create", aside, &e))?;
            let name = pgdata.file_name().unwrap_or_default();
            let free = |base: PathBuf| {
                (1..)
                    .map(|n| with_suffix(&base, &format!(".{n}")))
                    .find(|path| fs::symlink_metadata(path).is_err())
            };
            let kept = free(aside.join(name)).ok_or_else(|| Error::Unknown("a free name".to_owned()))?;
            match fs::rename(pgdata, &kept) {
                Ok(()) => sync_parent(&kept)?,
                Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => {
                    let beside = free(with_suffix(pgdata, ".aside"));
                    rename(pgdata, &beside.ok_or_else(|| Error::Unknown("a free name".to_owned()))?)?;
                }
                Err(e) => return Err(Error::io("move aside", pgdata, &e)),
            }
        }
        rename(fresh, pgdata)
    }

    /// Refuses while a program of PostgreSQL has `pgdata`, or a clone beside it, among its arguments: a tool or
    /// single-user server that a killed agent left behind would write into what is made anew.
    ///
    /// # Errors
    /// `Refused`, naming the process; the process table cannot be read.
    pub async fn no_tool_at_work(&self) -> Result<()> {
        let pgdata = self.layout().pgdata.clone();
        blocking(move || match tool_on(&pgdata)? {
            Some((pid, name)) => Err(Error::Refused(format!(
                "process {pid} ({name}) still works on {}; it has to end first, or be ended",
                pgdata.display()
            ))),
            None => Ok(()),
        })
        .await
    }

    /// Whether a server runs on `pgdata`, by its pid file and the directory that the process stands in.
    pub(super) fn is_running(&self) -> Result<bool> {
        let Some(pid) = self.postmaster()? else { return Ok(false) };
        let cwd = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
        let pgdata = fs::canonicalize(&self.layout().pgdata);
        Ok(matches!((cwd, pgdata), (Ok(cwd), Ok(pgdata)) if cwd == pgdata))
    }

    pub(super) fn source(&self, address: &Address, passfile: &Path) -> String {
        format!("{} dbname=postgres", conninfo(address, "interrex", passfile))
    }
}

/// A process of PostgreSQL's, by its short name, that was given `pgdata` or something beside it to work on.
fn tool_on(pgdata: &Path) -> Result<Option<(u32, String)>> {
    let proc = Path::new("/proc");
    let directory = pgdata.display().to_string();
    let clones = format!("{directory}.clone-");
    for entry in fs::read_dir(proc).map_err(|e| Error::io("list", proc, &e))?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Gone meanwhile, or a kernel thread: nothing to read.
        let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
        let Ok(arguments) = fs::read(entry.path().join("cmdline")) else { continue };
        let name = name.trim();
        let arguments = String::from_utf8_lossy(&arguments);
        let mut arguments =
            arguments.split('\0').map(|word| word.rsplit_once('=').map_or(word, |(_, path)| path));
        let ours = name.starts_with("pg_") || name.starts_with("postgres");
        if ours && arguments.any(|word| word == directory || word.starts_with(&clones)) {
            return Ok(Some((pid, name.to_owned())));
        }
    }
    Ok(None)
}

#[derive(PartialEq, Eq)]
enum Whole {
    /// A verified copy waits beside `pgdata`.
    Beside,
    /// It was renamed into place.
    InPlace,
    /// There is none, or half of one.
    Not,
}

/// `  45056/163840 kB (27%), 0/1 tablespace (…)`
fn how_far(line: &str) -> Option<Progress> {
    let line = line.rsplit('\r').find(|part| !part.trim().is_empty())?;
    let (numbers, _) = line.trim().split_once(" kB")?;
    let (done, total) = numbers.split_once('/')?;
    let bytes = |kb: &str| kb.trim().parse::<u64>().ok()?.checked_mul(1024);
    Some(Progress { done: bytes(done)?, total: bytes(total)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_was_left_behind_is_found_by_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let pgdata = dir.path().join("data");
        let tool = dir.path().join("pg_rewind");
        fs::write(&tool, "#!/bin/sh\nread line\n").unwrap();
        fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for (directory, found) in [("data", true), ("data.clone-3", true), ("data2", false)] {
            let mut left = std::process::Command::new(&tool);
            left.arg("--target-pgdata").arg(dir.path().join(directory)).stdin(std::process::Stdio::piped());
            let mut left = left.spawn().unwrap();
            let name = || fs::read_to_string(format!("/proc/{}/comm", left.id())).unwrap();
            while name().trim() != "pg_rewind" {
                std::thread::yield_now();
            }
            let expected = found.then(|| (left.id(), "pg_rewind".to_owned()));
            assert_eq!(tool_on(&pgdata).unwrap(), expected, "{directory}");
            left.kill().unwrap();
            left.wait().unwrap();
        }
        assert_eq!(tool_on(&pgdata).unwrap(), None);
    }

    #[test]
    fn progress_is_read_from_what_pg_basebackup_says() {
        let line = "  45056/163840 kB (27%), 0/1 tablespace (/tmp/x/base/1/2)";
        assert_eq!(how_far(line), Some(Progress { done: 45_056 << 10, total: 163_840 << 10 }));
        assert_eq!(how_far("waiting for checkpoint"), None);
    }
}
