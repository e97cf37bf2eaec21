//! The one directory that a cluster lives in: a temporary one that goes with it, or one that a person named and keeps.
//! PostgreSQL's user has to pass through it, hence mode 0755.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::postgresql::Account;
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
    pub fn make(prefix: &str, named: Option<&Path>, account: Option<Account>) -> anyhow::Result<Directory> {
        let directory = Directory::plan(prefix, named, account)?;
        directory.open()?;
        Ok(directory)
    }

    /// The same, but one that nobody named is not made yet: so that whoever is to remove it can know of it first.
    /// `account`: who runs PostgreSQL in it, where that is not this process's user.
    ///
    /// # Errors
    /// [`Usage`] where another one is to be named; nothing was made then.
    pub fn plan(prefix: &str, named: Option<&Path>, account: Option<Account>) -> anyhow::Result<Directory> {
        let path = match named {
            Some(path) => resolved(path).map_err(|why| unfit(path, &why.to_string()))?,
            None => temporary(prefix)?,
        };
        let length = path.as_os_str().len();
        if length > LONGEST {
            bail!(Usage(format!(
                "{} has {length} bytes, and the sockets below it leave {LONGEST}; name a shorter one with --keep or TMPDIR",
                path.display()
            )));
        }
        if let Some(account) = account {
            passable(&path, account)?;
        }
        if named.is_some() {
            take(&path).map_err(|why| unfit(&path, &why))?;
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

/// Where it is or will be, free of links.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let there = path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    let rest = path.strip_prefix(there).unwrap_or(&path);
    Ok(fs::canonicalize(there)?.components().chain(rest.components()).collect())
}

/// PostgreSQL's user has to pass through every directory above.
fn passable(path: &Path, account: Account) -> anyhow::Result<()> {
    for above in path.ancestors().skip(1) {
        let Ok(meta) = fs::metadata(above) else { continue };
        let bit = match () {
            () if meta.uid() == account.uid => 0o100,
            () if meta.gid() == account.gid => 0o010,
            () => 0o001,
        };
        if meta.mode() & bit == 0 {
            let (path, above, mode) = (path.display(), above.display(), meta.mode() & 0o777);
            bail!(Usage(format!(
                "{path} is out of reach for the user postgres, as {above} has mode {mode:04o}; name another directory with \
                 --keep or TMPDIR"
            )));
        }
    }
    Ok(())
}

/// Makes the directory that was named, or takes it where it is empty.
fn take(path: &Path) -> Result<(), String> {
    let refused = |why: io::Error| why.to_string();
    if !path.exists() {
        fs::create_dir_all(path).map_err(refused)?;
        fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(refused)?;
    }
    if !path.is_dir() {
        return Err("is no directory".to_owned());
    }
    match fs::read_dir(path).map_err(refused)?.next() {
        Some(_) => Err("is not empty".to_owned()),
        None => Ok(()),
    }
}

fn unfit(path: &Path, why: &str) -> Usage {
    Usage(format!("--keep {}: {why}; name an empty directory, or a new one", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_temporary_directory_is_made_once_and_can_be_passed_through() {
        let directory = Directory::plan("interrex-rig-", None, None).unwrap();
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
        let make = |path: &Path| Directory::make("interrex-rig-", Some(path), None);
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
        let long = base.path().join("new").join("x".repeat(LONGEST));
        let error = Directory::make("", Some(&long), None).unwrap_err();
        assert!(error.to_string().contains(&format!("leave {LONGEST}")), "{error}");
        assert_eq!((crate::usage::exit_code(&error), base.path().join("new").exists()), (2, false));
    }

    #[test]
    fn a_directory_that_postgresql_s_user_cannot_reach_is_refused_before_it_is_made() {
        let base = tempfile::tempdir().unwrap();
        let meta = fs::metadata(base.path()).unwrap();
        let (own, other) = (meta.uid(), meta.uid() + 1);
        fs::set_permissions(base.path(), Permissions::from_mode(0o700)).unwrap();
        let new = base.path().join("new");
        let account = |uid| Account { uid, gid: meta.gid() + 1 };
        let error = Directory::make("", Some(&new), Some(account(other))).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("out of reach") && told.contains("has mode 0700; name another"), "{told}");
        assert_eq!((crate::usage::exit_code(&error), new.exists()), (2, false));
        assert!(Directory::make("", Some(&new), Some(account(own))).is_ok());
    }

    #[test]
    fn a_named_directory_is_known_by_its_place_free_of_links() {
        let base = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(base.path()).unwrap();
        fs::create_dir(real.join("real")).unwrap();
        std::os::unix::fs::symlink(real.join("real"), real.join("link")).unwrap();
        let made = Directory::make("", Some(&base.path().join("link/a/b")), None).unwrap();
        assert_eq!(made.path, real.join("real/a/b"));
        assert!(made.path.is_dir());
    }
}
