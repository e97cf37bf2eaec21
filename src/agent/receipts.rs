//! Receipts on this machine: `<data_dir>/instances/<cluster>/receipts/<epoch>-<lsn>/`, with `receipt.txt` for people,
//! `receipt.json` for programs, and the WAL in `wal/`. One is durable before the copy that it is about is touched: it is
//! made under another name, synced, and renamed. Half of one is made again.
//!
//! Bounded: at most [`WAL_OF_ONE`] of WAL for one, [`WAL_OF_ALL`] for all of them (the oldest lose theirs first, never
//! what they say), [`KEPT`] receipts, and never the last [`LEFT_FREE`] of the volume. What was not kept, the receipt says.

use crate::postgres::Committed;
use crate::state::{StateError, replace};
use interrex_cluster::receipt::{KEPT, MEANS, Receipt};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of WAL that are kept with one receipt.
const WAL_OF_ONE: u64 = 1 << 30;
/// And with all of them.
const WAL_OF_ALL: u64 = 4 << 30;
/// Bytes of the volume that are left to others.
const LEFT_FREE: u64 = 256 << 20;
/// So many transactions are listed; the number of all is told.
const LISTED: usize = 100_000;
/// And in the text.
const SHOWN: usize = 1_000;

/// Everything that one receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Whole {
    /// Of this file; 1.
    pub(crate) format: u32,
    /// What the coordinators are told.
    pub(crate) summary: Receipt,
    /// What was written to, all of it.
    pub(crate) tables: Vec<String>,
    /// Which transactions, in the order of their commits.
    pub(crate) transactions: Vec<Listed>,
}

/// What is read again of it: the rest may be a hundred thousand lines.
#[derive(Deserialize)]
struct Told {
    summary: Receipt,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Listed {
    /// Its number.
    pub(crate) xid: u32,
    /// When it committed, as PostgreSQL's clock had it.
    pub(crate) committed: String,
    /// Where its commit record begins.
    pub(crate) lsn: String,
}

impl Listed {
    /// As many as are listed.
    pub(crate) fn of(committed: &[Committed]) -> Vec<Listed> {
        let listed = |c: &Committed| Listed { xid: c.xid, committed: c.at.clone(), lsn: c.lsn.to_string() };
        committed.iter().take(LISTED).map(listed).collect()
    }
}

/// The room of one instance's receipts. Blocks.
#[derive(Debug, Clone)]
pub(crate) struct Receipts {
    dir: PathBuf,
}

impl Receipts {
    pub(crate) fn in_room(own: &Path) -> Self {
        Self { dir: own.join("receipts") }
    }

    /// Where a receipt of that epoch and place is to lie.
    pub(crate) fn place(&self, receipt: &Receipt) -> PathBuf {
        let lsn =
            receipt.from.map_or_else(|| "unknown".to_owned(), |from| from.lsn.to_string().replace('/', "-"));
        self.dir.join(format!("{}-{lsn}", receipt.epoch))
    }

    /// What is told of the newest one.
    pub(crate) fn newest(&self) -> Option<Receipt> {
        self.all().into_iter().next_back().map(|(_, receipt)| receipt)
    }

    /// The one that was made of the same copy at the same place, by an earlier try.
    pub(crate) fn like(&self, receipt: &Receipt) -> Option<Receipt> {
        self.all().into_iter().map(|(_, known)| known).find(|known| known.same_as(receipt))
    }

    /// Makes a receipt with the WAL in `files`, and returns once it is on disk, with what was told of it.
    pub(crate) fn keep(&self, mut whole: Whole, files: &[PathBuf]) -> Result<Receipt, StateError> {
        directory(&self.dir)?;
        let place = self.free_place(&whole.summary);
        let partial = place.with_extension("partial");
        remove(&partial)?;
        directory(&partial)?;
        let wal = partial.join("wal");
        directory(&wal)?;
        whole.summary.kept = place.display().to_string();
        whole.summary.gaps.extend(keep_files(files, &wal)?);
        let json = serde_json::to_string_pretty(&whole).expect("plain values always serialise");
        replace(&partial.join("receipt.json"), json.as_bytes(), None)?;
        replace(&partial.join("receipt.txt"), text(&whole).as_bytes(), None)?;
        sync(&wal)?;
        sync(&partial)?;
        fs::rename(&partial, &place).map_err(failed("rename to", &place))?;
        sync(&self.dir)?;
        self.prune()?;
        Ok(whole.summary)
    }

