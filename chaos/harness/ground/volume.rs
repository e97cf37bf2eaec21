//! A volume of a machine's own: a file system in a file, small enough to be filled, and broken without harm to anything
//! else. It is mounted where everybody sees it, so that whoever clears away finds it in the kernel's own table.
//!
//! The file system is ext4, which has errors on request and becomes read-only by them, as after a disk's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use interrex_rig::postgresql::Account;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::tools::run;

/// Holds a PostgreSQL that keeps 256 MB of WAL, its copy beside it while it is cloned, and nothing more. The file is
/// sparse: what is not written takes no room.
const BYTES: u64 = 1 << 30;
/// What takes up all room, in the volume's own directory.
const BALLAST: &str = "ballast";
/// Less than this is nothing: PostgreSQL asks for 16 MB when it wants WAL, and for 8 kB when it wants anything else.
const NOTHING: u64 = 8 << 10;
const MOUNTS: &str = "/proc/self/mountinfo";

/// One volume.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    image: PathBuf,
    at: PathBuf,
}

impl Volume {
    /// Makes one in the file `image`, and mounts it at the directory `at`, for `account` to write to.
    pub(crate) fn make(image: PathBuf, at: PathBuf, account: Option<Account>) -> anyhow::Result<Volume> {
        let made = File::create_new(&image).and_then(|file| file.set_len(BYTES));
        made.with_context(|| format!("make {}", image.display()))?;
        let volume = Volume { image, at };
        let mut options = "lazy_itable_init=1,lazy_journal_init=1".to_owned();
        if let Some(Account { uid, gid }) = account {
            options += &format!(",root_owner={uid}:{gid}");
        }
        // No block is held back for root: full is full.
        run("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", &options, text(&volume.image)?])?;
        volume.mount()?;
        Ok(volume)
    }

    fn mount(&self) -> anyhow::Result<()> {
        let (image, at) = (text(&self.image)?, text(&self.at)?);
        run("mount", &["-t", "ext4", "-o", "loop,errors=remount-ro", image, at]).map(drop)
    }

    /// How many bytes are free.
    pub(crate) fn free(&self) -> anyhow::Result<u64> {
        let volume = statvfs(&self.at).with_context(|| format!("measure {}", self.at.display()))?;
        Ok(volume.f_bavail * volume.f_frsize)
    }

    /// Takes up all room that is left.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let path = self.ballast();
        let ballast = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        let (mut taken, mut piece) = (0, self.free()?.max(NOTHING));
        while piece >= NOTHING / 2 {
            match fallocate(&ballast, FallocateFlags::empty(), taken, piece) {
                Ok(()) => taken += piece,
                // What is left is less than that, if only because the file system needs some to keep account.
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(error) => return Err(error).with_context(|| format!("grow {}", path.display())),
            }
        }
        Ok(())
    }

    /// No room is left.
    pub(crate) fn is_full(&self) -> anyhow::Result<bool> {
        Ok(self.free()? < NOTHING)
    }

    /// Gives the room back.
    pub(crate) fn make_room(&self) -> anyhow::Result<()> {
        let path = self.ballast();
        fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))
    }

    fn ballast(&self) -> PathBuf {
        self.at.join(BALLAST)
    }

    /// An error of the file system, upon which the kernel lets nobody write to it.
    pub(crate) fn fail(&self) -> anyhow::Result<()> {
        let table = fs::read_to_string(MOUNTS).with_context(|| format!("read {MOUNTS}"))?;
        let mounts = mounts(&table);
        let mount = mounts.iter().find(|mount| mount.at == self.at);
        let device = mount.with_context(|| format!("{} is not mounted", self.at.display()))?;
        let device = device.source.strip_prefix("/dev/").unwrap_or(&device.source);
        let path = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&path, "interrex-chaos\n").with_context(|| format!("write to {path}"))
    }

    /// Nobody can write to it, says the kernel.
    pub(crate) fn is_read_only(&self) -> anyhow::Result<bool> {
        let path = self.at.join("probe");
        match OpenOptions::new().append(true).create(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(true),
            Err(error) => Err(error).with_context(|| format!("make {}", path.display())),
            Ok(_) => {
                fs::remove_file(&path).map(|()| false).with_context(|| format!("remove {}", path.display()))
            }
        }
    }

    /// What follows upon an error once nothing runs there: taken down, repaired, mounted again.
    pub(crate) fn repair(&self) -> anyhow::Result<()> {
        run("umount", &[text(&self.at)?])?;
        // 1 says that errors were found and repaired, which is what it is there for.
        let image = text(&self.image)?;
        run("sh", &["-c", "e2fsck -f -y \"$0\" || test $? -eq 1", image])?;
        self.mount()
    }
}

