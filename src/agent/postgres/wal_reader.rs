//! Reads the records of a `pg_wal` one after the other along a line of timelines, from a record's start to the last
//! whole record, choosing files as PostgreSQL's recovery does.
//!
//! For a segment that several timelines have, recovery takes the newest timeline's file. A walreceiver on a new
//! timeline begins at the *start of the segment*, so that this file can end before records of the old timeline that
//! are held, and were acknowledged, in the older file. Such a file *hides* WAL: the reader goes on in the older file,
//! not beyond its fork, and names the hiding one.

use super::error::{Error, Result};
use super::wal_page::{
    LONG_HEADER, PageHeader, RECORD_HEADER, SHORT_HEADER, is_switch, is_whole, record_length, record_prev,
};
use interrex_cluster::wal::{History, Lsn, TimelineId};
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a directory is expected to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) system: u64,
    pub(super) segment: u64,
    pub(super) block: u64,
}

/// Segments by number, each with the timelines that have a file of it.
pub(super) type Segments = BTreeMap<u64, BTreeSet<TimelineId>>;

/// Lists the segments of `pg_wal`.
pub(super) fn segments_in(wal: &Path, shape: Shape) -> Result<Segments> {
    let mut segments = Segments::new();
    let per_id = 0x1_0000_0000 / shape.segment;
    for entry in fs::read_dir(wal).map_err(|e| Error::io("list", wal, &e))? {
        let name = entry.map_err(|e| Error::io("list", wal, &e))?.file_name();
        let Some(name) = name.to_str().filter(|n| n.len() == 24 && n.bytes().all(|b| b.is_ascii_hexdigit()))
        else {
            continue;
        };
        let part = |range: std::ops::Range<usize>| u64::from_str_radix(&name[range], 16).unwrap_or_default();
        let timeline = TimelineId(u32::from_str_radix(&name[..8], 16).unwrap_or_default());
        segments.entry(part(8..16) * per_id + part(16..24)).or_default().insert(timeline);
    }
    Ok(segments)
}

/// Where reading has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// End of the last whole record: where the next one begins.
    pub(super) end: Lsn,
    /// Start of that record; absent before the first.
    pub(super) last: Option<Lsn>,
    /// Timeline to which that record belongs.
    pub(super) timeline: TimelineId,
}

/// The reader. Blocks.
pub(super) struct Reader<'a> {
    wal: &'a Path,
    shape: Shape,
    segments: &'a Segments,
    line: &'a History,
    /// Reading left the line: it went past the fork of this timeline, in a file of its own.
    strayed: Option<TimelineId>,
    files: BTreeMap<FileKey, Option<File>>,
    magic: Option<u16>,
    place: Place,
    /// Files that hide WAL.
    pub(super) hiding: BTreeSet<PathBuf>,
    /// Every file that a record was taken from.
    pub(super) read: BTreeSet<PathBuf>,
}

struct Record {
    start: u64,
    end: u64,
    files: Vec<FileKey>,
}

/// A segment's number, and the timeline whose file of it is meant.
type FileKey = (u64, TimelineId);

impl<'a> Reader<'a> {
    /// Starts at `start`, the beginning of a record (the end of another one will do).
    pub(super) fn new(
        wal: &'a Path,
        shape: Shape,
        segments: &'a Segments,
        line: &'a History,
        start: Lsn,
    ) -> Self {
        let place = Place { end: start, last: None, timeline: line.owner_of(start) };
        let (files, hiding, read) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { wal, shape, segments, line, strayed: None, files, magic: None, place, hiding, read }
    }

    /// The place after the next whole record; `None` at the end of WAL.
    pub(super) fn next(&mut self) -> Result<Option<Place>> {
        let at = self.place.end.0;
        let candidates = self.candidates(at / self.shape.segment);
        for (i, &timeline) in candidates.iter().enumerate() {
            let Some(record) = self.record_at(at, timeline)? else { continue };
            let fork = self.line.branch_end(timeline).unwrap_or(Lsn(u64::MAX));
            if i > 0 {
                // A newer file exists, so recovery will not read this one beyond the fork.
                if record.end > fork.0 {
                    continue;
                }
                let newer = candidates[..i].iter().map(|&newer| self.path(at / self.shape.segment, newer));
                self.hiding.extend(newer.collect::<Vec<_>>());
            } else if record.end > fork.0 {
                self.strayed = Some(timeline);
            }
            for &(segment, timeline) in &record.files {
                let path = self.path(segment, timeline);
                self.read.insert(path);
            }
            let owner = self.line.owner_of(Lsn(record.end));
            self.place =
                Place { end: Lsn(record.end), last: Some(Lsn(record.start)), timeline: owner.min(timeline) };
            self.files.retain(|(segment, _), _| *segment >= record.end / self.shape.segment);
            return Ok(Some(self.place));
        }
        Ok(None)
    }