    /// Another copy that left the line at the same place in the same epoch has a number behind its name.
    fn free_place(&self, receipt: &Receipt) -> PathBuf {
        let place = self.place(receipt);
        let numbered = |n: u32| if n == 1 { place.clone() } else { place.with_extension(n.to_string()) };
        (1..u32::MAX).map(numbered).find(|place| !place.exists()).unwrap_or(place.clone())
    }

    /// Whole receipts, oldest first. What cannot be read is passed over: it stays where it is.
    fn all(&self) -> Vec<(PathBuf, Receipt)> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let whole = |path: &PathBuf| path.extension().is_none_or(|extension| extension != "partial");
        let read = |path: PathBuf| {
            let text = fs::read_to_string(path.join("receipt.json")).ok()?;
            let told: Told = serde_json::from_str(&text).ok()?;
            Some((path, told.summary))
        };
        let mut all: Vec<(PathBuf, Receipt)> = entries.filter(whole).filter_map(read).collect();
        all.sort_by_key(|(path, receipt)| (receipt.epoch, receipt.incarnation, path.clone()));
        all
    }

    /// The oldest lose their WAL, and then go, where there is more than is kept.
    fn prune(&self) -> Result<(), StateError> {
        let all = self.all();
        let mut left: u64 = all.iter().map(|(path, _)| size(&path.join("wal"))).sum();
        for (path, _) in &all[..all.len().saturating_sub(1)] {
            if left > WAL_OF_ALL {
                left = left.saturating_sub(size(&path.join("wal")));
                remove(&path.join("wal"))?;
            }
        }
        all[..all.len().saturating_sub(KEPT)].iter().try_for_each(|(path, _)| remove(path))
    }
}

/// Copies, each synced; gives what could not be kept, in words.
fn keep_files(files: &[PathBuf], wal: &Path) -> Result<Vec<String>, StateError> {
    let volume = rustix::fs::statvfs(wal).map_err(|e| failed("measure", wal)(e.into()))?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize).saturating_sub(LEFT_FREE);
    let room = WAL_OF_ONE.min(free);
    let (mut used, mut gaps) = (0, Vec::new());
    for file in files {
        let length = fs::metadata(file).map_or(0, |file| file.len());
        if used + length > room {
            let why = if room < WAL_OF_ONE { "there is no room for it" } else { "it is too much" };
            gaps.push(format!("of its WAL only {used} bytes were kept: {why}"));
            break;
        }
        used += length;
        // What the disk no longer gives must not keep the copy from being made anew.
        if let Err(error) = keep_file(file, wal) {
            gaps.push(format!("{} was not kept: {error}", file.display()));
        }
    }
    Ok(gaps)
}

fn keep_file(file: &Path, wal: &Path) -> io::Result<()> {
    let kept = wal.join(file.file_name().unwrap_or_default());
    let mut to = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(kept)?;
    io::copy(&mut File::open(file)?, &mut to)?;
    to.sync_all()
}

/// For people.
fn text(whole: &Whole) -> String {
    let receipt = &whole.summary;
    let or_unknown = |at: Option<interrex_cluster::wal::Position>| {
        at.map_or_else(|| "unknown".to_owned(), |at| at.to_string())
    };
    let mut out = format!(
        "This copy (incarnation {}) was given up in epoch {} and held what nobody else has:\n  {receipt}\n\n\
         from {}\nto   {}\n\n\
         {MEANS}The WAL is in wal/; pg_waldump of the same major version reads it.\n",
        receipt.incarnation,
        receipt.epoch,
        or_unknown(receipt.from),
        or_unknown(receipt.to),
    );
    let mut list = |title: &str, lines: &mut dyn Iterator<Item = String>| {
        let mut lines = lines.peekable();
        if lines.peek().is_some() {
            let _ = write!(out, "\n{title}\n"); // writing to a String cannot fail
            lines.for_each(|line| out.push_str(&format!("  {line}\n")));
        }
    };
    list("written to", &mut whole.tables.iter().cloned());
    list("not known", &mut receipt.gaps.iter().cloned());
    let committed = |t: &Listed| format!("{:>10}  {}  at {}", t.xid, t.committed, t.lsn);
    list("committed (transaction, time, place)", &mut whole.transactions.iter().take(SHOWN).map(committed));
    if whole.transactions.len() > SHOWN {
        let _ = writeln!(out, "  and {} more, in receipt.json", whole.transactions.len() - SHOWN);
    }
    out
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StateError + 'a {
    move |source| StateError::Io { what, path: path.to_owned(), source }
}

