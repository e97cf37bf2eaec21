//! The ledger file: one JSON line per event, appended, and the readers of it.
//!
//! Promise of [`Appender`]: the line of an acknowledged id is on disk before the next statement is sent, so neither
//! a kill -9 of the writer nor a crash of its machine loses an acknowledgement. Other lines ride along with the next
//! one. A torn last line was never relied upon: readers skip it, the next writer cuts it off.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::{monotonic_ms, wall_ms};
use crate::error::LedgerError;
use crate::record::{Attempt, Entry, FORMAT, Header, Mark, Outcome, Tally};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Header(Header),
    Entry(Entry),
}

/// What a ledger file says, read at one moment.
#[derive(Debug, Clone, Default)]
pub struct LedgerFile {
    runs: Vec<Header>,
    attempts: BTreeMap<i64, Attempt>,
}

impl LedgerFile {
    /// Reads the whole file.
    ///
    /// # Errors
    /// When it cannot be read, or holds a complete line that no writer wrote.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        let mut follow = Follow::open(path)?;
        follow.refresh()?;
        Ok(follow.ledger)
    }

    /// The headers of its runs, oldest first; empty while the writer has not begun.
    #[must_use]
    pub fn runs(&self) -> &[Header] {
        &self.runs
    }

    /// Whose rows these are; none while the writer has not begun.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.runs.last().map(|run| run.client.as_str())
    }

    /// Every id that was ever sent, with what became of it.
    #[must_use]
    pub fn attempts(&self) -> &BTreeMap<i64, Attempt> {
        &self.attempts
    }

    /// The attempts that were acknowledged without reservation, in the order of their ids and of their times.
    pub fn acknowledged(&self) -> impl Iterator<Item = (i64, &Attempt)> {
        self.attempts
            .iter()
            .filter(|(_, attempt)| attempt.outcome == Outcome::Ok)
            .map(|(id, attempt)| (*id, attempt))
    }

    /// How many of which outcome.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.attempts.values().map(|attempt| attempt.outcome).collect()
    }

    fn absorb(&mut self, text: &str) -> Result<(), String> {
        match serde_json::from_str(text).map_err(|_| "neither a header nor an entry".to_owned())? {
            Line::Header(header) => self.absorb_header(header),
            Line::Entry(entry) => self.absorb_entry(entry),
        }
    }

    fn absorb_header(&mut self, header: Header) -> Result<(), String> {
        if header.ledger > FORMAT {
            return Err(format!("format {} is newer than {FORMAT}, the newest known here", header.ledger));
        }
        if let Some(client) = self.client().filter(|client| *client != header.client) {
            return Err(format!("a run of client '{}' in the file of '{client}'", header.client));
        }
        self.runs.push(header);
        Ok(())
    }

    fn absorb_entry(&mut self, entry: Entry) -> Result<(), String> {
        let run = self.runs.len().checked_sub(1).ok_or("an entry before the first header")?;
        match entry.outcome {
            Mark::Sent => {
                if let Some((last, _)) = self.attempts.last_key_value().filter(|(last, _)| **last >= entry.id)
                {
                    return Err(format!("id {} is sent after id {last}", entry.id));
                }
                let attempt = Attempt {
                    run,
                    sent_ms: entry.at_ms,
                    at_ms: entry.at_ms,
                    outcome: Outcome::Unknown,
                    host: entry.host,
                    why: entry.why,
                };
                self.attempts.insert(entry.id, attempt);
            }
            Mark::Ended(outcome) => {
                let attempt = self
                    .attempts
                    .get_mut(&entry.id)
                    .ok_or_else(|| format!("id {} ended but was never sent", entry.id))?;
                attempt.at_ms = entry.at_ms;
                attempt.outcome = outcome;
                attempt.why = entry.why;
            }
        }
        Ok(())
    }
}

/// A live view of a file that a writer is still appending to.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: File,
    tail: Vec<u8>,
    lines: usize,
    ledger: LedgerFile,
}

