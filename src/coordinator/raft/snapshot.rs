//! Snapshots on disk: `snap-<term>-<index>.bin`, written beside the log, the newest two kept.
//!
//! ```text
//! magic "IXRS" | format u32 | meta length u32 | data length u64 | crc32 of everything else u32 | meta | data
//! ```
//! A file appears under its name whole or not at all (written aside, flushed, renamed, directory flushed). A newest
//! one that is damaged falls back to the one before, which the caller may only use while the log still reaches back
//! that far.

use std::io;
use std::sync::Arc;

use interrex_api::pb;
use prost::Message;

use super::log::{LogDisk, aside};
use super::types::{LogId, Snapshot, SnapshotMeta};
use super::wire;

const MAGIC: &[u8; 4] = b"IXRS";
const FORMAT: u32 = 1;
const HEADER: usize = 24;
/// The newest, and the one before in case the newest does not read back.
const KEPT: usize = 2;

/// The snapshots of one directory.
#[derive(Clone)]
pub(crate) struct SnapshotDir {
    disk: Arc<dyn LogDisk>,
}

impl SnapshotDir {
    pub(crate) fn new(disk: Arc<dyn LogDisk>) -> Self {
        Self { disk }
    }

    /// Runs what may take its time where it harms nobody.
    ///
    /// # Errors
    /// It was not done, or nobody knows: the runtime is ending.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> io::Result<T> {
        let own = self.clone();
        aside(&*self.disk, move || work(&own)).await
    }

    /// The names of all snapshots, oldest first.
    pub(crate) fn list(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<(u64, u64, String)> = self
            .disk
            .list()?
            .into_iter()
            .filter_map(|name| {
                let (term, index) = name.strip_prefix("snap-")?.strip_suffix(".bin")?.split_once('-')?;
                Some((index.parse().ok()?, term.parse().ok()?, name.clone()))
            })
            .collect();
        names.sort();
        Ok(names.into_iter().map(|(_, _, name)| name).collect())
    }

    /// Puts a snapshot on disk, then removes all but the newest two.
    pub(crate) fn save(&self, meta: &SnapshotMeta, data: &[u8]) -> io::Result<()> {
        self.disk.replace(&file_name(meta.last_log_id.as_ref()), &encode(meta, data)?)?;
        let names = self.list()?;
        for old in &names[..names.len().saturating_sub(KEPT)] {
            self.disk.remove(old)?;
        }
        Ok(())
    }

    /// The newest snapshot that reads back; the ones that do not, as sentences that name the file.
    pub(crate) fn newest(&self) -> io::Result<(Option<Snapshot>, Vec<String>)> {
        let mut bad = Vec::new();
        for name in self.list()?.iter().rev() {
            match decode(&self.disk.read(name)?) {
                Ok(snapshot) => return Ok((Some(snapshot), bad)),
                Err(why) => bad.push(format!("snapshot {}/{name}: {why}", self.disk.place())),
            }
        }
        Ok((None, bad))
    }
}

fn file_name(last: Option<&LogId>) -> String {
    let (term, index) = last.map_or((0, 0), |id| (**id.committed_leader_id(), id.index()));
    format!("snap-{term}-{index}.bin")
}

fn too_large<E>(_: E) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "the snapshot is larger than its format can say")
}

fn encode(meta: &SnapshotMeta, data: &[u8]) -> io::Result<Vec<u8>> {
    let meta = wire::meta_out(meta).encode_to_vec();
    let mut file = Vec::with_capacity(HEADER + meta.len() + data.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&FORMAT.to_le_bytes());
    file.extend_from_slice(&u32::try_from(meta.len()).map_err(too_large)?.to_le_bytes());
    file.extend_from_slice(&u64::try_from(data.len()).map_err(too_large)?.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file);
    crc.update(&meta);
    crc.update(data);
    file.extend_from_slice(&crc.finalize().to_le_bytes());
    file.extend_from_slice(&meta);
    file.extend_from_slice(data);
    Ok(file)
}

fn decode(file: &[u8]) -> Result<Snapshot, String> {
    let (header, body) = file.split_at_checked(HEADER).ok_or("it is shorter than its header")?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if header[..4] != *MAGIC {
        return Err("it does not begin as a snapshot does".to_owned());
    }
    if number(4) > FORMAT {
        return Err(format!("it has format {}, this version of interrex knows up to {FORMAT}", number(4)));
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..20]);
    crc.update(body);
    if crc.finalize() != number(20) {
        return Err("it does not match its checksum".to_owned());
    }
    let data_len = u64::from(number(12)) | u64::from(number(16)) << 32;
    let (meta, data) = body.split_at_checked(number(8) as usize).ok_or("its meta is cut short")?;
    if data.len() as u64 != data_len {
        return Err(format!("it holds {} bytes of state instead of {data_len}", data.len()));
    }
    let meta = pb::RaftSnapshotMeta::decode(meta).map_err(|e| e.to_string())?;
    Ok(Snapshot { meta: wire::meta_in(meta).map_err(|e| e.to_string())?, snapshot: data.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::super::log::RealDisk;
    use super::*;
    use pb::RaftLogId;

    fn meta(index: u64) -> SnapshotMeta {
        let last = wire::log_id_in(&RaftLogId { term: 3, index });
        SnapshotMeta { last_log_id: Some(last), ..SnapshotMeta::default() }
    }

    #[test]
    fn two_snapshots_are_kept_and_a_damaged_newest_gives_way_to_the_one_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let snapshots = SnapshotDir::new(Arc::new(RealDisk::lock(dir.path()).expect("the lock")));
        for index in [9, 10, 11] {
            snapshots.save(&meta(index), format!("state at {index}").as_bytes()).expect("saved");
        }
        assert_eq!(snapshots.list().expect("a list"), ["snap-3-10.bin", "snap-3-11.bin"]);
        assert_eq!(snapshots.newest().expect("read").0.expect("one").snapshot, b"state at 11");

        let newest = dir.path().join("snap-3-11.bin");
        let mut bytes = std::fs::read(&newest).expect("read");
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            std::fs::write(&newest, &bytes).expect("written");
            let (snapshot, bad) = snapshots.newest().expect("read");
            assert_eq!(snapshot.expect("the older one").snapshot, b"state at 10", "byte {at}");
            assert!(bad[0].contains("snap-3-11.bin"), "{bad:?}");
            bytes[at] ^= 0x10;
        }
    }
}