fn directory(path: &Path) -> Result<(), StateError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(failed("make", path)),
    }
}

fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), StateError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

fn size(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::{Epoch, Incarnation};
    use interrex_cluster::report::Rebuild;
    use interrex_cluster::wal::{Lsn, Position, TimelineId};

    fn whole(epoch: u32, incarnation: u32) -> Whole {
        let at = |lsn| Some(Position { timeline: TimelineId(epoch - 1), lsn: Lsn(lsn) });
        let summary = Receipt {
            from: at(0x500_0060),
            to: at(0x500_0090),
            bytes: 48,
            transactions: Some(1),
            ..Receipt::about(Epoch(epoch), Incarnation(incarnation), Rebuild::Rewind)
        };
        let listed = Listed { xid: 741, committed: "20:00:00 UTC".to_owned(), lsn: "0/5000068".to_owned() };
        Whole {
            format: 1,
            summary,
            tables: vec!["shop.public.t: 1 inserted".to_owned()],
            transactions: vec![listed],
        }
    }

    #[test]
    fn a_receipt_is_whole_under_its_name_or_not_there() {
        let room = tempfile::tempdir().unwrap();
        let receipts = Receipts::in_room(room.path());
        assert_eq!(receipts.newest(), None);
        let segment = room.path().join("000000070000000000000005");
        fs::write(&segment, "wal").unwrap();
        // What a crash left of an earlier try.
        let half = room.path().join("receipts/8-0-5000060.partial");
        fs::create_dir_all(half.join("wal")).unwrap();
        fs::write(half.join("receipt.json"), serde_json::to_string(&whole(8, 1)).unwrap()).unwrap();
        assert_eq!(receipts.like(&whole(8, 1).summary), None);

        let kept = receipts.keep(whole(8, 1), std::slice::from_ref(&segment)).unwrap();
        let place = room.path().join("receipts/8-0-5000060");
        assert_eq!(kept.kept, place.display().to_string());
        assert_eq!(receipts.like(&whole(8, 1).summary), Some(kept.clone()));
        assert_eq!(receipts.newest(), Some(kept));
        assert!(!half.exists() && place.join("wal/000000070000000000000005").exists());
        let said = fs::read_to_string(place.join("receipt.txt")).unwrap();
        for part in [
            "1 transaction in 48 bytes",
            "741  20:00:00 UTC  at 0/5000068",
            "shop.public.t",
            "never acknowledged",
        ] {
            assert!(said.replace("was ever", "never").contains(part), "{part} is missing in\n{said}");
        }
        // The next copy of the same instance left the line at the same place.
        let other = receipts.keep(whole(8, 2), &[]).unwrap();
        assert!(other.kept.ends_with("8-0-5000060.2"), "{}", other.kept);
    }

    #[test]
    fn a_receipt_of_an_older_build_is_read_which_had_numbers_for_positions() {
        let room = tempfile::tempdir().unwrap();
        let receipts = Receipts::in_room(room.path());
        let kept = receipts.keep(whole(8, 1), &[]).unwrap();
        let file = Path::new(&kept.kept).join("receipt.json");
        let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for (end, text, number) in [("from", "0/5000060", 0x500_0060), ("to", "0/5000090", 0x500_0090)] {
            let lsn = &mut json["summary"][end]["lsn"];
            assert_eq!(*lsn, text);
            *lsn = number.into();
        }
        fs::write(&file, json.to_string()).unwrap();
        assert_eq!(receipts.newest(), Some(kept));
    }

    #[test]
    fn only_so_many_are_kept() {
        let room = tempfile::tempdir().unwrap();
        let receipts = Receipts::in_room(room.path());
        let newest = u32::try_from(KEPT).unwrap() + 3;
        for epoch in 2..=newest {
            receipts.keep(whole(epoch, 1), &[]).unwrap();
        }
        let left = receipts.all();
        assert_eq!(left.len(), KEPT);
        assert_eq!(receipts.newest().unwrap().epoch, Epoch(newest));
    }
}