impl Follow {
    /// Opens the file at its beginning; nothing is read yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let file = File::open(path).map_err(|source| LedgerError::file("open", path, source))?;
        Ok(Follow { path: path.to_owned(), file, tail: Vec::new(), lines: 0, ledger: LedgerFile::default() })
    }

    /// Reads the lines that were completed since the last call, and gives everything known so far.
    ///
    /// # Errors
    /// When the file cannot be read, or holds a complete line that no writer wrote.
    pub fn refresh(&mut self) -> Result<&LedgerFile, LedgerError> {
        self.file
            .read_to_end(&mut self.tail)
            .map_err(|source| LedgerError::file("read", &self.path, source))?;
        let complete = self.tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in self.tail[..complete].split_inclusive(|byte| *byte == b'\n') {
            self.lines += 1;
            let absorbed = std::str::from_utf8(line)
                .map_err(|_| "not text".to_owned())
                .and_then(|line| self.ledger.absorb(line.trim_end()));
            absorbed.map_err(|why| LedgerError::Corrupt {
                path: self.path.clone(),
                line: self.lines,
                why,
            })?;
        }
        self.tail.drain(..complete);
        Ok(&self.ledger)
    }
}

/// The writing end. Holds an exclusive lock: two writers in one file would make both unreadable.
pub(crate) struct Appender {
    path: PathBuf,
    file: File,
}

impl Appender {
    /// Opens or creates the file and begins a run in it. `client` names the rows of a new file; a file that has runs
    /// already keeps its client. Gives what the file said before, its new header included.
    pub(crate) fn open(path: &Path, client: &str) -> Result<(Self, LedgerFile), LedgerError> {
        let failed = |action| move |source| LedgerError::file(action, path, source);
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).open(path).map_err(failed("open for appending"))?;
        file.try_lock().map_err(|refusal| match refusal {
            TryLockError::WouldBlock => LedgerError::Busy { path: path.to_owned() },
            TryLockError::Error(source) => LedgerError::file("lock", path, source),
        })?;
        let mut follow = Follow::open(path)?;
        follow.refresh()?;
        let length = file.seek(SeekFrom::End(0)).map_err(failed("measure"))?;
        file.set_len(length - follow.tail.len() as u64).map_err(failed("cut the torn last line of"))?;

        let mut known = follow.ledger;
        let header = Header {
            ledger: FORMAT,
            client: known.client().unwrap_or(client).to_owned(),
            wall_ms: wall_ms(),
            mono_ms: monotonic_ms(),
        };
        known.runs.push(header.clone());
        let mut appender = Appender { path: path.to_owned(), file };
        appender.append(&Line::Header(header))?;
        appender.settle()?;
        sync_parent(path)?;
        Ok((appender, known))
    }

    /// Appends a line; returns with the line on disk when it carries an acknowledgement.
    pub(crate) fn note(&mut self, entry: Entry) -> Result<(), LedgerError> {
        let acknowledged = matches!(entry.outcome, Mark::Ended(Outcome::Ok | Outcome::Warned));
        self.append(&Line::Entry(entry))?;
        if acknowledged { self.settle() } else { Ok(()) }
    }

    /// Brings everything written so far to disk.
    pub(crate) fn settle(&mut self) -> Result<(), LedgerError> {
        self.file.sync_data().map_err(|source| LedgerError::file("sync", &self.path, source))
    }

    fn append(&mut self, line: &Line) -> Result<(), LedgerError> {
        let mut bytes = serde_json::to_vec(line)
            .map_err(|why| LedgerError::file("encode a line for", &self.path, std::io::Error::other(why)))?;
        bytes.push(b'\n');
        // One write per line: a reader or a killed writer sees whole lines, save for a full disk.
        self.file.write_all(&bytes).map_err(|source| LedgerError::file("append to", &self.path, source))
    }
}

