//! The one directory that a cluster lives in: a temporary one that goes with it, or one that a person named and keeps.
//! PostgreSQL's user has to pass through it, hence mode 0755.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::usage::Usage;

/// Below it lie sockets such as `n1/data/instances/demo/run/.s.PGSQL.65535`, and a socket's path has 107 bytes.
const LONGEST: usize = 107 - "/n1/data/instances/demo/run/.s.PGSQL.65535".len();

/// Where a cluster lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Absolute and free of links, as /proc shows it.
    pub path: PathBuf,
    /// It was named by a person.
    pub named: bool,
}

impl Directory {
    /// Makes one whose name begins with `prefix`, or takes the empty one that was named.
    ///
    /// # Errors
    /// [`Usage`] where another one is to be named.
    pub fn make(prefix: &str, named: Option<&Path>) -> anyhow::Result<Directory> {
        let directory = Directory::plan(prefix, named)?;
        directory.open()?;
        Ok(directory)
    }

    /// The same, but one that nobody named is not made yet: so that whoever is to remove it can know of it first.
    ///
    /// # Errors
    /// [`Usage`] where another one is to be named.
    pub fn plan(prefix: &str, named: Option<&Path>) -> anyhow::Result<Directory> {
        let path = match named {
            Some(path) => take(path)?,
            None => temporary(prefix)?,
        };
        let length = path.as_os_str().len();
        if length > LONGEST {
            bail!(Usage(format!(
                "{} has {length} bytes, and the sockets below it leave {LONGEST}; name a shorter one with --keep or TMPDIR",
                path.display()
            )));
        }
        Ok(Directory { path, named: named.is_some() })
    }

    /// Makes what was planned. On an error, what is there is somebody else's.
    ///
    /// # Errors
    /// The system refuses, or somebody was there first.
    pub fn open(&self) -> anyhow::Result<()> {
        if self.named {
            return Ok(());
        }
        let made = DirBuilder::new().mode(0o755).create(&self.path);
        // What the umask took away.
        made.and_then(|()| fs::set_permissions(&self.path, Permissions::from_mode(0o755)))
            .with_context(|| format!("make the directory {}", self.path.display()))
    }
}

/// A name that nobody has, nor will have: the number of this very process is part of it.
fn temporary(prefix: &str) -> anyhow::Result<PathBuf> {
    let base = std::env::temp_dir();
    let base =
        fs::canonicalize(&base).with_context(|| format!("find the directory {} (TMPDIR)", base.display()))?;
    let prefix = format!("{prefix}{}-", std::process::id());
    let unused = |path: &Path| match path.try_exists()? {
        true => Err(io::ErrorKind::AlreadyExists.into()),
        false => Ok(()),
    };
    let drawn = tempfile::Builder::new().prefix(&prefix).make_in(&base, unused);
    let drawn = drawn.with_context(|| format!("draw a name in {}", base.display()))?;
    drawn.into_temp_path().keep().context("keep the name that was drawn")
}

fn take(path: &Path) -> anyhow::Result<PathBuf> {
    make_or_open(path).map_err(|why| {
        Usage(format!("--keep {}: {why}; name an empty directory, or a new one", path.display())).into()
    })
}

fn make_or_open(path: &Path) -> Result<PathBuf, String> {
    let refused = |why: io::Error| why.to_string();
    if !path.exists() {
        fs::create_dir_all(path).map_err(refused)?;
        fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(refused)?;
    }
    if !path.is_dir() {
        return Err("is no directory".to_owned());
    }
    if fs::read_dir(path).map_err(refused)?.next().is_some() {
        return Err("is not empty".to_owned());
    }
    fs::canonicalize(path).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_temporary_directory_is_made_once_and_can_be_passed_through() {
        let directory = Directory::plan("interrex-rig-", None).unwrap();
        assert!(!directory.path.exists(), "whoever is to remove it comes first");
        directory.open().unwrap();
        assert!(directory.path.file_name().unwrap().to_str().unwrap().starts_with("interrex-rig-"));
        assert_eq!((mode(&directory.path), directory.named), (0o755, false));
        let taken = directory.open().unwrap_err().to_string();
        assert!(taken.starts_with("make the directory /"), "{taken}");
        fs::remove_dir(&directory.path).unwrap();
    }

    #[test]
    fn a_named_directory_must_be_empty_or_absent() {
        let base = tempfile::tempdir().unwrap();
        let absent = base.path().join("a/b");
        let make = |path: &Path| Directory::make("interrex-rig-", Some(path));
        assert_eq!(mode(&make(&absent).unwrap().path), 0o755);
        make(&absent).unwrap();
        fs::write(absent.join("precious"), "").unwrap();
        let error = make(&absent).unwrap_err().to_string();
        assert!(error.contains("is not empty; name an empty directory"), "{error}");
        let file = make(&absent.join("precious")).unwrap_err();
        assert!(file.to_string().contains("is no directory; name an empty directory"), "{file}");
        assert_eq!(crate::usage::exit_code(&file), 2);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_refused_with_its_length() {
        let base = tempfile::tempdir().unwrap();
        let error =
            Directory::make("", Some(&base.path().join("x".repeat(LONGEST)))).unwrap_err().to_string();
        assert!(error.contains(&format!("leave {LONGEST}")), "{error}");
    }
}