    /// At the end of WAL: whether all that lies between it and `flushed` is the head of a page, or the beginning of one
    /// record whose rest never came. A record that announces no more than was flushed should be whole, and is not.
    pub(super) fn is_half_a_record(&mut self, flushed: Lsn) -> Result<bool> {
        let end = self.place.end.0;
        for timeline in self.candidates(end / self.shape.segment) {
            if self.half_at(end, flushed.0, timeline)? {
                return Ok(true);
            }
        }
        Ok(flushed.0 <= self.after_header(end))
    }

    fn half_at(&mut self, at: u64, flushed: u64, timeline: TimelineId) -> Result<bool> {
        let block = self.shape.block;
        let mut page_start = at / block * block;
        let start = self.after_header(at);
        let Some((page, header)) = self.page(page_start, timeline)? else { return Ok(false) };
        let from = (start - page_start) as usize;
        let Some(length) = page.get(from..).and_then(record_length) else { return Ok(false) };
        let prev = page.get(from..).and_then(record_prev);
        let follows = match (prev, self.place.last) {
            (Some(prev), Some(last)) => prev == last.0,
            // Its head runs onto the next page, or it is the first one.
            (Some(_) | None, _) => true,
        };
        if !follows || (at == page_start && header.continues()) {
            return Ok(false);
        }
        let mut left = length as u64;
        let mut offset = start - page_start;
        let mut current = timeline;
        while left > block - offset {
            left -= block - offset;
            page_start += block;
            offset = self.after_header(page_start) - page_start;
            if flushed <= page_start + offset {
                return Ok(true);
            }
            match self.continuation(page_start, current)? {
                Some(((_, next), _, header))
                    if header.continues() && !header.overwrites() && u64::from(header.remaining) == left =>
                {
                    current = next;
                }
                Some(_) | None => return Ok(false),
            }
        }
        Ok(flushed < page_start + offset + left)
    }

    /// Where the first record can begin at or after `at`.
    fn after_header(&self, at: u64) -> u64 {
        match (at.is_multiple_of(self.shape.segment), at.is_multiple_of(self.shape.block)) {
            (true, _) => at + LONG_HEADER,
            (false, true) => at + SHORT_HEADER,
            (false, false) => at,
        }
    }

    /// Timelines with a file of this segment, newest first, as recovery would try them.
    fn candidates(&self, segment: u64) -> Vec<TimelineId> {
        let begins = |timeline: TimelineId| {
            self.line
                .ancestors
                .iter()
                .rfind(|a| a.timeline < timeline)
                .map_or(0, |a| a.end.0 / self.shape.segment)
        };
        let highest = self.strayed.unwrap_or(self.line.timeline);
        let found = self.segments.get(&segment).into_iter().flatten().rev().copied();
        found.filter(|&t| t <= highest && self.line.branch_end(t).is_some() && segment >= begins(t)).collect()
    }

    /// The whole record that begins at `at`, or at the page after a record that was given up there.
    fn record_at(&mut self, at: u64, timeline: TimelineId) -> Result<Option<Record>> {
        let mut at = at;
        // Given-up records do not follow one another without a record between them; twice is damage.
        for _ in 0..2 {
            match self.assemble(at, timeline)? {
                Assembled::Whole(record) => return Ok(Some(record)),
                Assembled::GivenUp { next } => at = next,
                Assembled::Nothing => return Ok(None),
            }
        }
        Ok(None)
    }

