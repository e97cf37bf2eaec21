//! From a directory to its contents, or to one sentence why not.
//!
//! Only the newest segment may end in a torn frame, which is cut off: nothing in it was ever acknowledged. Whatever
//! else does not read back refuses the start, because what was lost may be a vote, and a voter that forgets its vote
//! can elect two leaders. The way out is always the same: empty the directory, and the group takes this machine back
//! under a new id.

use std::io;
use std::sync::Arc;

use super::contents::Contents;
use super::disk::LogDisk;
use super::frame::{self, Tail};
use super::record::{Record, Start};

/// The number in the file `format`. Raised when an older build could misread the directory.
const FORMAT: u32 = 1;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("{what} {place}: {source}")]
    Io {
        /// What was being done: "read", "create", …
        what: &'static str,
        /// The file or directory.
        place: String,
        /// The system's answer.
        source: io::Error,
    },
    /// There is nothing to show. Opening makes a new log instead.
    #[error(
        "no raft log in {dir}; name the directory 'raft' below the data_dir of a node with [coordinator]"
    )]
    Absent {
        /// The directory.
        dir: String,
    },
    /// Something that was on disk does not read back.
    #[error(
        "raft log {file} is damaged at offset {offset}: {why}; restore the file from before the damage, or empty {dir} \
         so that this coordinator rejoins its group under a new id"
    )]
    Damaged {
        /// Path of the segment.
        file: String,
        /// Bytes from the file's beginning.
        offset: usize,
        /// In words.
        why: String,
        /// The directory.
        dir: String,
    },
    /// Files are missing.
    #[error(
        "raft log in {dir} is not whole: {why}; restore it, or empty {dir} so that this coordinator rejoins its group \
         under a new id"
    )]
    NotWhole {
        /// The directory.
        dir: String,
        /// In words.
        why: String,
    },
    /// Written by a newer version.
    #[error(
        "{dir} has format {found}, this version of interrex knows up to {FORMAT}: start a newer interrex"
    )]
    Newer {
        /// The directory.
        dir: String,
        /// What the file `format` says.
        found: String,
    },
}

/// Where writing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// The newest segment's number.
    pub(crate) segment: u64,
    /// Its length in bytes, all of it on disk.
    pub(crate) len: u64,
    /// Older segments that still exist, with the highest index of any entry in each (`None`: no entries).
    pub(crate) closed: Vec<(u64, Option<u64>)>,
    /// The same for the newest.
    pub(crate) highest: Option<u64>,
}

/// The file of segment `number`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("seg-{number:010}.log")
}

fn segment_number(name: &str) -> Option<u64> {
    name.strip_prefix("seg-")?.strip_suffix(".log")?.parse().ok()
}

