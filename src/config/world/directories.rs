//! Directories: whose they are, who may enter, what lies in them, and how much room is left.
//!
//! A directory that does not exist yet is judged by its nearest existing ancestor, where it would be made.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};

use super::{IN_USE, User};
use crate::Node;

/// As many files as an empty data directory of PostgreSQL has; the node itself makes far fewer.
const INODES: u64 = 1_000;

/// The node's own directory: ours alone, of a format we know, of this machine, with room for the log.
/// `running`: a PostgreSQL of this node runs, which a full disk is no reason to end.
pub(super) fn data_dir(node: &Node, room: u64, running: bool) -> Result<(), String> {
    let dir = &node.data_dir;
    let shown = dir.display();
    if let Some(meta) = existing(dir)? {
        let me = rustix::process::geteuid().as_raw();
        if meta.uid() != me {
            return Err(format!("\"{shown}\" is owned by user {}, not {me}; chown {me} {shown}", meta.uid()));
        }
        if meta.mode() & 0o022 != 0 {
            let mode = meta.mode() & 0o777;
            return Err(format!("\"{shown}\" has mode {mode:04o}, so others may write; chmod go-w {shown}"));
        }
        if dir.join("PG_VERSION").exists() {
            return Err(format!("\"{shown}\" is a data directory of PostgreSQL; name another for the node"));
        }
        crate::data_dir::judge(dir, &node.name).map_err(|why| format!("\"{shown}\" {why}"))?;
    }
    writable(dir)?;
    if running {
        return Ok(());
    }
    enough_room(dir, room, if crate::data_dir::is_used(dir) { IN_USE } else { 1 })
}

/// PostgreSQL's directory: as it demands itself, of the programs' version, reachable for its user.
pub(super) fn pgdata(dir: &Path, run_as: Option<&User>, major: u32) -> Result<(), String> {
    let shown = dir.display();
    if let Some(user) = run_as {
        reachable(dir, user)?;
    }
    if let Some(meta) = existing(dir)? {
        let me = rustix::process::geteuid().as_raw();
        let (owner, name) = run_as.map_or((me, me.to_string()), |user| (user.uid, user.name.clone()));
        if meta.uid() != owner {
            let given = meta.uid();
            return Err(format!("\"{shown}\" is owned by user {given}, not {name}; chown -R {name} {shown}"));
        }
        let mode = meta.mode() & 0o777;
        if mode != 0o700 && mode != 0o750 {
            return Err(format!(
                "\"{shown}\" has mode {mode:04o}, PostgreSQL wants 0700 or 0750; chmod 0700 {shown}"
            ));
        }
        right_version(dir, major)?;
    }
    writable(dir)
}

/// Whether a copy can be made beside it and take its place, which is how every copy is made, the first one too.
pub(super) fn replaceable(dir: &Path, room: u64) -> Result<(), String> {
    let shown = dir.display();
    if let Ok(real) = fs::read_link(dir) {
        let real = real.display();
        return Err(format!(
            "\"{shown}\" is a link, and a copy could not take its place; name \"{real}\" itself"
        ));
    }
    let Some(above) = dir.parent() else {
        return Err(format!("\"{shown}\" has no directory above it to make a copy in; name one below it"));
    };
    let device = |dir: &Path| fs::metadata(dir).ok().map(|meta| meta.dev());
    if device(dir).is_some_and(|own| device(above) != Some(own)) {
        return Err(format!(
            "\"{shown}\" is where a disk is mounted, and a copy could not take its place; name a directory below it"
        ));
    }
    writable(above).map_err(|why| format!("copies are made beside \"{shown}\": {why}"))?;
    let share = if dir.join("PG_VERSION").exists() { IN_USE } else { 1 };
    enough_room(dir, room, share)
}

/// `PG_VERSION` of a directory in use; an empty directory has none.
fn right_version(dir: &Path, major: u32) -> Result<(), String> {
    let shown = dir.display();
    match fs::read_to_string(dir.join("PG_VERSION")) {
        Ok(text) if text.trim().parse() == Ok(major) => Ok(()),
        Ok(text) => Err(format!(
            "\"{shown}\" is of PostgreSQL {}, the programs are of {major}; name those of {} with bin_dir, or \
             upgrade the directory (pg_upgrade)",
            text.trim().escape_default(),
            text.trim().escape_default()
        )),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let mut entries = fs::read_dir(dir).map_err(|e| format!("\"{shown}\" cannot be read: {e}"))?;
            if entries.next().is_none() {
                return Ok(());
            }
            Err(format!(
                "\"{shown}\" holds files but no PG_VERSION: not PostgreSQL's; empty it, or name another"
            ))
        }
        Err(e) => Err(format!("\"{shown}\": PG_VERSION cannot be read: {e}; correct its owner and mode")),
    }
}