/// Takes down whatever is mounted below the directory of a run; a line for each that resists.
pub(crate) fn remove(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string(MOUNTS).unwrap_or_default();
    let below = mounts(&table).into_iter().filter(|mount| mount.at.starts_with(dir)).collect::<Vec<_>>();
    // The last one first: a mount may lie on another.
    let refused = |mount: &Mount| run("umount", &[mount.at.to_str()?]).err();
    below.iter().rev().filter_map(refused).map(|error| format!("{error:#}")).collect()
}

fn text(path: &Path) -> anyhow::Result<&str> {
    let text = path.to_str();
    ensure!(text.is_some(), "{} is not UTF-8; name another directory", path.display());
    Ok(text.unwrap_or_default())
}

/// A line of the kernel's table.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    at: PathBuf,
    source: String,
}

/// `ID PARENT MAJOR:MINOR ROOT AT OPTIONS … - TYPE SOURCE OPTIONS`
fn mounts(table: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        Some(Mount { at: plain(before.split(' ').nth(4)?).into(), source: plain(after.split(' ').nth(1)?) })
    };
    table.lines().filter_map(mount).collect()
}

/// The kernel writes spaces, tabs, line ends and backslashes as three octal digits.
fn plain(field: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_kernel_s_table_says_what_is_mounted_where() {
        let table = "24 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
                     91 24 7:3 / /tmp/a\\040run/n1/pg rw shared:5 - ext4 /dev/loop3 rw\nnonsense\n";
        let found = mounts(table);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], Mount { at: "/tmp/a run/n1/pg".into(), source: "/dev/loop3".to_owned() });
    }

    /// Wherever this machine lets us mount; says so where it does not.
    #[test]
    fn a_volume_is_filled_broken_repaired_and_taken_down() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("n1");
        fs::create_dir(&at).unwrap();
        let volume = match Volume::make(dir.path().join("n1.ext4"), at.clone(), None) {
            Ok(volume) => volume,
            Err(error) => {
                eprintln!("SKIPPED: no volume can be made here: {error:#}");
                return;
            }
        };
        // On the disk: with an error goes what is not.
        File::create(at.join("kept"))
            .and_then(|mut kept| kept.write_all(b"kept").and(kept.sync_all()))
            .unwrap();
        assert!(!volume.is_full().unwrap() && !volume.is_read_only().unwrap());
        volume.fill().unwrap();
        assert!(volume.is_full().unwrap(), "{} bytes are free", volume.free().unwrap());
        let refused = fs::write(at.join("more"), [1; 65_536]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        volume.make_room().unwrap();
        assert!(volume.free().unwrap() > BYTES / 2);
        volume.fail().unwrap();
        assert!(volume.is_read_only().unwrap());
        volume.repair().unwrap();
        assert!(!volume.is_read_only().unwrap());
        assert_eq!(fs::read_to_string(at.join("kept")).unwrap(), "kept");
        assert_eq!(remove(dir.path()), Vec::<String>::new());
        assert!(!at.join("kept").exists());
        assert_eq!(remove(dir.path()), Vec::<String>::new());
    }
}