    fn assemble(&mut self, at: u64, timeline: TimelineId) -> Result<Assembled> {
        let Shape { segment, block, .. } = self.shape;
        let mut files = vec![(at / segment, timeline)];
        let mut page_start = at / block * block;
        let Some((page, header)) = self.page(page_start, timeline)? else { return Ok(Assembled::Nothing) };
        let mut offset = at - page_start;
        if offset == 0 {
            if header.continues() {
                return Ok(Assembled::Nothing);
            }
            offset = header.size();
        } else if offset < header.size() {
            return Ok(Assembled::Nothing);
        }
        let start = page_start + offset;
        let Some(length) = page.get(offset as usize..).and_then(record_length) else {
            return Ok(Assembled::Nothing);
        };
        let take = length.min((block - offset) as usize);
        let mut bytes = page[offset as usize..][..take].to_vec();
        offset += take as u64;
        while bytes.len() < length {
            page_start += block;
            let (_, current) = files[files.len() - 1];
            let Some((file, page, header)) = self.continuation(page_start, current)? else {
                return Ok(Assembled::Nothing);
            };
            if header.overwrites() {
                return Ok(Assembled::GivenUp { next: page_start });
            }
            let left = length - bytes.len();
            if !header.continues() || header.remaining as usize != left {
                return Ok(Assembled::Nothing);
            }
            let take = left.min((block - header.size()) as usize);
            bytes.extend_from_slice(&page[header.size() as usize..][..take]);
            offset = header.size() + take as u64;
            if files[files.len() - 1].0 != file.0 {
                files.push(file);
            }
        }
        let follows = match self.place.last {
            Some(last) => record_prev(&bytes) == Some(last.0),
            None => record_prev(&bytes).is_some_and(|prev| prev < start),
        };
        if bytes.len() < RECORD_HEADER || !follows || !is_whole(&bytes) {
            return Ok(Assembled::Nothing);
        }
        let mut end = page_start + offset.next_multiple_of(8);
        if is_switch(&bytes) {
            end = end.next_multiple_of(segment);
        }
        Ok(Assembled::Whole(Record { start, end, files }))
    }

    /// The page that continues a record: in the same file, or in whichever file of the next segment has it.
    fn continuation(
        &mut self,
        at: u64,
        current: TimelineId,
    ) -> Result<Option<(FileKey, Vec<u8>, PageHeader)>> {
        let segment = at / self.shape.segment;
        let begins_segment = at.is_multiple_of(self.shape.segment);
        let candidates = if begins_segment { self.candidates(segment) } else { vec![current] };
        for timeline in candidates {
            if let Some((page, header)) = self.page(at, timeline)?
                && (header.continues() || header.overwrites())
            {
                return Ok(Some(((segment, timeline), page, header)));
            }
        }
        Ok(None)
    }

    /// A page with a header that belongs there; `None` where WAL ends.
    fn page(&mut self, at: u64, timeline: TimelineId) -> Result<Option<(Vec<u8>, PageHeader)>> {
        let segment = at / self.shape.segment;
        let path = self.path(segment, timeline);
        let file = match self.files.entry((segment, timeline)) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(slot) => slot.insert(match File::open(&path) {
                Ok(file) => Some(file),
                Err(e) if e.kind() == ErrorKind::NotFound => None,
                Err(e) => return Err(Error::io("read", &path, &e)),
            }),
        };
        let Some(file) = file else { return Ok(None) };
        let mut page = vec![0; self.shape.block as usize];
        match file.read_exact_at(&mut page, at % self.shape.segment) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(Error::io("read", &path, &e)),
        }
        let header = PageHeader::read(&page).filter(|header| self.belongs(header, at, timeline));
        if let Some(header) = &header {
            self.magic = Some(header.magic);
        }
        Ok(header.map(|header| (page, header)))
    }

    fn belongs(&self, header: &PageHeader, at: u64, timeline: TimelineId) -> bool {
        let first_page = at.is_multiple_of(self.shape.segment);
        let long_fits = header.long.map_or(!first_page, |(system, segment, block)| {
            system == self.shape.system
                && u64::from(segment) == self.shape.segment
                && u64::from(block) == self.shape.block
        });
        header.magic != 0
            && self.magic.is_none_or(|magic| magic == header.magic)
            && header.address == at
            && header.timeline <= timeline.0
            && long_fits
    }

    fn path(&self, segment: u64, timeline: TimelineId) -> PathBuf {
        self.wal.join(segment_name(timeline, segment, self.shape.segment))
    }
}

/// The file of a segment, counted from the beginning of all WAL, of `size` bytes.
pub(super) fn segment_name(timeline: TimelineId, segment: u64, size: u64) -> String {
    let per_id = 0x1_0000_0000 / size;
    format!("{:08X}{:08X}{:08X}", timeline.0, segment / per_id, segment % per_id)
}

enum Assembled {
    Whole(Record),
    /// The writer crashed in the middle of a record and started anew on this page.
    GivenUp {
        next: u64,
    },
    Nothing,
}