/// A password must not be readable for others; it is read by whoever starts the node.
pub(super) fn password_file(file: &Path) -> Result<(), String> {
    let shown = file.display();
    let text = crate::text::read(file)
        .map_err(|why| format!("\"{shown}\" {why}; write the password into a file of mode 0600"))?;
    if text.lines().next().unwrap_or_default().is_empty() {
        return Err(format!("\"{shown}\" has an empty first line; write the password into it"));
    }
    let mode = fs::metadata(file).map_err(|e| format!("\"{shown}\" cannot be read: {e}"))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("\"{shown}\" has mode {mode:04o}, so others may read it; chmod 0600 {shown}"));
    }
    Ok(())
}

fn existing(dir: &Path) -> Result<Option<fs::Metadata>, String> {
    match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => Ok(Some(meta)),
        Ok(_) => Err(format!("\"{}\" is not a directory; remove it, or name another path", dir.display())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => match fs::read_link(dir) {
            Ok(real) => Err(format!(
                "\"{}\" is a link to \"{}\", which is not there; make that, or name another path",
                dir.display(),
                real.display()
            )),
            Err(_) => Ok(None),
        },
        Err(e) => Err(format!("\"{}\" cannot be reached: {e}; correct owner and mode", dir.display())),
    }
}

fn nearest_existing(dir: &Path) -> &Path {
    dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

/// Whether we may make or write `dir`. The kernel is asked, as it also knows of read-only mounts.
fn writable(dir: &Path) -> Result<(), String> {
    let at = nearest_existing(dir);
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    let why = match rustix::fs::accessat(CWD, at, wanted, AtFlags::EACCESS) {
        Ok(()) if at.is_dir() => return Ok(()),
        Ok(()) => "not a directory".to_string(),
        Err(e) => io::Error::from(e).to_string(),
    };
    let shown = dir.display();
    let whose = if at == dir { String::new() } else { format!(", as \"{}\" refuses", at.display()) };
    Err(format!("\"{shown}\" cannot be written{whose}: {why}; correct its owner and mode, or name another"))
}

/// Whether `user` may pass through every existing directory above `dir`.
pub(super) fn reachable(dir: &Path, user: &User) -> Result<(), String> {
    for above in dir.ancestors().skip(1) {
        let Some(meta) = fs::metadata(above).ok().filter(fs::Metadata::is_dir) else { continue };
        let mode = meta.permissions().mode();
        let may_pass = match () {
            () if meta.uid() == user.uid => mode & 0o100,
            () if user.groups.contains(&meta.gid()) => mode & 0o010,
            () => mode & 0o001,
        };
        if may_pass == 0 {
            let (name, above) = (&user.name, above.display());
            return Err(format!(
                "\"{}\" cannot be reached by user {name}, as \"{above}\" has mode {:04o}; chmod o+x {above}, or \
                 name another",
                dir.display(),
                mode & 0o777
            ));
        }
    }
    Ok(())
}

/// Whether a share of `whole` bytes, and of the files that a new directory has, is free.
fn enough_room(dir: &Path, whole: u64, share: u64) -> Result<(), String> {
    let (needed, inodes) = (whole / share, INODES / share);
    let at = nearest_existing(dir);
    let room =
        rustix::fs::statvfs(at).map_err(|e| format!("\"{}\": free room unknown: {e}", at.display()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let shown = dir.display();
    if free < needed {
        let (free, needed) = (free >> 20, needed >> 20);
        return Err(format!(
            "\"{shown}\" has {free} MB free, at least {needed} MB are needed; free some, or name another disk"
        ));
    }
    // A file system that makes inodes as it needs them counts none.
    if room.f_files > 0 && room.f_favail < inodes {
        return Err(format!(
            "\"{shown}\" has {} inodes free, at least {inodes} are needed; remove files, or name another disk",
            room.f_favail
        ));
    }
    Ok(())
}