impl Drop for Appender {
    /// Closing alone would not do: a child that is just being started by another thread holds a copy of the
    /// descriptor, and with it the lock, until it has become its program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// A new file is only there after a crash once its directory says so.
fn sync_parent(path: &Path) -> Result<(), LedgerError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| LedgerError::file("sync the directory", parent, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, at_ms: u64, outcome: Mark) -> Entry {
        Entry { id, at_ms, outcome, host: "h:1".into(), why: None }
    }

    #[test]
    fn a_line_reads_as_documented() {
        let line = serde_json::to_string(&Line::Entry(entry(7, 12, Mark::Ended(Outcome::Ok)))).unwrap();
        assert_eq!(line, r#"{"id":7,"at_ms":12,"outcome":"ok","host":"h:1"}"#);
        let line = serde_json::to_string(&Line::Entry(entry(7, 11, Mark::Sent))).unwrap();
        assert_eq!(line, r#"{"id":7,"at_ms":11,"outcome":"sent","host":"h:1"}"#);
    }

    #[test]
    fn an_id_whose_writer_died_before_the_answer_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let (mut appender, _) = Appender::open(&path, "c").unwrap();
        appender.note(entry(1, 10, Mark::Sent)).unwrap();
        appender.note(entry(1, 11, Mark::Ended(Outcome::Ok))).unwrap();
        appender.note(entry(2, 20, Mark::Sent)).unwrap();
        let file = LedgerFile::read(&path).unwrap();
        assert_eq!(file.tally(), Tally { ok: 1, unknown: 1, ..Tally::default() });
        assert_eq!(file.attempts()[&2].outcome, Outcome::Unknown);
    }

    #[test]
    fn a_torn_last_line_is_skipped_by_readers_and_cut_by_the_next_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let (mut appender, _) = Appender::open(&path, "c").unwrap();
        appender.note(entry(1, 10, Mark::Sent)).unwrap();
        appender.file.write_all(br#"{"id":1,"at_ms":11,"outco"#).unwrap();
        drop(appender);
        assert_eq!(LedgerFile::read(&path).unwrap().tally().unknown, 1);

        let (mut appender, known) = Appender::open(&path, "another name").unwrap();
        assert_eq!((known.runs().len(), known.client()), (2, Some("c")));
        appender.note(entry(2, 30, Mark::Sent)).unwrap();
        let file = LedgerFile::read(&path).unwrap();
        assert_eq!(file.attempts().values().map(|attempt| attempt.run).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_second_writer_is_turned_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let _first = Appender::open(&path, "c").unwrap();
        assert!(matches!(Appender::open(&path, "c"), Err(LedgerError::Busy { .. })));
    }

    #[test]
    fn a_line_nobody_wrote_is_named_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        drop(Appender::open(&path, "c").unwrap());
        for (bad, why) in [
            ("{}\n", "neither a header nor an entry"),
            ("{\"id\":5,\"at_ms\":1,\"outcome\":\"ok\",\"host\":\"h:1\"}\n", "never sent"),
        ] {
            let good = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, format!("{good}{bad}")).unwrap();
            let said = LedgerFile::read(&path).unwrap_err().to_string();
            assert!(said.contains("line 2") && said.contains(why), "{said}");
            std::fs::write(&path, good).unwrap();
        }
    }

    #[test]
    fn a_follower_sees_each_line_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let (mut appender, _) = Appender::open(&path, "c").unwrap();
        let mut follow = Follow::open(&path).unwrap();
        assert!(follow.refresh().unwrap().attempts().is_empty());
        appender.note(entry(1, 10, Mark::Sent)).unwrap();
        appender.file.write_all(br#"{"id":1,"at_ms":11,"#).unwrap();
        assert_eq!(follow.refresh().unwrap().tally().unknown, 1);
        appender.file.write_all(b"\"outcome\":\"ok\",\"host\":\"h:1\"}\n").unwrap();
        assert_eq!(follow.refresh().unwrap().tally(), Tally { ok: 1, ..Tally::default() });
    }
}