/// The segments that exist, in order.
pub(crate) fn segments(disk: &dyn LogDisk) -> Result<Vec<u64>, LogError> {
    let names = disk.list().map_err(|source| LogError::Io { what: "list", place: disk.place(), source })?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|n| segment_number(n)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens the log in `disk`; an empty directory becomes a log whose identity is `fresh_id`.
pub(crate) fn recover(disk: &Arc<dyn LogDisk>, fresh_id: u64) -> Result<(Contents, Position), LogError> {
    let numbers = segments(&**disk)?;
    check_format(&**disk, !numbers.is_empty())?;
    for pair in numbers.windows(2) {
        if pair[0] + 1 != pair[1] {
            return Err(not_whole(&**disk, format!("{} is missing", segment_name(pair[0] + 1))));
        }
    }
    let mut contents = Contents::default();
    let mut position: Option<Position> = None;
    for (i, number) in numbers.iter().enumerate() {
        let newest = i + 1 == numbers.len();
        let mut read = read_segment(&**disk, *number)?;
        if let Some(at) = read.torn {
            if !newest {
                let why = "it ends within a frame, though a newer segment follows".to_owned();
                return Err(damaged(&**disk, *number, at, why));
            }
            if at == 0 && position.is_none() && *number != 1 {
                return Err(not_whole(
                    &**disk,
                    format!("{} is empty, and the ones before are gone", segment_name(*number)),
                ));
            }
            cut(&**disk, *number, at)?;
            read.len = at as u64;
            if at == 0 {
                // The crash came between this segment's creation and its first flush: it never began.
                continue;
            }
        }
        check_start(&**disk, *number, &read.records, position.is_some().then_some(&contents))?;
        let mut highest = None;
        for record in &read.records {
            contents.apply(record);
            if let Record::Entry(entry) = record {
                highest = highest.max(Some(entry.log_id.index()));
            }
        }
        let closed = position.take().map_or_else(Vec::new, |mut before| {
            before.closed.push((before.segment, before.highest));
            before.closed
        });
        position = Some(Position { segment: *number, len: read.len, closed, highest });
    }
    match position {
        Some(position) => {
            if let Some(index) = contents.hole() {
                return Err(not_whole(&**disk, format!("entry {index} is missing")));
            }
            flush(&**disk, position.segment)?;
            Ok((contents, position))
        }
        // No segment, or a first one that never began: nothing was ever acknowledged here.
        None => begin(&**disk, fresh_id),
    }
}

struct Segment {
    records: Vec<Record>,
    len: u64,
    torn: Option<usize>,
}

fn read_segment(disk: &dyn LogDisk, number: u64) -> Result<Segment, LogError> {
    let name = segment_name(number);
    let bytes = disk.read(&name).map_err(|source| LogError::Io {
        what: "read",
        place: format!("{}/{name}", disk.place()),
        source,
    })?;
    let (frames, tail) = frame::scan(&bytes);
    let torn = match tail {
        Tail::Clean => None,
        Tail::Torn { at } => Some(at),
        Tail::Damaged { at, why } => return Err(damaged(disk, number, at, why)),
    };
    let mut records = Vec::new();
    for frame in frames {
        records
            .extend(Record::decode_all(frame.payload).map_err(|why| damaged(disk, number, frame.at, why))?);
    }
    // An empty newest segment is the same as one whose first frame is torn at 0.
    let torn = if bytes.is_empty() { Some(0) } else { torn };
    Ok(Segment { records, len: bytes.len() as u64, torn })
}

/// Each segment opens with what held before it; what the older ones said must agree.
fn check_start(
    disk: &dyn LogDisk,
    number: u64,
    records: &[Record],
    before: Option<&Contents>,
) -> Result<(), LogError> {
    let Some(Record::Start(start)) = records.first() else {
        return Err(damaged(disk, number, 0, "it does not open with its start record".to_owned()));
    };
    match before {
        Some(before) if before.start != *start => {
            let why =
                format!("it continues from {start:?}, the segment before it ends with {:?}", before.start);
            Err(damaged(disk, number, 0, why))
        }
        _ => Ok(()),
    }
}

fn cut(disk: &dyn LogDisk, number: u64, at: usize) -> Result<(), LogError> {
    let name = segment_name(number);
    let done = if at == 0 { disk.remove(&name) } else { disk.truncate(&name, at as u64) };
    tracing::warn!(
        file = name,
        offset = at,
        "cut off the unacknowledged end that a crash left in the raft log"
    );
    done.map_err(|source| LogError::Io {
        what: "cut off the torn end of",
        place: format!("{}/{name}", disk.place()),
        source,
    })
}

/// Whoever wrote the end may have been killed before it flushed that: then what was read is in the system's memory alone. From
/// here on it counts as on disk, a vote and entries that the leader need not send again, so it has to be. Older segments
/// were flushed before the next one began.
fn flush(disk: &dyn LogDisk, number: u64) -> Result<(), LogError> {
    let name = segment_name(number);
    disk.flush(&name).map_err(|source| LogError::Io {
        what: "flush",
        place: format!("{}/{name}", disk.place()),
        source,
    })
}

fn check_format(disk: &dyn LogDisk, has_segments: bool) -> Result<(), LogError> {
    let io_error = |what, source| LogError::Io { what, place: format!("{}/format", disk.place()), source };
    match disk.read("format") {
        Ok(bytes) => {
            let found = String::from_utf8_lossy(&bytes).trim().to_owned();
            match found.parse::<u32>() {
                Ok(1..=FORMAT) => Ok(()),
                Ok(_) => Err(LogError::Newer { dir: disk.place(), found }),
                Err(_) => {
                    Err(not_whole(disk, format!("its file `format` says {found:?}, which is no number")))
                }
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && has_segments => {
            Err(not_whole(disk, "its file `format` is missing".to_owned()))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            disk.replace("format", format!("{FORMAT}\n").as_bytes()).map_err(|e| io_error("write", e))
        }
        Err(e) => Err(io_error("read", e)),
    }
}

/// A new log: an id of its own, in a first segment, on disk before anybody hears of it.
fn begin(disk: &dyn LogDisk, raft_id: u64) -> Result<(Contents, Position), LogError> {
    let mut contents = Contents::default();
    let record = Record::Start(Start { raft_id, ..Start::default() });
    contents.apply(&record);
    let mut payload = Vec::new();
    record.encode(&mut payload);
    let frame = frame::encode(&payload, 0);
    let name = segment_name(1);
    disk.create(&name).and_then(|()| disk.append(&name, &frame)).and_then(|()| disk.flush(&name)).map_err(
        |source| LogError::Io { what: "begin", place: format!("{}/{name}", disk.place()), source },
    )?;
    Ok((contents, Position { segment: 1, len: frame.len() as u64, closed: Vec::new(), highest: None }))
}

fn damaged(disk: &dyn LogDisk, number: u64, offset: usize, why: String) -> LogError {
    let dir = disk.place();
    LogError::Damaged { file: format!("{dir}/{}", segment_name(number)), offset, why, dir }
}

fn not_whole(disk: &dyn LogDisk, why: String) -> LogError {
    LogError::NotWhole { dir: disk.place(), why }
}
