//! What replaced copies leave behind: directories that a clone moved aside, half clones, and segments that hid WAL.
//! Where they lie is known by name alone, so that a crash at any moment leaves nothing that is not found again. Whether
//! they may go is not decided here.

use super::error::{Error, Result};
use super::files::{blocking, remove_file, remove_tree, rename, sync_parent, with_suffix};
use super::server::{DataDir, Server};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Suffix of a segment of `pg_wal` that recovery must not read.
pub(super) const HIDING: &str = ".interrex-hiding";
/// Suffix of a directory that is being removed: whoever finds one knows that it is not whole.
const REMOVING: &str = ".removing";

impl Server {
    /// Everything that lies beside the copy and is no part of it, sorted.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub async fn set_aside(&self) -> Result<Vec<PathBuf>> {
        let layout = self.layout().clone();
        blocking(move || {
            let (Some(parent), Some(name)) = (layout.pgdata.parent(), layout.pgdata.file_name()) else {
                return Ok(Vec::new());
            };
            let Some(name) = name.to_str() else { return Ok(Vec::new()) };
            let aside = format!("{name}.aside");
            let clone = format!("{name}.clone-");
            let mut found = named(&layout.aside, |entry| numbered(entry, name))?;
            found.extend(named(parent, |entry| numbered(entry, &aside) || entry.starts_with(&clone))?);
            found.extend(named(&layout.pgdata.join("pg_wal"), |entry| entry.ends_with(HIDING))?);
            found.sort();
            Ok(found)
        })
        .await
    }

    /// Deletes the copy at `pgdata`, which was given up: there is no room for two. The directory itself stays.
    ///
    /// # Errors
    /// `Refused` where a server runs, or what lies there is not PostgreSQL's; the system refused.
    pub async fn discard_copy(&self) -> Result<()> {
        if let DataDir::Foreign { why } = self.has_data().await? {
            return Err(Error::Refused(format!("{why}, and is not deleted; empty it by hand")));
        }
        let server = self.clone();
        blocking(move || {
            let pgdata = &server.layout().pgdata;
            if server.is_running()? {
                return Err(Error::Refused(format!("a server runs on {}; stop it first", pgdata.display())));
            }
            let entries = match fs::read_dir(pgdata) {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                entries => entries.map_err(|e| Error::io("list", pgdata, &e))?,
            };
            // The version goes last: until then it is known for what it is.
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort_by_key(|path| path.ends_with("PG_VERSION"));
            for path in paths {
                let is_dir = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
                if is_dir { remove_tree(&path)? } else { remove_file(&path)? }
            }
            Ok(())
        })
        .await
    }

    /// Removes one of [`Server::set_aside`], under another name first: half a directory is never taken for a whole one.
    ///
    /// # Errors
    /// The system refused; what is left is found again.
    pub async fn discard(&self, path: &Path) -> Result<()> {
        let path = path.to_owned();
        blocking(move || {
            let found = match fs::symlink_metadata(&path) {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                found => found.map_err(|e| Error::io("look at", &path, &e))?,
            };
            if !found.is_dir() {
                remove_file(&path)?;
                return sync_parent(&path);
            }
            let going = match path.to_str().is_some_and(|path| path.ends_with(REMOVING)) {
                true => path,
                false => {
                    let going = with_suffix(&path, REMOVING);
                    remove_tree(&going)?;
                    rename(&path, &going)?;
                    going
                }
            };
            remove_tree(&going)?;
            sync_parent(&going)
        })
        .await
    }
}

/// `NAME.3`, or `NAME.3.removing`.
fn numbered(entry: &str, name: &str) -> bool {
    let number = entry.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
    let number = number.map(|number| number.strip_suffix(REMOVING).unwrap_or(number));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn named(directory: &Path, ours: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| Error::io("list", directory, &e))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", directory, &e))?;
        if entry.file_name().to_str().is_some_and(&ours) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bare_layout, server};
    use super::*;

    /// Directories are made with a file in them.
    fn make(path: &Path) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("PG_VERSION"), "15\n").unwrap();
    }

    #[tokio::test]
    async fn what_is_ours_is_found_by_name_and_nothing_else_is_touched() {
        let (dir, layout) = bare_layout();
        let server = server(layout.clone());
        assert_eq!(server.set_aside().await.unwrap(), Vec::<PathBuf>::new(), "there is not even a directory");
        let at = |name: &str| dir.path().join(name);
        let ours = ["aside/data.1", "aside/data.2.removing", "data.aside.1", "data.clone-3"];
        let others =
            ["data", "aside/data", "aside/data.old", "aside/notes.1", "data.aside", "data2", "data.1"];
        ours.iter().chain(&others).for_each(|name| make(&at(name)));
        fs::write(at("data.clone-3.whole"), "verified\n").unwrap();
        fs::write(at("data/pg_wal/000000030000000000000001.interrex-hiding"), "").unwrap();
        fs::write(at("data/pg_wal/000000030000000000000001"), "").unwrap();
        let found = server.set_aside().await.unwrap();
        let also = ["data.clone-3.whole", "data/pg_wal/000000030000000000000001.interrex-hiding"];
        let mut expected: Vec<PathBuf> = ours.iter().chain(&also).map(|name| at(name)).collect();
        expected.sort();
        assert_eq!(found, expected);
        for path in &found {
            server.discard(path).await.unwrap();
            server.discard(path).await.unwrap();
        }
        assert_eq!(server.set_aside().await.unwrap(), Vec::<PathBuf>::new());
        assert!(others.iter().all(|name| at(name).join("PG_VERSION").exists()));
        assert!(at("data/pg_wal/000000030000000000000001").exists());
    }

    #[tokio::test]
    async fn a_removal_that_was_interrupted_goes_on_and_a_link_is_not_followed() {
        let (dir, layout) = bare_layout();
        let server = server(layout.clone());
        let (whole, half) = (layout.aside.join("data.1"), layout.aside.join("data.1.removing"));
        make(&half);
        make(&whole);
        let elsewhere = dir.path().join("tablespace");
        make(&elsewhere);
        std::os::unix::fs::symlink(&elsewhere, whole.join("link")).unwrap();
        server.discard(&whole).await.unwrap();
        server.discard(&half).await.unwrap();
        assert!(!whole.exists() && !half.exists() && elsewhere.join("PG_VERSION").exists());
    }
}
